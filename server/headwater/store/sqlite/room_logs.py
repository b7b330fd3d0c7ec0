"""The log of each room and the messages that came of it: as they are found, added to, and trimmed.

No function has a transaction of its own.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headwater.core.events import Entry
from headwater.core.position import START, Position
from headwater.core.room import (
    Place,
    decode_post,
    decode_room_events,
    encode_post,
    encode_room_events,
    room_entry,
    room_key,
)
from headwater.errors import DamagedLog
from headwater.store.rooms import Change

# A few ms of the writing thread, for which tokens wait. What is left goes with the next changes: as each adds but one
# entry, no log stays beyond its limits, whatever the sizes.
TRIMMED_MAX: Final = 200

_FIND: Final = """
    SELECT n, created_at, kept, kept_bytes, age_s, bytes, top_seq, top_tag, trimmed_seq, trimmed_tag FROM rooms
    WHERE tenant = ? AND name = ?
"""
_ENTRY: Final = "SELECT after_seq, after_tag, seq, tag, payload FROM room_entries"
_INSERT_ENTRY: Final = """
    INSERT INTO room_entries (room, after_seq, after_tag, seq, tag, at, payload) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
PLACE: Final = "SELECT body, created_seq, created_tag, version_seq, version_tag FROM posts"
"""What `place` reads."""
_INSERT_POST: Final = """
    INSERT INTO posts (room, id, once, created_seq, created_tag, version_seq, version_tag, grows, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE_POST: Final = "UPDATE posts SET version_seq = ?, version_tag = ?, grows = ?, body = ? WHERE room = ? AND id = ?"


class RoomLog(Struct, frozen=True):
    """A room's log as it stands: the room's number, its retention, how many bytes there are, the log's top, and up to
    where it was trimmed."""

    room_id: str
    room: int
    created_at: float
    kept: int
    kept_bytes: int
    age_s: float | None
    bytes: int
    top: Position
    trimmed: Position


def find(db: sqlite3.Connection, room_id: str) -> RoomLog | None:
    """The log of a room, or None."""
    key = room_key(room_id)
    row = db.execute(_FIND, (key.tenant, key.name)).fetchone()
    if row is None:
        return None
    number, created_at, kept, kept_bytes, age_s, size, *at = row
    top, trimmed = Position(at[0], at[1]), Position(at[2], at[3])
    return RoomLog(room_id, number, created_at, kept, kept_bytes, age_s, size, top, trimmed)


# -- reading


def joins(db: sqlite3.Connection, log: RoomLog, position: Position) -> bool:
    """Whether the log goes on from here."""
    if position in (log.top, log.trimmed):
        return True
    if not log.trimmed.seq < position.seq < log.top.seq:
        return False
    covering = "SELECT tag FROM room_entries WHERE room = ? AND seq >= ? ORDER BY seq LIMIT 1"
    row = db.execute(covering, (log.room, position.seq)).fetchone()
    return row is not None and bool(row[0] == position.tag)


def after(db: sqlite3.Connection, log: RoomLog, position: Position) -> Iterator[tuple[Entry, int]]:
    """The entries after a position that joins, in order, each with its size. Raises DamagedLog."""
    at = position
    for row in db.execute(f"{_ENTRY} WHERE room = ? AND seq > ? ORDER BY seq", (log.room, at.seq)):
        entry = _entry(log, row)
        if entry.after.seq < at.seq and at == position:
            entry = entry.cut(at)
        if entry.after != at:
            raise _damaged(log, entry.seq)
        yield entry, len(row[4])
        at = entry.position
    if at != log.top:
        raise _damaged(log, log.top.seq)


def entry_at(db: sqlite3.Connection, log: RoomLog, position: Position) -> Entry | None:
    """The entry that has this position in it, or None once it was trimmed."""
    row = db.execute(f"{_ENTRY} WHERE room = ? AND seq >= ? ORDER BY seq LIMIT 1", (log.room, position.seq)).fetchone()
    return _entry(log, row) if row is not None and row[3] == position.tag else None


def _entry(log: RoomLog, row: tuple[Any, ...]) -> Entry:
    after_seq, after_tag, seq, tag, payload = row
    try:
        entry = room_entry(Position(after_seq, after_tag), tag, decode_room_events(payload))
    except msgspec.MsgspecError as error:
        raise _damaged(log, seq) from error
    if entry.seq != seq:
        raise _damaged(log, seq)
    return entry


def _damaged(log: RoomLog, seq: int) -> DamagedLog:
    return DamagedLog(f"The log of room {log.room_id} is damaged before seq {seq}.")


def post(db: sqlite3.Connection, log: RoomLog, message: str) -> Place | None:
    """A message, or None. Raises DamagedLog."""
    row = db.execute(f"{PLACE} WHERE room = ? AND id = ?", (log.room, message)).fetchone()
    return None if row is None else place(log, row)


def place(log: RoomLog, row: tuple[Any, ...]) -> Place:
    """The message of a row. Raises DamagedLog."""
    body, created_seq, created_tag, version_seq, version_tag = row
    try:
        kept = decode_post(body)
    except msgspec.MsgspecError as error:
        raise DamagedLog(f"The message of room {log.room_id} at seq {created_seq} cannot be read: {error}.") from error
    return Place(kept, Position(created_seq, created_tag), Position(version_seq, version_tag))


# -- writing


def write(db: sqlite3.Connection, now: float, log: RoomLog, change: Change) -> Entry:
    """Put a change that is allowed on top of the log, then trim it."""
    entry = room_entry(log.top, change.tag, change.events)
    at = (entry.after.seq, entry.after.tag, entry.seq, entry.tag)
    payload = encode_room_events(change.events)
    db.execute(_INSERT_ENTRY, (log.room, *at, now, payload))
    once = change.once or None
    for put in change.puts:
        created, version = change.place(put.post.id, entry.after)
        state = (version.seq, version.tag, put.post.status == "in_progress", encode_post(put.post))
        if put.version == START:
            db.execute(_INSERT_POST, (log.room, put.post.id, once, created.seq, created.tag, *state))
            once = None  # it is the first one's
        else:
            db.execute(_UPDATE_POST, (*state, log.room, put.post.id))
    trim(db, now, replace(log, top=entry.position, bytes=log.bytes + len(payload)))
    return entry


def trim(db: sqlite3.Connection, now: float, log: RoomLog) -> bool:
    """Let go of what is beyond the room's retention, up to a bound, and note where the log stands: if anything went."""
    trimmed, left, oldest = log.trimmed, log.bytes, None
    rows = "SELECT seq, tag, at, length(payload) FROM room_entries WHERE room = ? ORDER BY seq LIMIT ?"
    for seq, tag, at, size in db.execute(rows, (log.room, TRIMMED_MAX)):
        oldest = at
        is_old = log.age_s is not None and at + log.age_s < now
        is_too_much = log.top.seq - seq >= log.kept or (left > log.kept_bytes and seq < log.top.seq)
        if not (is_old or is_too_much):
            break
        trimmed, left = Position(seq, tag), left - size
    due = None if log.age_s is None or oldest is None or trimmed == log.top else oldest + log.age_s
    if trimmed != log.trimmed:
        db.execute("DELETE FROM room_entries WHERE room = ? AND seq <= ?", (log.room, trimmed.seq))
    if trimmed != START:  # also of an answer that has ended now, and was older
        db.execute("DELETE FROM posts WHERE room = ? AND created_seq <= ? AND NOT grows", (log.room, trimmed.seq))
    db.execute(
        "UPDATE rooms SET top_seq = ?, top_tag = ?, trimmed_seq = ?, trimmed_tag = ?, bytes = ?, due = ? WHERE n = ?",
        (log.top.seq, log.top.tag, trimmed.seq, trimmed.tag, left, due, log.room),
    )
    return trimmed != log.trimmed
