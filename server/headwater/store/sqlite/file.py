"""The open database: the file, its lock, and the connections to it. All of it blocks."""

import fcntl
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from headwater.errors import ConfigError
from headwater.store.sqlite import faults, schema

MEMORY: Final = ":memory:"

# Only a stranger's program can make us wait; shorter than a lease, so that it shows before runs are lost.
_BUSY_S: Final = 2.0
# Of the writing connection: the rows of some thousand runs in progress, and the ends of their logs.
_WRITER_CACHE_KB: Final = 16 * 1024
# A checkpoint copies this many pages (8 MB) into the file while writers wait, for about 10 ms. Half as
# many double the fsyncs and write busy pages more often; twice as many double the wait.
_CHECKPOINT_PAGES: Final = 2_000
# What a burst may leave of the write-ahead log on the disk once it is copied.
_WAL_KEPT_BYTES: Final = 64 * 1024 * 1024
_SYNCHRONOUS: Final = ("NORMAL", "FULL")


class DatabaseFile:
    """One SQLite file, owned by this process from `open` to `close`, unless it is not used `alone`.

    `writer` is the writing connection; `readers` holds the idle reading ones. In memory both are
    one connection, for nothing else can see it.
    """

    def __init__(self, path: str, *, synchronous: str, max_bytes: int | None, readers: int, alone: bool = True) -> None:
        self.name = path
        self.in_memory = path == MEMORY
        self.readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self.reader_count = readers
        self._path = Path(path)
        self._synchronous = synchronous
        self._max_bytes = max_bytes
        self._alone = alone
        self._connections: list[sqlite3.Connection] = []
        self._lock: int | None = None

    @property
    def writer(self) -> sqlite3.Connection:
        """The writing connection: the first that was opened."""
        return self._connections[0]

    def open(self) -> None:
        """Lock and open. Raises ConfigError, in one line, and then holds nothing."""
        try:
            self._open()
        except sqlite3.Error as error:
            self.close()
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
                raise ConfigError(f"the store {self.name} is not a SQLite database: name another file") from None
            raise ConfigError(f"the store {self.name} cannot be used: {faults.explain(error) or error}") from None
        except OSError as error:
            self.close()
            raise ConfigError(f"the store {self.name} cannot be opened: {_sentence(error)}") from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if self._synchronous not in _SYNCHRONOUS:
            raise ConfigError(f"synchronous must be NORMAL or FULL, not {self._synchronous!r}")
        if self.in_memory:
            db = self._connect(MEMORY)
            schema.prepare(db)
            self.readers.put(db)
            return
        self._path = Path(os.path.realpath(self.name))  # a file may have several names, but only one lock
        if self._path.is_dir():
            raise IsADirectoryError
        if self._alone:
            self._claim()
        self._create()
        db = self._connect(str(self._path))
        schema.check(db, self.name)
        if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise ConfigError(f"the store {self.name} lies on a file system without shared memory: use a local disk")
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        db.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        schema.prepare(db)
        if self._max_bytes is not None:
            page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {max(1, self._max_bytes // page_bytes)}")
        for _ in range(self.reader_count):
            self.readers.put(self._connect(f"{self._path.as_uri()}?mode=ro"))

    def _connect(self, where: str) -> sqlite3.Connection:
        # One thread at a time uses a connection, but not always the same one.
        db = sqlite3.connect(
            where, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, uri=where.startswith("file:")
        )
        self._connections.append(db)
        return db

    def _claim(self) -> None:
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._lock, 32).decode("ascii", "replace").strip()
            raise ConfigError(
                f"the store {self.name} is in use by another Headwater (process {holder or 'unknown'}): "
                "stop that one, or name another file"
            ) from None
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _create(self) -> None:
        # Conversations are private; SQLite gives its other files the mode of this one. One that is there is not
        # opened: closing any descriptor of the file would drop the locks that another store here has on it.
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if not os.access(self._path, os.R_OK | os.W_OK):
                raise PermissionError from None

    def close(self) -> None:
        """Let go of everything; the writer last, for it is the one that can empty the write-ahead log."""
        while self._connections:
            with suppress(sqlite3.Error):  # what was acknowledged is in the log, and the next opening reads it
                self._connections.pop().close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sentence(error: OSError) -> str:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "its folder does not exist"
        case IsADirectoryError():
            return "it is a folder, not a file"
        case PermissionError():
            return "this user may not write it, or may not write in its folder"
        case _:
            return error.strerror or str(error)
