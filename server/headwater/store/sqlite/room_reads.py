"""What is read of rooms. Every function takes a connection and changes nothing."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from headwater.core.events import Entry
from headwater.core.position import Position
from headwater.core.room import Place, RoomKey, RoomSettings, Turn, answer_of, room_key
from headwater.errors import DamagedLog, UnknownRoom
from headwater.store.base import Read, Top
from headwater.store.rooms import Entered, Room
from headwater.store.sqlite import room_logs
from headwater.store.sqlite.room_logs import PLACE, RoomLog
from headwater.store.sqlite.transactions import snapshot

_LIST: Final = """
    SELECT tenant, name, body, created_at, top_seq, top_tag FROM rooms JOIN room_settings ON room = n
    WHERE tenant = ? {older} ORDER BY created_at DESC, n DESC LIMIT ?
"""
_OLDER: Final = "AND (created_at, n) < (SELECT created_at, n FROM rooms WHERE tenant = ? AND name = ?)"

_settings_decoder = msgspec.json.Decoder(RoomSettings)
_turn_decoder = msgspec.json.Decoder(Turn)


# -- rooms


def get(db: sqlite3.Connection, _: float, room_id: str) -> Room | None:
    """The room, or None."""
    with snapshot(db):
        log = room_logs.find(db, room_id)
        return None if log is None else room(db, log)


def room(db: sqlite3.Connection, log: RoomLog) -> Room:
    """The room of a log; without a transaction of its own."""
    (body,) = db.execute("SELECT body FROM room_settings WHERE room = ?", (log.room,)).fetchone()
    return _room(room_key(log.room_id), body, log.created_at, log.top)


def _room(key: RoomKey, body: bytes, created_at: float, top: Position) -> Room:
    try:
        settings = _settings_decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise DamagedLog(f"The stored settings of room {key.id} cannot be read: {error}.") from error
    return Room(key=key, settings=settings, created_at=created_at, top=top)


def list_rooms(
    db: sqlite3.Connection, _: float, tenant: str, before: str | None, limit: int
) -> tuple[list[Room], bool]:
    """The tenant's rooms, newest first."""
    with snapshot(db):
        if before is not None and room_logs.find(db, RoomKey(tenant, before).id) is None:
            raise UnknownRoom(f"There is no room {before} to list from.", field="before")
        older = () if before is None else (tenant, before)
        query = _LIST.format(older=_OLDER if older else "")
        rows = db.execute(query, (tenant, *older, limit + 1)).fetchall()
    listed = [_room(RoomKey(*row[:2]), row[2], row[3], Position(*row[4:])) for row in rows[:limit]]
    return listed, len(rows) > limit


# -- logs


def read(db: sqlite3.Connection, _: float, room_id: str, after: Position, max_bytes: int) -> Read | None:
    """The log after a position."""
    with snapshot(db):
        log = room_logs.find(db, room_id)
        if log is None:
            return None
        joined = room_logs.joins(db, log, after)
        return Read(joined, _entries(db, log, after, max_bytes) if joined else (), _top(log))


def _entries(db: sqlite3.Connection, log: RoomLog, after: Position, max_bytes: int) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    size = 0
    for entry, length in room_logs.after(db, log, after):
        size += length
        if entries and size > max_bytes:
            break
        entries.append(entry)
    return tuple(entries)


def tops(db: sqlite3.Connection, _: float, room_ids: Sequence[str]) -> list[Top | None]:
    """Where each log stands."""
    found = [room_logs.find(db, room_id) for room_id in room_ids]
    return [None if log is None else _top(log) for log in found]


def _top(log: RoomLog) -> Top:
    return Top(log.top, "in_progress")


def enter(
    db: sqlite3.Connection, _: float, room_id: str, since: Position | None, max_bytes: int, page: int
) -> Entered | None:
    """Everything that one who comes in gets."""
    with snapshot(db):
        log = room_logs.find(db, room_id)
        if log is None:
            return None
        joined = since is not None and room_logs.joins(db, log, since)
        return Entered(
            room=room(db, log),
            joined=joined,
            entries=_entries(db, log, since, max_bytes) if since is not None and joined else (),
            page=() if joined else tuple(_page(db, log, None, page)[0]),
            open=_open(db, log),
            marks=dict(db.execute("SELECT member, seq FROM room_marks WHERE room = ?", (log.room,)).fetchall()),
        )


def _open(db: sqlite3.Connection, log: RoomLog) -> tuple[tuple[Turn, Place], ...]:
    """Answers that grow, in the order of their begin. One whose message cannot be found grows for nobody."""
    found = [
        (turn, place)
        for turn in _turns(db, log)
        if turn.open and (place := room_logs.post(db, log, answer_of(turn.id))) is not None
    ]
    return tuple(sorted(found, key=lambda each: each[1].created.seq))


# -- messages


def page(db: sqlite3.Connection, _: float, room_id: str, before: int | None, limit: int) -> tuple[list[Place], bool]:
    """Messages, oldest first, and whether there are older ones."""
    with snapshot(db):
        log = room_logs.find(db, room_id)
        return ([], False) if log is None else _page(db, log, before, limit)


def _page(db: sqlite3.Connection, log: RoomLog, before: int | None, limit: int) -> tuple[list[Place], bool]:
    below = log.top.seq + 1 if before is None else before
    query = f"{PLACE} WHERE room = ? AND created_seq < ? ORDER BY created_seq DESC LIMIT ?"
    rows = db.execute(query, (log.room, below, limit + 1)).fetchall()
    return [room_logs.place(log, row) for row in reversed(rows[:limit])], len(rows) > limit


def find(db: sqlite3.Connection, _: float, room_id: str, message_ids: Sequence[str]) -> list[Place | None]:
    """These messages."""
    with snapshot(db):
        log = room_logs.find(db, room_id)
        return [None if log is None else room_logs.post(db, log, message) for message in message_ids]


def message_sent(db: sqlite3.Connection, _: float, room_id: str, once: str) -> str | None:
    """The id of the message that used `once`."""
    log = room_logs.find(db, room_id)
    return None if log is None else sent(db, log, once)


def sent(db: sqlite3.Connection, log: RoomLog, once: str) -> str | None:
    """The id of the message that used `once`; without a transaction of its own."""
    row = db.execute("SELECT id FROM posts WHERE room = ? AND once = ?", (log.room, once)).fetchone()
    return None if row is None else row[0]


# -- turns


def turns(db: sqlite3.Connection, _: float, room_id: str) -> list[Turn]:
    """The room's turns."""
    with snapshot(db):
        log = room_logs.find(db, room_id)
        return [] if log is None else _turns(db, log)


def _turns(db: sqlite3.Connection, log: RoomLog) -> list[Turn]:
    rows = db.execute("SELECT body, is_open FROM turns WHERE room = ? ORDER BY n", (log.room,)).fetchall()
    return [_turn(log, *row) for row in rows]


def _turn(log: RoomLog, body: bytes, is_open: int) -> Turn:
    try:
        return replace(_turn_decoder.decode(body), open=bool(is_open))
    except msgspec.MsgspecError as error:
        raise DamagedLog(f"What is stored of a turn of room {log.room_id} cannot be read: {error}.") from error


def waiting(db: sqlite3.Connection, _: float, after: int, limit: int) -> list[tuple[int, str]]:
    """Rooms with turns that wait, each with its number: those after this one, then on from the first."""
    query = """
        SELECT n, tenant, name FROM rooms WHERE n IN (SELECT room FROM turns WHERE NOT is_open)
        ORDER BY n <= ?, n LIMIT ?
    """
    return [(number, RoomKey(*key).id) for number, *key in db.execute(query, (after, limit))]


def outlived(db: sqlite3.Connection, now: float, limit: int) -> list[str]:
    """Rooms whose oldest entry may have outlived its age, the longest first."""
    query = "SELECT tenant, name FROM rooms WHERE due < ? ORDER BY due LIMIT ?"
    return [RoomKey(*key).id for key in db.execute(query, (now, limit))]
