"""What is read. Every function takes a connection and the time by the store's clock, and changes nothing."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from headwater.core.content import Content
from headwater.core.events import End, Entry, Event, Status, decode_events
from headwater.core.position import START, Position
from headwater.core.run import Run, RunRequest
from headwater.errors import DamagedLog, UnknownRun
from headwater.store.base import Contents, Page, Read, Stale, Top
from headwater.store.sqlite.transactions import snapshot

LIVING: Final = "(expires_at IS NULL OR expires_at > ?)"
"""What has expired is not there, whether or not it has been swept. Takes the time."""

_RUN: Final = """
    SELECT id, owner, model, body, created_at, conversation, status, started_at, ended_at, expires_at, seq, tag,
        token, cancelled
    FROM runs JOIN requests ON requests.run = n
    LEFT JOIN entries ON entries.run = n AND seq = (SELECT max(seq) FROM entries WHERE run = n)
"""
_TOP: Final = f"""
    SELECT n, status, seq, tag FROM runs LEFT JOIN entries ON run = n
    WHERE id = ? AND {LIVING} ORDER BY seq DESC LIMIT 1
"""
_LOG: Final = "SELECT seq, tag, payload FROM entries WHERE run = ? AND seq >= ? ORDER BY seq"

_request_decoder = msgspec.json.Decoder(RunRequest)


def get(db: sqlite3.Connection, now: float, run_id: str) -> Run | None:
    """The run, or None."""
    row = db.execute(f"{_RUN} WHERE id = ? AND {LIVING}", (run_id, now)).fetchone()
    return None if row is None else _run(row)


def list_query(
    owner: str, conversation: str | None, status: Status | None, older_than: tuple[float, int] | None, now: float
) -> tuple[str, list[Any]]:
    """The SQL that lists an owner's runs, newest first, and its parameters but the limit."""
    conditions: list[str] = ["owner = ?"]
    values: list[Any] = [owner]
    if conversation is not None:
        conditions.append("conversation = ?")
        values.append(conversation)
    if status is not None:
        # The plus keeps its index out of use where there is a conversation, which is always the shorter list.
        conditions.append("status = ?" if conversation is None else "+status = ?")
        values.append(status)
    if older_than is not None:
        conditions.append("(created_at, n) < (?, ?)")
        values.extend(older_than)
    where = " AND ".join([*conditions, LIVING])
    return f"{_RUN} WHERE {where} ORDER BY created_at DESC, n DESC LIMIT ?", [*values, now]


def list_runs(
    db: sqlite3.Connection,
    now: float,
    owner: str,
    conversation: str | None,
    status: Status | None,
    before: str | None,
    limit: int,
) -> Page:
    """The owner's runs, newest first. Raises UnknownRun if `before` is none of them."""
    with snapshot(db):
        older_than = None
        if before is not None:
            older_than = db.execute(
                f"SELECT created_at, n FROM runs WHERE id = ? AND owner = ? AND {LIVING}", (before, owner, now)
            ).fetchone()
            if older_than is None:
                raise UnknownRun(f"there is no run {before!r} to list from", field="before")
        sql, values = list_query(owner, conversation, status, older_than, now)
        rows = db.execute(sql, (*values, limit + 1)).fetchall()
    return Page([_run(row) for row in rows[:limit]], len(rows) > limit)


def read(db: sqlite3.Connection, now: float, run_id: str, after: Position, max_bytes: int) -> Read | None:
    """The log after a position."""
    with snapshot(db):
        found = _find(db, now, run_id)
        if found is None:
            return None
        run, top = found
        if after != START and not _joins(db, run, after):
            return Read(False, (), top)
        entries: list[Entry] = []
        size, at = 0, after
        for seq, tag, payload in db.execute(_LOG, (run, after.seq + 1)):
            size += len(payload)
            if entries and size > max_bytes:
                break
            # The first may begin before `after`; the others must begin where the one before ends.
            events = _events(run_id, at.seq, seq, payload, cut=not entries)
            entries.append(Entry(at, seq, tag, events))
            at = Position(seq, tag)
        return Read(True, tuple(entries), top)


def contents(db: sqlite3.Connection, now: float, run_id: str) -> Contents | None:
    """Everything so far in one piece."""
    with snapshot(db):
        found = _find(db, now, run_id)
        if found is None:
            return None
        run, top = found
        content, position = Content(), START
        for at, tag, event in _all_events(db, run_id, run):
            content.add(event)
            if not isinstance(event, End):
                position = Position(at, tag)
        return Contents(position, content.parts(), content.text, content.attempts, content.end, top)


def tops(db: sqlite3.Connection, now: float, run_ids: Sequence[str]) -> list[Top | None]:
    """Where each log stands."""
    with snapshot(db):
        found = [_find(db, now, run_id) for run_id in run_ids]
    return [None if one is None else one[1] for one in found]


def stale(db: sqlite3.Connection, now: float, limit: int) -> list[Stale]:
    """Unfinished runs without a live lease, oldest first."""
    rows = db.execute(
        "SELECT id, token, status FROM runs WHERE ended_at IS NULL AND lease_until <= ? ORDER BY created_at, n LIMIT ?",
        (now, limit),
    )
    return [Stale(*row) for row in rows]


def covering_tag(db: sqlite3.Connection, run: int, seq: int) -> int | None:
    """The tag of the entry that covers this seq, None beyond the top."""
    row = db.execute("SELECT tag FROM entries WHERE run = ? AND seq >= ? ORDER BY seq LIMIT 1", (run, seq)).fetchone()
    return None if row is None else row[0]


def _joins(db: sqlite3.Connection, run: int, position: Position) -> bool:
    return position.seq > 0 and covering_tag(db, run, position.seq) == position.tag


def _find(db: sqlite3.Connection, now: float, run_id: str) -> tuple[int, Top] | None:
    row = db.execute(_TOP, (run_id, now)).fetchone()
    if row is None:
        return None
    run, status, seq, tag = row
    return run, Top(Position(seq, tag) if seq else START, status)


def _run(row: Sequence[Any]) -> Run:
    run_id, owner, model, body, created, conversation, status, started, ended, expires, seq, tag, token, cancelled = row
    try:
        request = _request_decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise DamagedLog(f"the stored request of run {run_id} cannot be read: {error}") from error
    return Run(
        id=run_id,
        owner=owner,
        model=model,
        request=request,
        created_at=created,
        conversation=conversation,
        status=status,
        started_at=started,
        ended_at=ended,
        expires_at=expires,
        position=Position(seq, tag) if seq else START,
        token=token,
        cancelled=bool(cancelled),
    )


def _all_events(db: sqlite3.Connection, run_id: str, run: int) -> Iterator[tuple[int, int, Event]]:
    """Each event of a log with its seq and tag."""
    at = 0
    for seq, tag, payload in db.execute(_LOG, (run, 1)):
        for event in _events(run_id, at, seq, payload, cut=False):
            at += 1
            yield at, tag, event


def _events(run_id: str, after: int, seq: int, payload: bytes, *, cut: bool) -> tuple[Event, ...]:
    """The events of an entry that cover (after, seq]; it has more only if it may be `cut`."""
    try:
        events = decode_events(payload)
    except msgspec.MsgspecError as error:
        raise DamagedLog(f"the log of run {run_id} is damaged before seq {seq}: {error}") from error
    surplus = len(events) - (seq - after)
    if surplus < 0 or (surplus and not cut):
        raise DamagedLog(f"the log of run {run_id} is damaged before seq {seq}: events are missing or repeated")
    return events[surplus:] if surplus else events
