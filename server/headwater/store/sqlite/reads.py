"""What is read. Every function takes a connection and the time by the store's clock, and changes nothing."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from headwater.core.content import Content
from headwater.core.events import End, Entry, Event, Status, decode_events
from headwater.core.position import START, Position
from headwater.core.run import Run, RunRequest
from headwater.errors import DamagedLog, UnknownRun
from headwater.store.base import Contents, Page, Read, Stale, Top
from headwater.store.sqlite import logs
from headwater.store.sqlite.logs import LIVING, Log
from headwater.store.sqlite.transactions import snapshot

_RUN: Final = """
    SELECT id, owner, caller, model, body, created_at, conversation, room, status, started_at, ended_at, expires_at,
        seq, tag, token, cancelled
    FROM runs JOIN requests ON requests.run = n JOIN tops ON tops.run = n
"""

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
                raise UnknownRun(f"There is no run {before} to list from.", field="before")
        sql, values = list_query(owner, conversation, status, older_than, now)
        rows = db.execute(sql, (*values, limit + 1)).fetchall()
    return Page([_run(row) for row in rows[:limit]], len(rows) > limit)


def read(db: sqlite3.Connection, now: float, run_id: str, after: Position, max_bytes: int) -> Read | None:
    """The log after a position."""
    with snapshot(db):
        log = logs.find(db, now, run_id)
        if log is None:
            return None
        top = Top(log.top, log.status)
        if after != START and logs.tag_at(db, log, after.seq) != after.tag:
            return Read(False, (), top)
        entries: list[Entry] = []
        size, at = 0, after
        for seq, tag, payload in logs.rows(db, log, after.seq + 1):
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
        log = logs.find(db, now, run_id)
        if log is None:
            return None
        content, position, at = Content(), START, 0
        for seq, tag, payload in logs.rows(db, log, 1):
            events = _events(run_id, at, seq, payload, cut=False)
            for event in events:
                content.add(event)
            before_end = seq - isinstance(events[-1], End)
            if before_end > at:
                position = Position(before_end, tag)
            at = seq
    top = Top(log.top, log.status)
    return Contents(position, content.parts(), content.text, content.attempts, content.tries, content.end, top)


def output(db: sqlite3.Connection, log: Log, entry: Entry) -> Content:
    """All of a log once this entry lies on its top; without a transaction of its own. Raises DamagedLog."""
    content, at = Content(), 0
    for seq, _, payload in logs.rows(db, log, 1):
        for event in _events(log.run_id, at, seq, payload, cut=False):
            content.add(event)
        at = seq
    for event in entry.events:
        content.add(event)
    return content


def tops(db: sqlite3.Connection, now: float, run_ids: Sequence[str]) -> list[Top | None]:
    """Where each log stands."""
    found = logs.find_many(db, now, run_ids)
    return [Top(log.top, log.status) if (log := found.get(run_id)) else None for run_id in run_ids]


def stale(db: sqlite3.Connection, now: float, limit: int) -> list[Stale]:
    """Unfinished runs without a live lease, oldest first."""
    rows = db.execute(
        "SELECT id, token, status, token > 0 AND lease_until = 0, model FROM runs "
        "WHERE ended_at IS NULL AND lease_until <= ? ORDER BY created_at, n LIMIT ?",
        (now, limit),
    )
    return [Stale(run_id, token, status, bool(released), model) for run_id, token, status, released, model in rows]


def _run(row: Sequence[Any]) -> Run:
    run_id, owner, caller, model, body, created, conversation, room, status, *rest = row
    started, ended, expires, seq, tag, token, cancelled = rest
    try:
        request = _request_decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise DamagedLog(f"The stored request of run {run_id} cannot be read: {error}.") from error
    return Run(
        id=run_id,
        owner=owner,
        caller=caller,
        model=model,
        request=request,
        created_at=created,
        conversation=conversation,
        room=room,
        status=status,
        started_at=started,
        ended_at=ended,
        expires_at=expires,
        position=Position(seq, tag) if seq else START,
        token=token,
        cancelled=bool(cancelled),
    )


def _events(run_id: str, after: int, seq: int, payload: bytes, *, cut: bool) -> tuple[Event, ...]:
    """The events of an entry that cover (after, seq]; it has more only if it may be `cut`."""
    try:
        events = decode_events(payload)
    except msgspec.MsgspecError as error:
        raise DamagedLog(f"The log of run {run_id} is damaged before seq {seq}: {error}.") from error
    surplus = len(events) - (seq - after)
    if surplus < 0 or (surplus and not cut):
        raise DamagedLog(f"The log of run {run_id} is damaged before seq {seq}: events are missing or repeated.")
    return events[surplus:] if surplus else events
