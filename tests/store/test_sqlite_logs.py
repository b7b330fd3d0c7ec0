"""How the SQLite store lays out its logs: chains of entries, their tops, and a mark in every block of seqs."""

import random
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import pytest

from headwater.core.content import Content
from headwater.core.events import Entry, Text, encode_events
from headwater.core.lifecycle import end_finished
from headwater.core.position import START, Position
from headwater.errors import StoreUnavailable
from headwater.store.base import Append, AppendResult, Outcome
from headwater.store.sqlite import SqliteStore, reads, writes
from headwater.store.sqlite.logs import BLOCK_SEQS
from tests.store.chains import assert_whole
from tests.store.producing import Producer, an_append, entries, start, take, texts
from tests.store.sqlite_maker import SqliteMaker

pytestmark = pytest.mark.anyio

EVERYTHING: Final = 10**9
END: Final = end_finished("stop", None)

Sizes = Callable[[random.Random], int]
SIZES: dict[str, Sizes] = {
    "one event an entry": lambda _: 1,
    "a few": lambda dice: dice.randint(1, 5),
    "a block": lambda _: BLOCK_SEQS,
    "from one to several blocks": lambda dice: dice.choice([1, 1, 1, 2, BLOCK_SEQS - 1, 3 * BLOCK_SEQS]),
}
of_all_sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


async def append_beside(store: SqliteStore, *items: tuple[Producer, Append]) -> None:
    """Append for several at once; all must be stored."""
    results = await store.append([item for _, item in items])
    assert [result.outcome for result in results] == [Outcome.STORED] * len(items)
    for one, item in items:
        one.at = item.entry.position


async def a_long_log(maker: SqliteMaker, store: SqliteStore, size: Sizes) -> tuple[str, list[Entry]]:
    """A log of several blocks by three writers, each entry beside one of another run; and what it holds."""
    dice = random.Random(7)
    one, other = await start(store), await start(store, lease_s=1e9)
    written: list[Entry] = []
    for token in range(3):
        if token:
            await maker.advance(maker.lease_s)
            one = await take(store, one.run_id, seen=token)
        until = one.at.seq + BLOCK_SEQS * 3 // 2
        while one.at.seq < until:
            words = texts(*(f"{one.at.seq + n} " for n in range(size(dice))))
            item = one.next(*words)
            await append_beside(store, (one, item), (other, other.next(*words)))
            written.append(item.entry)
    return one.run_id, written


def rest(written: list[Entry], after: Position) -> tuple[Entry, ...]:
    """What a read after a position must give."""
    left = [entry for entry in written if entry.seq > after.seq]
    return tuple(entry if entry.after.seq >= after.seq else entry.cut(after) for entry in left)


@of_all_sizes
async def test_a_log_of_many_blocks_reads_back_from_every_seq(maker: SqliteMaker, size: Sizes) -> None:
    store = await maker.open()
    run_id, written = await a_long_log(maker, store, size)
    assert_whole(store._file.writer)
    assert await entries(store, run_id) == tuple(written)
    tags = {entry.tag for entry in written}
    assert len(tags) == 3
    for entry in written:
        for seq in range(entry.after.seq + 1, entry.seq + 1):
            for tag in {*tags, entry.tag + 1}:
                read = await store.read(run_id, Position(seq, tag), EVERYTHING)
                assert read is not None
                expected = (True, rest(written, Position(seq, tag))) if tag == entry.tag else (False, ())
                assert (read.joined, read.entries) == expected


@of_all_sizes
async def test_a_log_of_many_blocks_is_read_in_pieces(maker: SqliteMaker, size: Sizes) -> None:
    store = await maker.open()
    run_id, written = await a_long_log(maker, store, size)
    for room in (1, 500, 5_000):
        after, found = START, list[Entry]()
        while (read := await store.read(run_id, after, room)) and read.entries:
            found += read.entries
            after = found[-1].position
        assert found == written


@of_all_sizes
async def test_contents_of_many_blocks_are_in_order(maker: SqliteMaker, size: Sizes) -> None:
    store = await maker.open()
    run_id, written = await a_long_log(maker, store, size)
    content = Content()
    for event in [event for entry in written for event in entry.events]:
        content.add(event)
    got = await store.contents(run_id)
    assert got is not None
    assert (got.text, got.position) == (content.text, written[-1].position)


@of_all_sizes
async def test_an_entry_is_found_again_wherever_it_lies(maker: SqliteMaker, size: Sizes) -> None:
    store = await maker.open()
    run_id, written = await a_long_log(maker, store, size)
    top = written[-1].position
    for entry in written:
        again = Append(run_id, 1, entry, encode_events(entry.events))
        strangers = an_append(run_id, 1, entry.tag + 1, entry.after, *entry.events)
        assert await store.append([again]) == [AppendResult(Outcome.STORED, top)]
        assert await store.append([strangers]) == [AppendResult(Outcome.FENCED, top)]
    assert await entries(store, run_id) == tuple(written)
    assert_whole(store._file.writer)


async def test_a_refused_entry_leaves_the_chains_whole(maker: SqliteMaker) -> None:
    store = await maker.open()
    one, other = await start(store), await start(store)
    written: list[Entry] = []
    for n in range(2 * BLOCK_SEQS):
        item = one.next(Text(f"{n}"))
        results = await store.append([item, an_append(other.run_id, 1, other.tag, Position(n + 1, 5), Text("lost"))])
        assert [result.outcome for result in results] == [Outcome.STORED, Outcome.BEHIND]
        one.at = item.entry.position
        written.append(item.entry)
    last = await other.write(Text("b"))
    assert_whole(store._file.writer)
    assert await entries(store, one.run_id) == tuple(written)
    assert await entries(store, other.run_id) == (last.entry,)


async def test_a_commit_that_a_full_disk_undid_leaves_the_chains_whole(maker: SqliteMaker) -> None:
    maker.max_bytes = 600_000
    store = await maker.open()
    old, *several = [await start(store) for _ in range(4)]
    await old.write(Text("x" * 50_000), END)
    fits, large = Text("y" * 1_000), Text("z" * 500_000)
    for n in range(BLOCK_SEQS + 5):
        await append_beside(store, *((one, one.next(fits)) for one in several))
        if n % 10 == 0:
            with pytest.raises(StoreUnavailable, match="disk is full"):
                await store.append([one.next(fits) for one in several[:2]] + [several[2].next(large)])
            assert_whole(store._file.writer)
    await store.close()
    store = await maker.open()
    assert_whole(store._file.writer)
    for one in several:
        assert len(await entries(store, one.run_id)) == BLOCK_SEQS + 5


async def test_the_end_of_a_log_costs_the_same_however_long_it_is(maker: SqliteMaker) -> None:
    """Counted in the instructions of SQLite's machine."""
    store = await maker.open()
    one = await start(store)
    costs: list[list[int]] = []
    for length in (3 * BLOCK_SEQS + 20, 30 * BLOCK_SEQS + 20):
        while one.at.seq < length:
            await one.write(Text("a"))
        doings: list[Callable[[sqlite3.Connection, float], Any]] = [
            lambda db, now: reads.read(db, now, one.run_id, Position(one.at.seq - 10, one.tag), EVERYTHING),
            lambda db, now: reads.read(db, now, one.run_id, START, 1),
            lambda db, now: reads.tops(db, now, [one.run_id]),
            lambda db, now: reads.get(db, now, one.run_id),
            lambda db, now: writes.append(db, now, [one.next(Text("b"))], 60),
        ]
        costs.append([await store.in_writer(count_instructions, doing) for doing in doings])
        one.at = Position(length + 1, one.tag)
    short, long = costs
    assert long == pytest.approx(short, rel=0.05)


def count_instructions(db: sqlite3.Connection, now: float, do: Callable[[sqlite3.Connection, float], Any]) -> int:
    """How many SQLite takes for `do`."""
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1

    db.set_progress_handler(one_more, 1)
    do(db, now)
    db.set_progress_handler(None, 1)
    return count
