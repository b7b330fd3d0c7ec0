"""Rooms as they are removed: first out of sight, then row by row. One transaction each."""

import sqlite3
from typing import Final

from headwater.store.rooms import answers_under_way
from headwater.store.sqlite import room_logs
from headwater.store.sqlite.transactions import transaction

# About 5 ms of the writing thread, for which others wait.
_SWEPT_ROWS: Final = 500


def hide(db: sqlite3.Connection, _: float, room_id: str) -> bool:
    """Forget that there is such a room; the rest of it is swept. False if there is none. Raises Conflict."""
    with transaction(db):
        log = room_logs.find(db, room_id)
        if log is None:
            return False
        if db.execute("SELECT 1 FROM turns WHERE room = ? LIMIT 1", (log.room,)).fetchone() is not None:
            raise answers_under_way(room_id)
        db.execute("INSERT INTO removed_rooms (room) VALUES (?)", (log.room,))
        db.execute("DELETE FROM room_settings WHERE room = ?", (log.room,))
        db.execute("DELETE FROM rooms WHERE n = ?", (log.room,))
        return True


def sweep(db: sqlite3.Connection, _: float) -> bool:
    """Remove some rows of a room that is hidden; whether there may be more."""
    with transaction(db):
        hidden = db.execute("SELECT room FROM removed_rooms LIMIT 1").fetchone()
        if hidden is None:
            return False
        left = _SWEPT_ROWS
        for table in ("room_entries", "posts", "room_marks"):
            some = f"SELECT n FROM {table} WHERE room = ? LIMIT ?"
            left -= db.execute(f"DELETE FROM {table} WHERE n IN ({some})", (*hidden, left)).rowcount
        if left:
            db.execute("DELETE FROM removed_rooms WHERE room = ?", hidden)
        return True
