"""How the SQLite store finds rows, and that it leaves none behind."""

import pytest

from headwater.core.events import Status, Text
from headwater.core.lifecycle import end_finished
from headwater.store.base import Append
from headwater.store.sqlite import SqliteStore, reads, writes
from headwater.store.sqlite.logs import BLOCK_SEQS
from tests.store.chains import assert_whole
from tests.store.producing import a_key, a_run, entries, start, take
from tests.store.sqlite_maker import SqliteMaker

pytestmark = pytest.mark.anyio


async def test_a_long_log_is_swept_in_steps_between_which_others_write(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    while one.at.seq < writes._SWEPT_ROWS + 10:
        await one.write(Text("a"))
    await one.write(end_finished("stop", None))
    await maker.advance(maker.run_ttl_s)
    assert await store.in_writer(writes.sweep, 10) == (0, True)
    maker.now -= 10 * maker.run_ttl_s  # a clock that is set back shows no half log
    assert await store.get(one.run_id) is None
    assert await store.expire(10) == 1
    assert store._file.writer.execute("SELECT count(*) FROM entries").fetchone() == (0,)


async def an_expired_log(maker: SqliteMaker, store: SqliteStore, entries: int) -> None:
    """A log of so many entries, and an end, that a sweep may take."""
    one = await start(store)
    for n in range(entries):
        await one.write(Text(f"{n}"))
    await one.write(end_finished("stop", None))
    await maker.advance(maker.run_ttl_s)


async def test_a_removal_that_a_crash_cut_short_is_finished_beside_others(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "_SWEPT_ROWS", BLOCK_SEQS + 1)
    store = await maker.open()
    await an_expired_log(maker, store, 5 * BLOCK_SEQS)
    other = await start(store, lease_s=1e9)
    sent: list[Append] = []
    left: list[int] = []
    while (await store.in_writer(writes.sweep, 10))[1]:
        sent.append(await other.write(Text("between the steps")))
        await store.close()
        store = other.store = await maker.open()
        (rows,) = store._file.writer.execute("SELECT count(*) FROM entries").fetchone()
        left.append(rows - len(sent))
    assert left[:-1] == sorted(set(left[:-1]), reverse=True) and len(left) > 2, "in steps"
    assert_whole(store._file.writer)
    assert await entries(store, other.run_id) == tuple(item.entry for item in sent)


async def test_what_takes_the_place_of_a_removed_entry_is_not_removed_with_it(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number may be given again, while the top of the log that had it is still there."""
    monkeypatch.setattr(writes, "_SWEPT_ROWS", 3)
    store = await maker.open()
    await an_expired_log(maker, store, 2)
    assert await store.in_writer(writes.sweep, 10) == (0, True)
    other = await start(store)
    sent = [await other.write(Text("in its place")) for _ in range(5)]
    assert await store.expire(10) == 1
    assert await entries(store, other.run_id) == tuple(item.entry for item in sent)
    assert_whole(store._file.writer)


async def test_nothing_is_left_in_any_table_of_a_removed_run(maker: SqliteMaker) -> None:
    store = await maker.open()
    run = (await store.create(a_run(), a_key())).run
    one = await take(store, run.id)
    await one.write(Text("a"), end_finished("stop", None))
    await store.delete(run.id)
    for table in ("runs", "requests", "tops", "entries", "keys"):
        assert store._file.writer.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


async def test_a_run_that_takes_the_id_of_an_expired_one_takes_nothing_else_of_it(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    await one.write(Text("a"), end_finished("stop", None))
    await maker.advance(maker.run_ttl_s)
    assert (await store.create(a_run(id=one.run_id), None)).fresh
    assert await entries(store, one.run_id) == ()


@pytest.mark.parametrize("older_than", [None, (1.0, 1)])
@pytest.mark.parametrize("status", [None, "completed"])
@pytest.mark.parametrize(("conversation", "index"), [(None, None), ("c", "runs_by_conversation")])
async def test_a_list_is_found_by_an_index_in_its_order(
    maker: SqliteMaker,
    conversation: str | None,
    status: Status | None,
    older_than: tuple[float, int] | None,
    index: str | None,
) -> None:
    store = await maker.open()
    sql, values = reads.list_query("ann", conversation, status, older_than, 1.0)
    plan = [row[3] for row in store._file.writer.execute(f"EXPLAIN QUERY PLAN {sql}", (*values, 10))]
    expected = index or ("runs_by_status" if status else "runs_by_owner")
    assert plan[0].startswith(f"SEARCH runs USING INDEX {expected} (owner=?")
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]
