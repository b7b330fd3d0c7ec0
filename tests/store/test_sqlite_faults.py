"""What goes wrong with a disk, and what the SQLite store makes of it."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.core.events import Entry, Text
from headwater.core.lifecycle import end_finished
from headwater.core.position import START, Position
from headwater.core.run import RunRequest
from headwater.errors import DamagedLog, StoreUnavailable
from headwater.store.base import Append, Outcome
from headwater.store.sqlite import SqliteStore
from tests.store.producing import Producer, a_key, a_run, an_append, entries, start, texts
from tests.store.sqlite_maker import SqliteMaker

pytestmark = pytest.mark.anyio

LARGE = Text("x" * 20_000)


def strangers_hand(maker: SqliteMaker, sql: str, *values: object) -> None:
    """Change the file behind the store's back."""
    db = sqlite3.connect(maker.path, isolation_level=None)
    db.execute(sql, values)
    db.close()


def scribble(maker: SqliteMaker) -> None:
    """Overwrite the second half: what was written last, and nothing of the schema."""
    path = Path(maker.path)
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(data[:half] + b"\x55" * (len(data) - half))


async def fill(store: SqliteStore, one: Producer) -> list[Append]:
    """Append until the disk is full; what was stored."""
    stored: list[Append] = []
    with pytest.raises(StoreUnavailable, match=r"^The disk is full.*make room.*\(SQLITE_FULL\)\.$"):
        while True:
            stored.append(await one.write(LARGE))
    return stored


async def test_a_full_disk_tears_nothing_and_reading_goes_on(maker: SqliteMaker) -> None:
    maker.max_bytes = 1_000_000
    store = await maker.open()
    old, one, other = await start(store), await start(store), await start(store)
    ended = [await old.write(LARGE) for _ in range(10)]
    ended.append(await old.write(end_finished("stop", None)))
    stored = await fill(store, one)
    assert len(stored) > 10

    # One entry that fits beside one that does not: neither is there, for the commit was one.
    with pytest.raises(StoreUnavailable):
        await store.append([other.next(Text("small")), one.next(LARGE)])
    with pytest.raises(StoreUnavailable):
        await store.create(a_run(request=RunRequest(input="y" * 100_000)), a_key())
    assert await entries(store, one.run_id) == tuple(item.entry for item in stored)
    assert await entries(store, other.run_id) == ()
    assert await entries(store, old.run_id) == tuple(item.entry for item in ended)
    listed = await store.list_runs("ann", conversation=None, status=None, before=None, limit=10)
    assert len(listed.runs) == 3

    # Once there is room the same batch is taken.
    await store.delete(old.run_id)
    results = await store.append([other.next(Text("small")), one.next(LARGE)])
    assert [result.outcome for result in results] == [Outcome.STORED, Outcome.STORED]
    assert (await store.create(a_run(), a_key())).fresh


async def test_a_full_disk_is_full_after_a_restart_and_loses_nothing(maker: SqliteMaker) -> None:
    maker.max_bytes = 500_000
    store = await maker.open()
    one = await start(store)
    stored = await fill(store, one)
    await store.close()
    store = await maker.open()
    assert await entries(store, one.run_id) == tuple(item.entry for item in stored)
    one.store = store
    assert await fill(store, one) == []


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_write_ahead_log_that_cannot_grow_tears_nothing(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    stored = [await one.write(LARGE)]
    with no_file_may_grow_beyond(os.stat(f"{maker.path}-wal").st_size + 10_000):  # in the middle of the next entry
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="The disk (is full|reports an error).*SQLITE_"):
                await one.write(LARGE)
        assert await entries(store, one.run_id) == (stored[0].entry,)
    stored.append(await one.write(LARGE))
    await store.close()
    assert await entries(await maker.open(), one.run_id) == tuple(item.entry for item in stored)


@pytest.mark.parametrize(
    "payload",
    [b'[["t","hel', b"", b'[["?","hello"],["t","b"]]', b'[["t","a"]]', b'[["t","a"],["t","b"],["t","c"]]', b"\xff\xfe"],
    ids=["cut", "empty", "unknown kind", "too few", "too many", "not text"],
)
async def test_a_damaged_entry_fails_the_reads_of_its_run_only(maker: SqliteMaker, payload: bytes) -> None:
    store = await maker.open()
    one, other = await start(store), await start(store)
    for each in (one, other):
        await each.write(*texts("a", "b"))
        await each.write(*texts("c", "d"))
    number = "(SELECT n FROM runs WHERE id = ?)"
    strangers_hand(maker, f"UPDATE entries SET payload = ? WHERE seq = 4 AND run = {number}", payload, one.run_id)
    for call in (store.read(one.run_id, START, 1000), store.contents(one.run_id)):
        with pytest.raises(DamagedLog, match=one.run_id):
            await call
    assert len(await entries(store, other.run_id)) == 2
    run = await store.get(one.run_id)
    assert run is not None and run.position == one.at
    await one.write(Text("the log goes on"))
    read = await store.read(one.run_id, Position(4, one.tag), 1000)
    assert read is not None and read.entries[0].events == (Text("the log goes on"),)


@pytest.mark.parametrize("seq", [1, 30, 64, 100, 128, 150], ids=lambda seq: f"seq {seq}")
async def test_a_missing_entry_is_seen(maker: SqliteMaker, seq: int) -> None:
    """The first, the last, a marked one, one between."""
    store = await maker.open()
    one, other = await start(store), await start(store)
    for n in range(150):
        await store.append([one.next(Text(f"{n}")), other.next(Text(f"{n}"))])
        one.at, other.at = Position(n + 1, one.tag), Position(n + 1, other.tag)
    strangers_hand(
        maker, "DELETE FROM entries WHERE seq = ? AND run = (SELECT n FROM runs WHERE id = ?)", seq, one.run_id
    )
    for call in (store.read(one.run_id, START, 100_000), store.contents(one.run_id)):
        with pytest.raises(DamagedLog, match=f"{one.run_id} is damaged.* missing"):
            await call
    assert len(await entries(store, other.run_id)) == 150
    await one.write(Text("the log goes on"))


async def test_a_damaged_request_is_said_to_be_so(maker: SqliteMaker) -> None:
    store = await maker.open()
    run, other = (await store.create(a_run(), None)).run, (await store.create(a_run(), None)).run
    strangers_hand(maker, "UPDATE requests SET body = '{' WHERE run = (SELECT n FROM runs WHERE id = ?)", run.id)
    with pytest.raises(DamagedLog, match=run.id):
        await store.get(run.id)
    assert await store.get(other.id) == other


async def test_a_damaged_file_is_unavailable_and_says_what_to_do(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    for _ in range(30):
        await one.write(LARGE)
    await store.close()
    scribble(maker)
    store = await maker.open()
    with pytest.raises(StoreUnavailable, match="The database file is damaged: restore it from a backup"):
        await store.read(one.run_id, START, 1000)


async def test_a_strangers_lock_fails_writes_clearly_and_reading_goes_on(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.store.sqlite.file._BUSY_S", 0.05)
    store = await maker.open()
    one = await start(store)
    item = await one.write(Text("a"))
    stranger = sqlite3.connect(maker.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="Another program holds the database locked"):
        await one.write(Text("b"))
    with pytest.raises(StoreUnavailable):
        await store.ping()
    assert await entries(store, one.run_id) == (item.entry,)
    stranger.close()
    await one.write(Text("b"))
    await store.ping()


async def test_a_mistake_of_ours_is_not_called_a_trouble_of_the_disk(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    payload: Any = None
    with pytest.raises(sqlite3.IntegrityError):
        await store.append([msgspec.structs.replace(one.next(Text("a")), payload=payload)])
    assert await entries(store, one.run_id) == ()
    await one.write(Text("a"))


async def test_two_entries_of_a_run_in_a_batch_are_refused(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    item = one.next(Text("a"))
    with pytest.raises(ValueError, match="at most one entry of a run"):
        await store.append([item, item])
    assert await entries(store, one.run_id) == ()
    await one.write(Text("a"))


async def test_an_entry_that_does_not_fill_its_range_is_refused(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    empty = an_append(one.run_id, 1, one.tag, START)
    long = Append(one.run_id, 1, Entry(START, 3, one.tag, texts("a", "b")), b'[["t","a"],["t","b"]]')
    for item in (empty, long):
        with pytest.raises(ValueError, match="cannot cover"):
            await store.append([item])
    await one.write(Text("a"))
