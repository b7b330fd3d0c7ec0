"""Who holds places. One transaction each.

Every function takes a connection and the time by the store's clock.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from headwater.store.limits import CONNECTIONS
from headwater.store.sqlite.sweeps import sweep
from headwater.store.sqlite.transactions import transaction

_KEEP: Final = """
    INSERT INTO places (name, member, until) VALUES (?, ?, ?)
    ON CONFLICT (name, member) DO UPDATE SET until = excluded.until
"""


def hold(db: sqlite3.Connection, now: float, name: str, member: str, limit: int, ttl_s: float) -> bool:
    """Take a place, unless all are taken by others."""
    with transaction(db):
        sweep(db, "places", now)
        held = "SELECT 1 FROM places WHERE name = ? AND member = ? AND until > ?"
        if db.execute(held, (name, member, now)).fetchone() is None:
            taken = "SELECT count(*) FROM places WHERE name = ? AND until > ?"
            if db.execute(taken, (name, now)).fetchone()[0] >= limit:
                return False
        db.execute(_KEEP, (name, member, now + ttl_s))
        return True


def keep(db: sqlite3.Connection, now: float, held: Sequence[tuple[str, str]], ttl_s: float) -> None:
    """Keep places, also those that had expired."""
    with transaction(db):
        sweep(db, "places", now)
        db.executemany(_KEEP, [(name, member, now + ttl_s) for name, member in held])


def let_go(db: sqlite3.Connection, _: float, held: Sequence[tuple[str, str]]) -> None:
    """Give places up."""
    with transaction(db):
        db.executemany("DELETE FROM places WHERE name = ? AND member = ?", held)


def holders(db: sqlite3.Connection, now: float, name: str) -> dict[str, float]:
    """Who holds places, the next to expire first, and for how many seconds yet."""
    sql = "SELECT member, until - ? FROM places WHERE name = ? AND until > ? ORDER BY until, member"
    return dict(db.execute(sql, (now, name, now)).fetchall())


def give_up_connections(db: sqlite3.Connection, _: float) -> None:
    """Give up the places of connections: those of the file's former process, which ended with it."""
    db.execute("DELETE FROM places WHERE substr(name, 1, ?) = ?", (len(CONNECTIONS), CONNECTIONS))
