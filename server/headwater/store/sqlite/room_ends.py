"""What a room is told when one of its runs ends."""

import sqlite3

from headwater.core.content import Content
from headwater.core.events import End, Entry
from headwater.core.room import Place, answer_of, changed, run_ended, turn_of
from headwater.errors import DamagedLog
from headwater.store.rooms import Change, Put
from headwater.store.sqlite import reads, room_logs
from headwater.store.sqlite.logs import Log
from headwater.store.sqlite.room_logs import RoomLog


def tell(db: sqlite3.Connection, now: float, log: Log, entry: Entry) -> None:
    """Put the end of a run on its room's log too, if it is of one; `entry`, which ends it, comes on top of `log`.

    Nothing that a room lacks keeps a run from ending. What cannot be read of its answer stays, until it is trimmed.
    """
    (room_id,) = db.execute("SELECT room FROM runs WHERE n = ?", (log.run,)).fetchone()
    room = None if room_id is None else room_logs.find(db, room_id)
    if room is None:
        return
    known = db.execute("DELETE FROM turns WHERE room = ? AND id = ?", (room.room, turn_of(log.run_id))).rowcount
    place = _answer(db, room, log.run_id)
    if place is None:
        over = "UPDATE posts SET grows = 0 WHERE room = ? AND id = ?"
        known += db.execute(over, (room.room, answer_of(log.run_id))).rowcount
        if not known:
            return
    end, output = entry.events[-1], _output(db, log, entry)
    assert isinstance(end, End)
    event = run_ended(log.run_id, end, output.text, output.parts(), now)
    puts = () if place is None else (Put(changed(place.post, event), place.version),)
    room_logs.write(db, now, room, Change(tag=entry.tag, events=(event,), puts=puts))


def _answer(db: sqlite3.Connection, room: RoomLog, run_id: str) -> Place | None:
    try:
        return room_logs.post(db, room, answer_of(run_id))
    except DamagedLog:
        return None


def _output(db: sqlite3.Connection, log: Log, entry: Entry) -> Content:
    try:
        return reads.output(db, log, entry)
    except DamagedLog:
        return Content()
