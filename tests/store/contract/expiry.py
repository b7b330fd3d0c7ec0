"""Contract: what is deleted, what expires, and that nothing is left of it."""

import pytest

from headwater.core.events import Text
from headwater.core.lifecycle import end_finished
from headwater.core.position import START
from headwater.entropy import new_tag
from headwater.errors import RunNotEnded, UnknownRun
from headwater.store.base import Outcome, Store
from tests.store.maker import StoreMaker
from tests.store.producing import Producer, a_key, a_run, start, take


async def an_ended_run(store: Store, key: str | None = None) -> Producer:
    run = (await store.create(a_run(), a_key(key=key) if key else None)).run
    one = await take(store, run.id)
    await one.write(Text("a"))
    await one.write(Text("b"), end_finished("stop", None))
    return one


async def assert_gone(store: Store, one: Producer) -> None:
    assert await store.get(one.run_id) is None
    assert await store.read(one.run_id, START, 1000) is None
    assert await store.contents(one.run_id) is None
    assert await store.tops([one.run_id]) == [None]
    assert await store.cancel(one.run_id, new_tag()) is None
    assert await store.take_lease(one.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3) is None
    assert [result.held for result in await store.renew_leases([(one.run_id, 1)], 3)] == [False]
    assert (await one.send(one.next(Text("c")))).outcome is Outcome.GONE
    listed = await store.list_runs("ann", conversation=None, status=None, before=None, limit=100)
    assert one.run_id not in [run.id for run in listed.runs]
    with pytest.raises(UnknownRun):
        await store.delete(one.run_id)
    with pytest.raises(UnknownRun):
        await store.list_runs("ann", conversation=None, status=None, before=one.run_id, limit=1)


class Expiry:
    async def test_nothing_is_left_of_a_deleted_run(self, store: Store) -> None:
        one, other = await an_ended_run(store, "k1"), await an_ended_run(store, "k2")
        await store.delete(one.run_id)
        await assert_gone(store, one)
        assert (await store.create(a_run(), a_key(key="k1", body_hash="another"))).fresh
        assert not (await store.create(a_run(), a_key(key="k2"))).fresh
        assert await store.get(other.run_id) is not None

    async def test_a_deleted_runs_id_begins_an_empty_log(self, store: Store) -> None:
        one = await an_ended_run(store)
        await store.delete(one.run_id)
        assert (await store.create(a_run(id=one.run_id), None)).fresh
        read = await store.read(one.run_id, START, 1000)
        assert read is not None and read.entries == ()

    async def test_an_unfinished_run_is_not_deleted(self, store: Store) -> None:
        queued = (await store.create(a_run(), None)).run
        running = await start(store)
        for run_id in (queued.id, running.run_id):
            with pytest.raises(RunNotEnded):
                await store.delete(run_id)
            assert await store.get(run_id) is not None
        await running.write(Text("still here"))

    async def test_an_unknown_run_is_not_deleted(self, store: Store) -> None:
        with pytest.raises(UnknownRun):
            await store.delete("run_nowhere")

    async def test_an_expired_run_is_gone_before_anyone_sweeps(self, store: Store, make_store: StoreMaker) -> None:
        one = await an_ended_run(store, "k1")
        await make_store.advance(make_store.run_ttl_s)
        await assert_gone(store, one)
        assert (await store.create(a_run(), a_key(key="k1", body_hash="another"))).fresh
        assert (await store.create(a_run(id=one.run_id), None)).fresh
        read = await store.read(one.run_id, START, 1000)
        assert read is not None and read.entries == ()

    async def test_a_sweep_removes_what_has_expired_and_no_more_than_asked(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        old = [await an_ended_run(store) for _ in range(3)]
        await make_store.advance(make_store.run_ttl_s)
        young = await an_ended_run(store)
        assert [await store.expire(2), await store.expire(2), await store.expire(2)] == [2, 1, 0]
        for one in old:
            await assert_gone(store, one)
        assert await store.get(young.run_id) is not None

    async def test_a_sweep_removes_expired_keys(self, store: Store, make_store: StoreMaker) -> None:
        run = (await store.create(a_run(), a_key(ttl_s=make_store.lease_s))).run
        await make_store.advance(make_store.lease_s)
        assert await store.expire(10) == 1
        assert await store.get(run.id) is not None

    async def test_an_unfinished_run_does_not_expire(self, store: Store, make_store: StoreMaker) -> None:
        queued = (await store.create(a_run(), None)).run
        one = await start(store)
        await make_store.advance(make_store.run_ttl_s * 2)
        assert await store.expire(10) == 0
        assert await store.get(queued.id) is not None
        await one.write(Text("late"))
