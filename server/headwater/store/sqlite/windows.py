"""What has been counted in windows. One transaction each.

Every function takes a connection and the time by the store's clock.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from headwater.store.limits import Charge, Verdict
from headwater.store.sqlite.sweeps import sweep
from headwater.store.sqlite.transactions import transaction

_BEGIN: Final = "REPLACE INTO windows (name, used, until) VALUES (?, ?, ?)"
_COUNT: Final = "UPDATE windows SET used = used + ? WHERE name = ?"


def charge(db: sqlite3.Connection, now: float, charges: Sequence[Charge]) -> list[Verdict]:
    """Count each that its limit admits."""
    with transaction(db):
        return [_charge(db, now, item) for item in charges]


def _charge(db: sqlite3.Connection, now: float, item: Charge) -> Verdict:
    used, resets_s = read(db, now, item.name)
    admitted = used + item.cost <= item.limit
    if admitted:
        resets_s = _count(db, now, item.name, item.cost, item.window_s, resets_s)
        used += item.cost
    return Verdict(admitted, max(0, item.limit - used), resets_s)


def add(db: sqlite3.Connection, now: float, name: str, amount: int, window_s: float) -> None:
    """Count, whatever the limit."""
    with transaction(db):
        _, resets_s = read(db, now, name)
        _count(db, now, name, amount, window_s, resets_s)


def read(db: sqlite3.Connection, now: float, name: str) -> tuple[int, float]:
    """What has been counted, and in how many seconds that ends; (0, 0.0) if nothing has."""
    row = db.execute("SELECT used, until FROM windows WHERE name = ? AND until > ?", (name, now)).fetchone()
    return (0, 0.0) if row is None else (row[0], row[1] - now)


def _count(db: sqlite3.Connection, now: float, name: str, amount: int, window_s: float, resets_s: float) -> float:
    """Count in the window that ends in `resets_s`, or in a new one if that is 0; when it ends."""
    if resets_s:
        db.execute(_COUNT, (amount, name))
        return resets_s
    sweep(db, "windows", now)
    db.execute(_BEGIN, (name, amount, now + window_s))
    return window_s
