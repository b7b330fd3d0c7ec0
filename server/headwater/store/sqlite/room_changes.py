"""Rooms as they are made and changed: settings, messages, turns, marks. One transaction each.

Every function takes the writing connection and the time by the store's clock.
"""

import sqlite3
from typing import Final

import msgspec

from headwater.core.position import START, Position
from headwater.core.room import RoomKey, RoomSettings, answer_of
from headwater.core.run import Run
from headwater.store.rooms import MARKS_MAX, Beginning, Begun, Change, Changed, Changing, Room
from headwater.store.sqlite import reads, room_logs, room_reads, writes
from headwater.store.sqlite.room_logs import RoomLog
from headwater.store.sqlite.transactions import transaction

_MAKE: Final = "INSERT INTO rooms (tenant, name, created_at, kept, kept_bytes, age_s) VALUES (?, ?, ?, ?, ?, ?)"
_CHANGE_RETENTION: Final = "UPDATE rooms SET kept = ?, kept_bytes = ?, age_s = ?, due = ? WHERE n = ?"

_encoder = msgspec.json.Encoder()


def put(
    db: sqlite3.Connection, now: float, key: RoomKey, settings: RoomSettings, replace: bool, kept_bytes: int
) -> tuple[Room, bool]:
    """Make the room, or replace its settings."""
    body, kept = _encoder.encode(settings), settings.retention
    with transaction(db):
        log = room_logs.find(db, key.id)
        if log is None:
            made = (key.tenant, key.name, now, kept.count, kept_bytes, kept.age_s)
            number = db.execute(_MAKE, made).lastrowid
            db.execute("INSERT INTO room_settings (room, body) VALUES (?, ?)", (number, body))
            return Room(key=key, settings=settings, created_at=now), True
        if replace:
            due = None if kept.age_s is None else 0  # what there is may have outlived the new age: look soon
            db.execute(_CHANGE_RETENTION, (kept.count, kept_bytes, kept.age_s, due, log.room))
            db.execute("UPDATE room_settings SET body = ? WHERE room = ?", (body, log.room))
        return room_reads.room(db, log), False


# -- messages


def change(db: sqlite3.Connection, now: float, room_id: str, change: Change) -> Changed:
    """Judge the change, then make it."""
    with transaction(db):
        log = room_logs.find(db, room_id)
        if log is None:
            return Changed(Changing.GONE)
        return _judge(db, log, change) or _make(db, now, log, change)


def _judge(db: sqlite3.Connection, log: RoomLog, change: Change) -> Changed | None:
    """What became of a change that is not to be made, in the contract's order."""
    found = [_versions(db, log, put.post.id) for put in change.puts]
    used = room_reads.sent(db, log, change.once) if change.once else None
    for put, versions in zip(change.puts, found, strict=True):
        if versions is None:
            continue
        created, version = versions
        if version.tag == change.tag:
            return Changed(Changing.STORED, room_logs.entry_at(db, log, version))
        if put.version == START and (created.tag == change.tag or put.post.id == used):
            return Changed(Changing.STORED, room_logs.entry_at(db, log, created))
    if used is not None:
        return Changed(Changing.SEEN, message=used)
    for put, versions in zip(change.puts, found, strict=True):
        if put.version != (START if versions is None else versions[1]):
            return Changed(Changing.CHANGED)
    return None


def _versions(db: sqlite3.Connection, log: RoomLog, message: str) -> tuple[Position, Position] | None:
    """Where a message was created and where it was changed last."""
    query = "SELECT created_seq, created_tag, version_seq, version_tag FROM posts WHERE room = ? AND id = ?"
    row = db.execute(query, (log.room, message)).fetchone()
    return None if row is None else (Position(row[0], row[1]), Position(row[2], row[3]))


def _make(db: sqlite3.Connection, now: float, log: RoomLog, change: Change) -> Changed:
    entry = room_logs.write(db, now, log, change)
    for turn in change.turns:
        db.execute("INSERT INTO turns (room, id, body) VALUES (?, ?, ?)", (log.room, turn.id, _encoder.encode(turn)))
    return Changed(Changing.STORED, entry)


# -- turns


def begin(db: sqlite3.Connection, now: float, room_id: str, turn_id: str, run: Run, change: Change, most: int) -> Begun:
    """Create the run of a turn that waits, and say so."""
    with transaction(db):
        log = room_logs.find(db, room_id)
        if log is None:
            return Begun(Beginning.GONE)
        answer = _versions(db, log, answer_of(run.id))
        if answer is not None and answer[0].tag == change.tag:
            return Begun(Beginning.BEGUN, room_logs.entry_at(db, log, answer[0]), reads.get(db, now, run.id))
        if not _waits(db, log, turn_id):
            return Begun(Beginning.GONE)
        (is_open,) = db.execute("SELECT count(*) FROM turns WHERE room = ? AND is_open", (log.room,)).fetchone()
        if is_open >= most:
            return Begun(Beginning.BUSY)
        created = writes.insert(db, now, run)
        db.execute("UPDATE turns SET is_open = 1 WHERE room = ? AND id = ?", (log.room, turn_id))
        return Begun(Beginning.BEGUN, _make(db, now, log, change).entry, created.run)


def drop(db: sqlite3.Connection, _: float, room_id: str, turn_id: str) -> bool:
    """Remove a turn that waits."""
    with transaction(db):
        log = room_logs.find(db, room_id)
        return log is not None and _drop(db, log, turn_id)


def refuse(db: sqlite3.Connection, now: float, room_id: str, turn_id: str, change: Change) -> Changed:
    """Remove a turn that waits, and say why."""
    with transaction(db):
        log = room_logs.find(db, room_id)
        if log is None:
            return Changed(Changing.GONE)
        judged = _judge(db, log, change)
        if judged is not None and judged.outcome is Changing.STORED:
            return judged
        if not _waits(db, log, turn_id):
            return Changed(Changing.GONE)
        if judged is not None:
            return judged
        _drop(db, log, turn_id)
        return _make(db, now, log, change)


def _waits(db: sqlite3.Connection, log: RoomLog, turn_id: str) -> bool:
    query = "SELECT 1 FROM turns WHERE room = ? AND id = ? AND NOT is_open"
    return db.execute(query, (log.room, turn_id)).fetchone() is not None


def _drop(db: sqlite3.Connection, log: RoomLog, turn_id: str) -> bool:
    query = "DELETE FROM turns WHERE room = ? AND id = ? AND NOT is_open"
    return db.execute(query, (log.room, turn_id)).rowcount > 0


# -- marks


def mark(db: sqlite3.Connection, _: float, room_id: str, member: str, seq: int) -> int:
    """Note how far a member has read."""
    with transaction(db):
        log = room_logs.find(db, room_id)
        if log is None:
            return 0
        before = db.execute("SELECT seq FROM room_marks WHERE room = ? AND member = ?", (log.room, member)).fetchone()
        if before is None:
            _forget_marks(db, log)
        furthest: int = seq if before is None else max(seq, before[0])
        # With a new number, by which it is the latest.
        db.execute("REPLACE INTO room_marks (room, member, seq) VALUES (?, ?, ?)", (log.room, member, furthest))
        return furthest


def _forget_marks(db: sqlite3.Connection, log: RoomLog) -> None:
    """Make space for one more."""
    (count,) = db.execute("SELECT count(*) FROM room_marks WHERE room = ?", (log.room,)).fetchone()
    if count >= MARKS_MAX:
        db.execute(
            "DELETE FROM room_marks WHERE n IN (SELECT n FROM room_marks WHERE room = ? ORDER BY n LIMIT ?)",
            (log.room, count - MARKS_MAX + 1),
        )


# -- retention


def trim(db: sqlite3.Connection, now: float, room_id: str) -> bool:
    """Let go of what has outlived its age in this room: whether something had."""
    with transaction(db):
        log = room_logs.find(db, room_id)
        return log is not None and room_logs.trim(db, now, log)
