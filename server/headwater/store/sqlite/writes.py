"""Runs and their logs as they are written: create, append, remove. One transaction each.

Every function takes the writing connection and the time by the store's clock.
"""

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from headwater.core.events import End
from headwater.core.lifecycle import ENDED
from headwater.core.position import START, Position
from headwater.core.run import Run
from headwater.errors import IdempotencyConflict, RunNotEnded, UnknownRun
from headwater.store.base import Append, AppendResult, Created, IdempotencyKey, Outcome
from headwater.store.sqlite import reads
from headwater.store.sqlite.reads import LIVING
from headwater.store.sqlite.transactions import transaction

# About 5 ms of the writing thread, for which appends wait; longer logs go in several transactions.
_SWEPT_ROWS: Final = 2_000

# The driver lets go of the interpreter's lock at each row, and on a busy worker getting it back is what
# costs. So a batch is read and written in a handful of steps: the states come as one JSON row, and the
# entries go in by up to this many a statement, in halves of it, so that there are only a few statements.
_ROWS_MAX: Final = 128
# Takes a JSON array of ids and the time.
_STATES: Final = f"""
    SELECT json_group_array(json_array(id, n, status, token, cancelled, seq, tag))
    FROM runs LEFT JOIN entries ON run = n AND seq = (SELECT max(seq) FROM entries WHERE run = n)
    WHERE id IN (SELECT value FROM json_each(?)) AND {LIVING}
"""
INSERT_ENTRY: Final = "INSERT INTO entries (run, seq, tag, payload) VALUES (?, ?, ?, ?)"
END_RUN: Final = "UPDATE runs SET status = ?, ended_at = ?, expires_at = ? WHERE n = ?"
"""Takes the status, the time, when it expires, and the run's number."""

_request_encoder = msgspec.json.Encoder()


def create(db: sqlite3.Connection, now: float, run: Run, key: IdempotencyKey | None) -> Created:
    """Write a queued run and reserve its key. Raises IdempotencyConflict."""
    # Encoded first: what cannot be stored changes nothing.
    body = _request_encoder.encode(msgspec.structs.replace(run.request, stream=False))
    with transaction(db):
        first = (_reserved(db, now, key) if key is not None else None) or reads.get(db, now, run.id)
        if first is not None:
            return Created(first, False)
        for (expired,) in db.execute("SELECT n FROM runs WHERE id = ?", (run.id,)).fetchall():
            _forget(db, expired)
        number = db.execute(
            "INSERT INTO runs (id, owner, model, conversation, status, created_at) VALUES (?, ?, ?, ?, 'queued', ?)",
            (run.id, run.owner, run.model, run.conversation, now),
        ).lastrowid
        db.execute("INSERT INTO requests (run, body) VALUES (?, ?)", (number, body))
        if key is not None:
            db.execute(
                "INSERT OR REPLACE INTO keys (owner, key, body_hash, run, kept_until) VALUES (?, ?, ?, ?, ?)",
                (key.owner, key.key, key.body_hash, number, now + key.ttl_s),
            )
        stored = reads.get(db, now, run.id)
        assert stored is not None
        return Created(stored, True)


def _reserved(db: sqlite3.Connection, now: float, key: IdempotencyKey) -> Run | None:
    """The run that the key started, if key and run are both still there."""
    row = db.execute(
        f"SELECT id, body_hash FROM keys JOIN runs ON n = run "
        f"WHERE keys.owner = ? AND key = ? AND kept_until > ? AND {LIVING}",
        (key.owner, key.key, now, now),
    ).fetchone()
    if row is None:
        return None
    run_id, body_hash = row
    if body_hash != key.body_hash:
        raise IdempotencyConflict(
            "this Idempotency-Key was used with another body: use a new key for a new request", field="Idempotency-Key"
        )
    return reads.get(db, now, run_id)


def append(db: sqlite3.Connection, now: float, batch: Sequence[Append], run_ttl_s: float) -> list[AppendResult]:
    """Judge each entry, then write those that are taken."""
    results: list[AppendResult] = []
    rows: list[tuple[int, int, int, bytes]] = []
    ends: list[tuple[str, float, float, int]] = []
    ids = json.dumps([item.run_id for item in batch])
    with transaction(db):
        (found,) = db.execute(_STATES, (ids, now)).fetchone()
        states = {state[0]: state for state in json.loads(found)}
        for item in batch:
            result, run = _judge(db, states.get(item.run_id), item)
            results.append(result)
            if run is not None:
                entry = item.entry
                rows.append((run, entry.seq, entry.tag, item.payload))
                if isinstance(last := entry.events[-1], End):
                    ends.append((last.status, now, now + run_ttl_s, run))
        _insert(db, rows)
        if ends:
            db.executemany(END_RUN, ends)
    return results


def _insert(db: sqlite3.Connection, rows: list[tuple[int, int, int, bytes]]) -> None:
    """Write entries, many a statement."""
    at, size = 0, _ROWS_MAX
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        statement = f"{INSERT_ENTRY}{', (?, ?, ?, ?)' * (size - 1)}"
        db.execute(statement, list(chain.from_iterable(rows[at : at + size])))
        at += size


def _judge(db: sqlite3.Connection, state: Sequence[Any] | None, item: Append) -> tuple[AppendResult, int | None]:
    """The result of an append, in the contract's order, and the run's number if it is still to be written."""
    if state is None:
        return AppendResult(Outcome.GONE, START), None
    _, run, status, token, cancelled, seq, tag = state
    entry = item.entry
    top = Position(seq, tag) if seq else START
    if entry.seq <= top.seq and reads.covering_tag(db, run, entry.seq) == entry.tag:
        outcome = Outcome.STORED
    elif status in ENDED:
        outcome = Outcome.ENDED
    elif item.token != token or not token:
        outcome = Outcome.FENCED
    elif cancelled and not _is_cancelled_end(item):
        outcome = Outcome.CANCELLED
    elif entry.after != top:
        outcome = Outcome.BEHIND
    else:
        return AppendResult(Outcome.STORED, entry.position, bool(cancelled)), run
    return AppendResult(outcome, top, bool(cancelled)), None


def _is_cancelled_end(item: Append) -> bool:
    last = item.entry.events[-1]
    return len(item.entry.events) == 1 and isinstance(last, End) and last.status == "cancelled"


def hide(db: sqlite3.Connection, now: float, run_id: str) -> None:
    """Expire an ended run now, by any clock; the next sweep takes it first. Raises UnknownRun or RunNotEnded."""
    with transaction(db):
        row = db.execute(f"SELECT n, status FROM runs WHERE id = ? AND {LIVING}", (run_id, now)).fetchone()
        if row is None:
            raise UnknownRun(f"there is no run {run_id!r}")
        run, status = row
        if status not in ENDED:
            raise RunNotEnded(f"run {run_id!r} is {status}: cancel it and wait for its end before deleting it")
        db.execute("UPDATE runs SET expires_at = 0 WHERE n = ?", (run,))


def sweep(db: sqlite3.Connection, now: float, limit: int) -> tuple[int, bool]:
    """Remove up to `limit` expired runs, then keys: how many, and whether it stopped early to let others write."""
    removed, rows = 0, _SWEPT_ROWS
    with transaction(db):
        due = "SELECT n FROM runs WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
        for (run,) in db.execute(due, (now, limit)).fetchall():
            rows -= _remove_entries(db, run, rows)
            if rows <= 0:
                # Half a log must not come back to sight when the clock is set back.
                db.execute("UPDATE runs SET expires_at = 0 WHERE n = ?", (run,))
                return removed, True
            _forget(db, run)
            removed += 1
        removed += db.execute(
            "DELETE FROM keys WHERE (owner, key) IN (SELECT owner, key FROM keys WHERE kept_until <= ? LIMIT ?)",
            (now, limit - removed),
        ).rowcount
    return removed, False


def _forget(db: sqlite3.Connection, run: int) -> None:
    _remove_entries(db, run, -1)
    db.execute("DELETE FROM keys WHERE run = ?", (run,))
    db.execute("DELETE FROM requests WHERE run = ?", (run,))
    db.execute("DELETE FROM runs WHERE n = ?", (run,))


def _remove_entries(db: sqlite3.Connection, run: int, limit: int) -> int:
    """Remove entries of a log, oldest first; how many. A negative limit is none."""
    return db.execute(
        "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries WHERE run = ? ORDER BY seq LIMIT ?)",
        (run, limit),
    ).rowcount
