"""The log of each run: where it stands, its entries from a seq on, more of them, none any more.

Entries lie in the order of writing, whatever run they are of, so that a commit of many runs touches few
pages; an index over all would touch one for each run. So an entry names the one before it in its log, and
`tops` the newest of each. To find an old one without walking the whole way, one in every block of seqs is
marked, and only these are in an index.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec import Struct

from headwater.core.events import Entry, Status
from headwater.core.position import START, Position
from headwater.errors import DamagedLog

LIVING: Final = "(expires_at IS NULL OR expires_at > ?)"
"""What has expired is not there, whether or not it has been swept. Takes the time."""

# The entry that covers a multiple of this is marked. So a walk takes at most as many steps, some 50 us,
# and an append pays for a 64th of an index at one event an entry, which is the usual.
BLOCK_SEQS: Final = 64

# The driver lets go of the interpreter's lock at each step of a statement, and on a busy worker getting it
# back is what costs. So the states of many logs come as one JSON row, and entries go in by up to this many
# a statement, in halves of it, so that there are only a few statements. (768 values; an old SQLite takes 999.)
_ROWS_MAX: Final = 128

# Takes the time, a JSON array of ids, and the time again.
_STATES: Final = f"""
    SELECT json_group_array(json_array(id, n, status, token, cancelled, lease_until > ?, newest, seq, tag))
    FROM runs JOIN tops ON run = n
    WHERE id IN (SELECT value FROM json_each(?)) AND {LIVING}
"""
# From the first mark at or after a seq, or else from the top, back to the entry that covers that seq.
# The run is compared because the number of a removed entry may be given again while its log's top is
# still there. That and the limit also keep a damaged file from leading astray.
_WALK: Final = """
    WITH RECURSIVE walk (n, prev) AS (
        SELECT n, prev FROM entries WHERE run = :run AND seq >= :seq AND n = ifnull(
            (SELECT n FROM entries WHERE marked AND run = :run AND seq >= :seq ORDER BY seq LIMIT 1),
            (SELECT newest FROM tops WHERE run = :run)
        )
        UNION ALL
        SELECT before.n, before.prev FROM walk JOIN entries AS before ON before.n = walk.prev
        WHERE before.run = :run AND before.seq >= :seq
        LIMIT :steps
    )
    SELECT n FROM walk
"""
_READ: Final = f"SELECT seq, tag, payload FROM entries WHERE n IN ({_WALK}) ORDER BY n"
_COVERING: Final = f"SELECT tag FROM entries WHERE n IN ({_WALK}) ORDER BY n LIMIT 1"
_REMOVE: Final = f"DELETE FROM entries WHERE n IN ({_WALK})"
_INSERT: Final = "INSERT INTO entries (run, seq, tag, prev, marked, payload) VALUES (?, ?, ?, ?, ?, ?)"
_SET_TOPS: Final = "REPLACE INTO tops (run, newest, seq, tag) SELECT run, n, seq, tag FROM entries WHERE n > ?"


class Log(Struct, array_like=True, frozen=True, gc=False):
    """A run's log as it stands: the run's number and state, whether its lease lasts, and the newest
    entry's number, seq and tag, which are 0 where there is none."""

    run_id: str
    run: int
    status: Status
    token: int
    cancelled: int
    held: int
    newest: int
    seq: int
    tag: int

    @property
    def top(self) -> Position:
        """Where it stands."""
        return Position(self.seq, self.tag)


_ids_encoder = msgspec.json.Encoder()
_states_decoder = msgspec.json.Decoder(list[Log])


def find_many(db: sqlite3.Connection, now: float, run_ids: Sequence[str]) -> dict[str, Log]:
    """The logs of those runs that there are, by id."""
    ids = _ids_encoder.encode(run_ids).decode()
    (found,) = db.execute(_STATES, (now, ids, now)).fetchone()
    return {log.run_id: log for log in _states_decoder.decode(found)}


def find(db: sqlite3.Connection, now: float, run_id: str) -> Log | None:
    """The log of a run, or None."""
    return find_many(db, now, [run_id]).get(run_id)


def rows(db: sqlite3.Connection, log: Log, seq: int) -> Iterator[tuple[int, int, bytes]]:
    """The entries from the one that covers `seq` to the top, each as seq, tag, payload.

    Raises DamagedLog if the last are missing; whoever takes them sees if there is a hole.
    """
    while seq <= log.seq:
        wanted = seq
        for row in db.execute(_READ, _from(log.run, seq)):
            seq = row[0] + 1
            yield row
        if seq == wanted:
            raise DamagedLog(f"The log of run {log.run_id} is damaged: its entries from seq {seq} on are missing.")


def tag_at(db: sqlite3.Connection, log: Log, seq: int) -> int | None:
    """The tag of the entry that covers this seq, or None if none does; an empty log stands at 0 with 0."""
    if seq == log.seq:
        return log.tag
    if not 0 < seq < log.seq:
        return None
    row = db.execute(_COVERING, _from(log.run, seq)).fetchone()
    return None if row is None else row[0]


def below(db: sqlite3.Connection, log: Log) -> Position:
    """Where the log stood before its newest entry."""
    row = db.execute(
        "SELECT seq, tag FROM entries WHERE n = (SELECT prev FROM entries WHERE n = ?)", (log.newest,)
    ).fetchone()
    return START if row is None else Position(*row)


def write(db: sqlite3.Connection, entries: Sequence[tuple[Log, Entry, bytes]]) -> None:
    """Put one entry, with its payload, on top of each of these logs. Without a transaction of its own."""
    new: list[tuple[Any, ...]] = [
        (log.run, entry.seq, entry.tag, log.newest, _is_marked(entry), payload) for log, entry, payload in entries
    ]
    at, size, last = 0, _ROWS_MAX, 0
    while at < len(new):
        while size > len(new) - at:
            size //= 2
        statement = f"{_INSERT}{', (?, ?, ?, ?, ?, ?)' * (size - 1)}"
        last = db.execute(statement, list(chain.from_iterable(new[at : at + size]))).lastrowid or 0
        at += size
    if new:
        db.execute(_SET_TOPS, (last - len(new),))  # each row's number is one more than the highest


def _is_marked(entry: Entry) -> bool:
    return entry.after.seq // BLOCK_SEQS != entry.seq // BLOCK_SEQS


def _from(run: int, seq: int) -> dict[str, int]:
    """What a walk to the entry that covers `seq` is given."""
    return {"run": run, "seq": seq, "steps": BLOCK_SEQS}


def remove(db: sqlite3.Connection, run: int, limit: int | None = None) -> int:
    """Remove entries of a run, oldest first, until there are none or `limit` is reached: how many.

    What is left can be removed later, but no longer read. Without a transaction of its own.
    """
    removed = 0
    while limit is None or removed < limit:
        count = db.execute(_REMOVE, _from(run, 1)).rowcount
        if not count:
            break
        removed += count
    return removed
