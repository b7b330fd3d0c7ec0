"""The tables of rooms."""

from typing import Final

# Settings hold instructions: apart from `rooms`, whose rows change with every message. `kept`, `kept_bytes` and `age_s`
# are the retention; the log is gone up to `trimmed`, and what is left has so many `bytes`; at `due`, or later, its
# oldest entry has outlived the age. An entry covers the seqs after `after`. `rowid`s tell turns in the order in which
# they were asked for, and marks in that in which they were made. Of a removed room the rest goes little by little; so
# its number is never given again.
ROOM_TABLES: Final = (
    """CREATE TABLE rooms (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at REAL NOT NULL,
        kept INTEGER NOT NULL,
        kept_bytes INTEGER NOT NULL,
        age_s REAL,
        top_seq INTEGER NOT NULL DEFAULT 0,
        top_tag INTEGER NOT NULL DEFAULT 0,
        trimmed_seq INTEGER NOT NULL DEFAULT 0,
        trimmed_tag INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        due REAL,
        UNIQUE (tenant, name)
    )""",
    "CREATE INDEX rooms_by_tenant ON rooms (tenant, created_at)",
    "CREATE INDEX rooms_by_due ON rooms (due) WHERE due IS NOT NULL",
    "CREATE TABLE room_settings (room INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    """CREATE TABLE room_entries (
        n INTEGER PRIMARY KEY,
        room INTEGER NOT NULL,
        after_seq INTEGER NOT NULL,
        after_tag INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        tag INTEGER NOT NULL,
        at REAL NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (room, seq)
    )""",
    """CREATE TABLE posts (
        n INTEGER PRIMARY KEY,
        room INTEGER NOT NULL,
        id TEXT NOT NULL,
        once TEXT,
        grows INTEGER NOT NULL,
        created_seq INTEGER NOT NULL,
        created_tag INTEGER NOT NULL,
        version_seq INTEGER NOT NULL,
        version_tag INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (room, id)
    )""",
    "CREATE INDEX posts_in_order ON posts (room, created_seq)",
    "CREATE UNIQUE INDEX posts_by_once ON posts (room, once) WHERE once IS NOT NULL",
    """CREATE TABLE turns (
        n INTEGER PRIMARY KEY,
        room INTEGER NOT NULL,
        id TEXT NOT NULL,
        is_open INTEGER NOT NULL DEFAULT 0,
        body BLOB NOT NULL,
        UNIQUE (room, id)
    )""",
    "CREATE INDEX turns_waiting ON turns (room) WHERE NOT is_open",
    """CREATE TABLE room_marks (
        n INTEGER PRIMARY KEY,
        room INTEGER NOT NULL,
        member TEXT NOT NULL,
        seq INTEGER NOT NULL,
        UNIQUE (room, member)
    )""",
    "CREATE TABLE removed_rooms (room INTEGER PRIMARY KEY)",
)
