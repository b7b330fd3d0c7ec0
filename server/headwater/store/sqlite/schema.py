"""The tables, and whether a file that we are given has them."""

import sqlite3
from typing import Final

from headwater.errors import ConfigError
from headwater.store.sqlite.room_tables import ROOM_TABLES
from headwater.store.sqlite.transactions import transaction

VERSION: Final = 6
_APPLICATION_ID: Final = 0x48445754  # "HDWT", in the file's header: this file is ours

# A request may be megabytes: apart from `runs`, whose rows change. For entries and tops see `logs`:
# `prev` is the entry before in the same log, 0 for the first, and a top is its log's newest entry.
# Tops are apart so that those of hundreds of runs share a page. Of what expires, `until` says when; the tables
# from `tickets` on are swept as they grow.
_TABLES: Final = (
    """CREATE TABLE runs (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        caller TEXT NOT NULL,
        model TEXT NOT NULL,
        conversation TEXT,
        room TEXT,
        status TEXT NOT NULL,
        created_at REAL NOT NULL,
        started_at REAL,
        ended_at REAL,
        expires_at REAL,
        cancelled INTEGER NOT NULL DEFAULT 0,
        token INTEGER NOT NULL DEFAULT 0,
        lease_tag INTEGER NOT NULL DEFAULT 0,
        lease_until REAL NOT NULL DEFAULT 0,
        holder TEXT
    )""",
    "CREATE INDEX runs_by_owner ON runs (owner, created_at)",
    "CREATE INDEX runs_by_conversation ON runs (owner, conversation, created_at)",
    "CREATE INDEX runs_by_status ON runs (owner, status, created_at)",
    "CREATE INDEX runs_unfinished ON runs (created_at) WHERE ended_at IS NULL",
    "CREATE INDEX runs_by_expiry ON runs (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE TABLE requests (run INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    """CREATE TABLE entries (
        n INTEGER PRIMARY KEY,
        run INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        tag INTEGER NOT NULL,
        prev INTEGER NOT NULL,
        marked INTEGER NOT NULL,
        payload BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX marks ON entries (run, seq) WHERE marked",
    """CREATE TABLE tops (
        run INTEGER PRIMARY KEY,
        newest INTEGER NOT NULL DEFAULT 0,
        seq INTEGER NOT NULL DEFAULT 0,
        tag INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE keys (
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        body_hash TEXT NOT NULL,
        run INTEGER NOT NULL,
        kept_until REAL NOT NULL,
        PRIMARY KEY (owner, key)
    ) WITHOUT ROWID""",
    "CREATE INDEX keys_by_run ON keys (run)",
    "CREATE INDEX keys_by_end ON keys (kept_until)",
    """CREATE TABLE api_keys (
        id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        tenant TEXT NOT NULL,
        scopes TEXT NOT NULL,
        digest TEXT NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL,
        revoked_at REAL
    )""",
    "CREATE TABLE vault (n INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
    "INSERT INTO vault (n, version) VALUES (1, 0)",
    "CREATE TABLE tickets (digest TEXT NOT NULL PRIMARY KEY, payload BLOB NOT NULL, until REAL NOT NULL)",
    "CREATE INDEX tickets_by_end ON tickets (until)",
    "CREATE TABLE windows (name TEXT NOT NULL PRIMARY KEY, used INTEGER NOT NULL, until REAL NOT NULL)",
    "CREATE INDEX windows_by_end ON windows (until)",
    """CREATE TABLE places (
        name TEXT NOT NULL,
        member TEXT NOT NULL,
        until REAL NOT NULL,
        PRIMARY KEY (name, member)
    )""",
    "CREATE INDEX places_by_end ON places (until)",
    *ROOM_TABLES,
)


def check(db: sqlite3.Connection, name: str) -> None:
    """Return if the file is empty or a store that we can use; nothing is written to it.

    Raises ConfigError, and sqlite3.DatabaseError if it is no database.
    """
    tables = _number(db, "SELECT count(*) FROM sqlite_master")
    application, version = _number(db, "PRAGMA application_id"), _number(db, "PRAGMA user_version")
    if (tables, application, version) == (0, 0, 0):
        return
    if application != _APPLICATION_ID:
        raise ConfigError(f"the store {name} is a database of another program: name another file")
    if version > VERSION:
        raise ConfigError(
            f"the store {name} was written by a newer Headwater (its schema is {version}, this one knows {VERSION}): "
            "install that version, or name another file"
        )
    if version < VERSION:
        raise ConfigError(
            f"the store {name} was written before Headwater's first release (its schema is {version}, this one knows "
            f"{VERSION}): name another file"
        )


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables of an empty file. It always writes, so a file that cannot be written shows here."""
    with transaction(db):
        if not _number(db, "SELECT count(*) FROM sqlite_master"):
            for statement in _TABLES:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        touch(db)


def touch(db: sqlite3.Connection) -> None:
    """Write a page that changes nothing."""
    db.execute(f"PRAGMA user_version = {VERSION}")


def _number(db: sqlite3.Connection, sql: str) -> int:
    value: int = db.execute(sql).fetchone()[0]
    return value
