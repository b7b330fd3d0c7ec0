"""What SQLite's errors mean to the one who runs the server."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from headwater.errors import StoreUnavailable

_DAMAGED: Final = "the database file is damaged: restore it from a backup, or try `sqlite3 <file> .recover`"
_LOCKED: Final = "another program holds the database locked: let it finish, or close it"
_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full, or the database has reached its size limit: make room, "
    "or keep runs for a shorter time; what is stored can still be read",
    sqlite3.SQLITE_IOERR: "the disk reports an error: look at the disk and at the system's log",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: "the database file cannot be written: check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened: check that it and its folder are there, "
    "and that the process may open more files",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


def explain(error: sqlite3.Error) -> str | None:
    """What happened and what to do, to be put into a sentence, or None if the error is a mistake in our own code."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    sentence = _SENTENCES.get(code & 0xFF)  # the low byte is the primary code
    if sentence is None and isinstance(error, sqlite3.OperationalError):
        sentence = f"the database failed: {error}"
    return f"{sentence} ({error.sqlite_errorname})" if sentence and code else sentence


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's troubles leave as StoreUnavailable."""
    try:
        yield
    except sqlite3.Error as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise StoreUnavailable(f"{sentence[0].upper()}{sentence[1:]}.") from error
