"""Contract: a cancel wins."""

from headwater.core.events import End, Entry, Text
from headwater.core.lifecycle import end_finished
from headwater.core.position import START, Position
from headwater.entropy import new_tag
from headwater.store.base import AppendResult, Outcome, RenewResult, Store
from tests.store.maker import StoreMaker
from tests.store.producing import a_run, start, take


class Cancels:
    async def test_a_queued_run_is_ended_by_the_cancel_itself(self, store: Store, make_store: StoreMaker) -> None:
        run = (await store.create(a_run(), None)).run
        tag = new_tag()
        cancelled = await store.cancel(run.id, tag)
        assert cancelled is not None
        assert cancelled.entry == Entry(START, 1, tag, (End("cancelled"),))
        after = cancelled.run
        assert (after.status, after.cancelled, after.position) == ("cancelled", True, Position(1, tag))
        assert after.ended_at is not None and after.expires_at is not None
        assert abs(after.expires_at - after.ended_at - make_store.run_ttl_s) < 0.01
        assert await store.get(run.id) == after
        read = await store.read(run.id, START, 1000)
        assert read is not None and read.entries == (cancelled.entry,)
        assert await store.stale(10) == []

    async def test_a_producer_is_told_and_may_only_end_it_as_cancelled(self, store: Store) -> None:
        one = await start(store)
        await one.write(Text("a"))
        cancelled = await store.cancel(one.run_id, new_tag())
        assert cancelled is not None and cancelled.entry is None
        assert (cancelled.run.status, cancelled.run.cancelled) == ("in_progress", True)
        assert await store.renew_leases([(one.run_id, 1)], 3) == [RenewResult(True, cancelled=True)]
        refused = AppendResult(Outcome.CANCELLED, one.at, cancelled=True)
        for events in ((Text("b"),), (end_finished("stop", None),), (Text("b"), End("cancelled"))):
            assert await one.send(one.next(*events)) == refused
        await one.write(End("cancelled"))
        run = await store.get(one.run_id)
        assert run is not None and (run.status, run.position) == ("cancelled", one.at)

    async def test_where_the_producer_died_the_cancel_writes_the_end_after_what_there_is(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        await one.write(Text("a"), Text("b"))
        await make_store.advance(make_store.lease_s)
        tag = new_tag()
        cancelled = await store.cancel(one.run_id, tag)
        assert cancelled is not None
        assert cancelled.entry == Entry(one.at, 3, tag, (End("cancelled"),))
        assert (await one.send(one.next(Text("c")))).outcome is Outcome.ENDED
        assert await store.take_lease(one.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3) is None

    async def test_asked_again_it_gives_the_end_that_it_wrote(self, store: Store) -> None:
        one = await start(store)
        await one.write(Text("a"))
        await store.release_lease(one.run_id, 1)
        tag = new_tag()
        first = await store.cancel(one.run_id, tag)
        assert first is not None and first.entry is not None
        assert await store.cancel(one.run_id, tag) == first
        other = await store.cancel(one.run_id, new_tag())
        assert other is not None and (other.run, other.entry) == (first.run, None)

    async def test_a_second_cancel_ends_what_the_first_only_marked(self, store: Store, make_store: StoreMaker) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        tag = new_tag()
        await store.cancel(one.run_id, tag)
        await make_store.advance(make_store.lease_s)
        second = await store.cancel(one.run_id, tag)
        assert second is not None and second.entry == Entry(START, 1, tag, (End("cancelled"),))
        assert second.run.status == "cancelled"

    async def test_an_ended_run_comes_unchanged(self, store: Store) -> None:
        one = await start(store)
        await one.write(Text("a"), end_finished("stop", None))
        before = await store.get(one.run_id)
        cancelled = await store.cancel(one.run_id, new_tag())
        assert cancelled is not None and (cancelled.run, cancelled.entry) == (before, None)
        assert await store.get(one.run_id) == before

    async def test_an_unknown_run_is_none_to_cancel(self, store: Store) -> None:
        assert await store.cancel("run_nowhere", new_tag()) is None

    async def test_an_heirs_run_is_not_ended_under_it(self, store: Store, make_store: StoreMaker) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s)
        heir = await take(store, one.run_id, seen=1)
        cancelled = await store.cancel(one.run_id, new_tag())
        assert cancelled is not None and cancelled.entry is None
        await heir.write(End("cancelled"))
