"""Runs and their logs as they are written: create, append, remove. One transaction each.

Every function takes the writing connection and the time by the store's clock.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from headwater.core.events import End, Entry
from headwater.core.lifecycle import ENDED
from headwater.core.position import START
from headwater.core.room import slot_of_run
from headwater.core.run import Run
from headwater.errors import IdempotencyConflict, RunNotEnded, UnknownRun
from headwater.store.appends import judge
from headwater.store.base import Append, AppendResult, Claim, Created, IdempotencyKey, Outcome
from headwater.store.sqlite import logs, reads, room_ends
from headwater.store.sqlite.logs import LIVING, Log
from headwater.store.sqlite.transactions import transaction

# About 5 ms of the writing thread, for which appends wait; longer logs go in several transactions.
_SWEPT_ROWS: Final = 2_000

END_RUN: Final = "UPDATE runs SET status = ?, ended_at = ?, expires_at = ? WHERE n = ?"
"""Takes the status, the time, when it expires, and the run's number."""

_INSERT_RUN: Final = """
    INSERT INTO runs
        (id, owner, caller, model, conversation, room, status, created_at, started_at, token, lease_tag, lease_until,
        holder)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_request_encoder = msgspec.json.Encoder()


def create(
    db: sqlite3.Connection, now: float, run: Run, key: IdempotencyKey | None, claim: Claim | None = None
) -> Created:
    """Write a queued run, or a claimed one in progress, and reserve its key. Raises IdempotencyConflict."""
    with transaction(db):
        return insert(db, now, run, key, claim)


def insert(
    db: sqlite3.Connection, now: float, run: Run, key: IdempotencyKey | None = None, claim: Claim | None = None
) -> Created:
    """`create` without a transaction of its own."""
    # Encoded first: what cannot be stored changes nothing.
    request = msgspec.structs.replace(run.request, stream=False)
    body = _request_encoder.encode(request)
    stored = Run(
        id=run.id,
        owner=run.owner,
        caller=run.caller,
        model=run.model,
        request=request,
        conversation=run.conversation,
        room=run.room,
        created_at=now,
        status="queued" if claim is None else "in_progress",
        started_at=None if claim is None else now,
        token=0 if claim is None else 1,
    )
    lease = (0, 0, None) if claim is None else (claim.tag, now + claim.lease_s, claim.holder)
    first = (reserved(db, now, key) if key is not None else None) or reads.get(db, now, run.id)
    if first is not None:
        return Created(first, False)
    for (expired,) in db.execute("SELECT n FROM runs WHERE id = ?", (run.id,)).fetchall():
        _forget(db, expired)
    number = db.execute(_INSERT_RUN, (*_state(stored), *lease)).lastrowid
    db.execute("INSERT INTO requests (run, body) VALUES (?, ?)", (number, body))
    db.execute("INSERT INTO tops (run) VALUES (?)", (number,))
    if key is not None:
        db.execute(
            "INSERT OR REPLACE INTO keys (owner, key, body_hash, run, kept_until) VALUES (?, ?, ?, ?, ?)",
            (key.owner, key.key, key.body_hash, number, now + key.ttl_s),
        )
    return Created(stored, True)


def _state(run: Run) -> tuple[Any, ...]:
    whose = (run.id, run.owner, run.caller, run.model, run.conversation, run.room)
    return (*whose, run.status, run.created_at, run.started_at, run.token)


def reserved(db: sqlite3.Connection, now: float, key: IdempotencyKey) -> Run | None:
    """The run that the key started, if key and run are both still there. Raises IdempotencyConflict."""
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
            "This Idempotency-Key was used with another body: use a new key for a new request.", field="Idempotency-Key"
        )
    return reads.get(db, now, run_id)


def append(db: sqlite3.Connection, now: float, batch: Sequence[Append], run_ttl_s: float) -> list[AppendResult]:
    """Judge each entry, then write those that are taken."""
    results: list[AppendResult] = []
    taken: list[tuple[Log, Entry, bytes]] = []
    ends: list[tuple[str, float, float, int]] = []
    answers: list[tuple[Log, Entry]] = []
    with transaction(db):
        found = logs.find_many(db, now, [item.run_id for item in batch])
        for item in batch:
            log = found.get(item.run_id)
            if log is None:
                results.append(AppendResult(Outcome.GONE, START))
            elif (refused := _judge(db, log, item)) is not None:
                results.append(refused)
            else:
                entry = item.entry
                results.append(AppendResult(Outcome.STORED, entry.position, bool(log.cancelled)))
                taken.append((log, entry, item.payload))
                if isinstance(last := entry.events[-1], End):
                    ends.append((last.status, now, now + run_ttl_s, log.run))
                    if slot_of_run(item.run_id) is not None:
                        answers.append((log, entry))
        for log, entry in answers:
            room_ends.tell(db, now, log, entry)
        logs.write(db, taken)
        if ends:
            db.executemany(END_RUN, ends)
    return results


def _judge(db: sqlite3.Connection, log: Log, item: Append) -> AppendResult | None:
    """The result of an append that is not to be written, in the contract's order."""
    entry = item.entry
    after = entry.after
    on_top = after.seq == log.seq and after.tag == log.tag
    if on_top and item.token == log.token and log.token and not log.cancelled and log.status not in ENDED:
        return None  # nearly always; all that follows would say so, too
    outcome = judge(log, item, partial(logs.tag_at, db, log))
    return None if outcome is None else AppendResult(outcome, log.top, bool(log.cancelled))


def hide(db: sqlite3.Connection, now: float, run_id: str) -> None:
    """Expire an ended run now, by any clock; the next sweep takes it first. Raises UnknownRun or RunNotEnded."""
    with transaction(db):
        row = db.execute(f"SELECT n, status FROM runs WHERE id = ? AND {LIVING}", (run_id, now)).fetchone()
        if row is None:
            raise UnknownRun(f"There is no run {run_id}.")
        run, status = row
        if status not in ENDED:
            raise RunNotEnded(f"Run {run_id} is {status}: cancel it and wait for its end before deleting it.")
        db.execute("UPDATE runs SET expires_at = 0 WHERE n = ?", (run,))


def sweep(db: sqlite3.Connection, now: float, limit: int) -> tuple[int, bool]:
    """Remove up to `limit` expired runs, then keys: how many, and whether it stopped early to let others write."""
    removed, rows = 0, _SWEPT_ROWS
    with transaction(db):
        due = "SELECT n FROM runs WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
        for (run,) in db.execute(due, (now, limit)).fetchall():
            rows -= logs.remove(db, run, rows)
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
    logs.remove(db, run)
    for table in ("tops", "requests", "keys"):
        db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
    db.execute("DELETE FROM runs WHERE n = ?", (run,))
