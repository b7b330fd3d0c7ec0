"""Who may produce a run, and the cancel that overrules them. One transaction each.

Every function takes the writing connection and the time by the store's clock.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from headwater.core.events import End, Entry, encode_events
from headwater.core.lifecycle import ENDED, end_cancelled
from headwater.core.position import Position
from headwater.core.run import Run
from headwater.store.base import Cancelled, Lease, RenewResult
from headwater.store.sqlite import logs, reads, room_ends
from headwater.store.sqlite.logs import Log
from headwater.store.sqlite.transactions import transaction
from headwater.store.sqlite.writes import END_RUN

# When a lease ended that was let go of; one that ran out did so at some time.
RELEASED: Final = 0


def take(
    db: sqlite3.Connection, now: float, run_id: str, seen: int, tag: int, holder: str, lease_s: float
) -> Lease | None:
    """Take the lease if the newest token is still `seen` and nobody holds it, or if `tag` has it already."""
    with transaction(db):
        row = db.execute(
            "SELECT n, token, lease_tag, lease_until FROM runs WHERE id = ? AND ended_at IS NULL", (run_id,)
        ).fetchone()
        if row is None:
            return None
        run, token, owner_tag, until = row
        ours = token == seen + 1 and owner_tag == tag
        if not ours and (token != seen or until > now):
            return None
        db.execute(
            "UPDATE runs SET token = ?, lease_tag = ?, lease_until = max(lease_until, ?), holder = ?, "
            "status = 'in_progress', started_at = ifnull(started_at, ?) WHERE n = ?",
            (seen + 1, tag, now + lease_s, holder, now, run),
        )
        released = not ours and token > 0 and until == RELEASED
        return Lease(_stored(db, now, run_id), seen + 1, tag, released)


def renew(db: sqlite3.Connection, now: float, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
    """Extend each lease that nobody else has taken."""
    results: list[RenewResult] = []
    with transaction(db):
        for run_id, token in held:
            row = db.execute(
                "SELECT n, cancelled FROM runs WHERE id = ? AND token = ? AND token > 0 AND ended_at IS NULL",
                (run_id, token),
            ).fetchone()
            if row is None:
                results.append(RenewResult(False))
            else:
                db.execute("UPDATE runs SET lease_until = ? WHERE n = ?", (now + lease_s, row[0]))
                results.append(RenewResult(True, bool(row[1])))
    return results


def release(db: sqlite3.Connection, now: float, run_id: str, token: int) -> None:
    """Let another take the run at once."""
    with transaction(db):
        db.execute("UPDATE runs SET lease_until = ? WHERE id = ? AND token = ?", (RELEASED, run_id, token))


def expire_all(db: sqlite3.Connection, now: float) -> None:
    """Let all runs be taken: whoever held them is dead, or this process could not have opened the file."""
    with transaction(db):
        db.execute("UPDATE runs SET lease_until = ? WHERE ended_at IS NULL AND lease_until > ?", (now, now))


def cancel(db: sqlite3.Connection, now: float, run_id: str, tag: int, run_ttl_s: float) -> Cancelled | None:
    """Tell the holder through the flag; where nobody holds the run, write its end."""
    with transaction(db):
        log = logs.find(db, now, run_id)
        if log is None:
            return None
        entry = None
        if log.status in ENDED:
            if log.tag == tag:  # the end that an earlier try of this cancel wrote
                entry = _end_entry(logs.below(db, log), tag, end_cancelled())
        else:
            db.execute("UPDATE runs SET cancelled = 1 WHERE n = ?", (log.run,))
            if not log.held:
                entry = _write_end(db, now, log, tag, end_cancelled(), run_ttl_s)
        return Cancelled(_stored(db, now, run_id), entry)


def give_up(
    db: sqlite3.Connection, now: float, run_id: str, seen: int, tag: int, end: End, run_ttl_s: float
) -> Entry | None:
    """Write the end of a run that is held under `tag`, or whose newest token is `seen` and which nobody holds."""
    with transaction(db):
        log = logs.find(db, now, run_id)
        if log is None:
            return None
        if log.status in ENDED:
            return _end_entry(logs.below(db, log), tag, end) if log.tag == tag else None
        (lease_tag,) = db.execute("SELECT lease_tag FROM runs WHERE n = ?", (log.run,)).fetchone()
        if not (log.held and lease_tag == tag) and (log.held or log.token != seen):
            return None
        return _write_end(db, now, log, tag, end, run_ttl_s)


def _write_end(db: sqlite3.Connection, now: float, log: Log, tag: int, end: End, run_ttl_s: float) -> Entry:
    entry = _end_entry(log.top, tag, end)
    room_ends.tell(db, now, log, entry)
    logs.write(db, [(log, entry, encode_events(entry.events))])
    db.execute(END_RUN, (end.status, now, now + run_ttl_s, log.run))
    return entry


def _end_entry(after: Position, tag: int, end: End) -> Entry:
    return Entry(after, after.seq + 1, tag, (end,))


def _stored(db: sqlite3.Connection, now: float, run_id: str) -> Run:
    run = reads.get(db, now, run_id)
    assert run is not None
    return run
