"""Contract: who may produce a run."""

import asyncio

from headwater.core.events import End, Entry, Text
from headwater.core.lifecycle import end_failed, end_finished
from headwater.core.position import Position
from headwater.entropy import new_tag
from headwater.store.base import Claim, Lease, Outcome, RenewResult, Stale, Store
from tests.store.maker import StoreMaker
from tests.store.producing import Producer, a_key, a_run, start, take


class Leases:
    async def test_the_first_lease_begins_the_run(self, store: Store) -> None:
        run = (await store.create(a_run(), None)).run
        tag = new_tag()
        lease = await store.take_lease(run.id, seen=0, tag=tag, holder="w", lease_s=3)
        assert lease is not None
        assert (lease.token, lease.tag) == (1, tag)
        assert (lease.run.status, lease.run.token) == ("in_progress", 1)
        assert lease.run.started_at is not None and lease.run.started_at >= run.created_at
        assert await store.get(run.id) == lease.run

    async def test_a_claimed_run_begins_with_its_creation(self, store: Store) -> None:
        claim = Claim(new_tag(), "w", 3)
        created = await store.create(a_run(), None, claim)
        run = created.run
        assert created.fresh and await store.get(run.id) == run
        assert (run.status, run.token, run.started_at) == ("in_progress", 1, run.created_at)
        producer = Producer(store, Lease(run, run.token, claim.tag))
        await producer.write(Text("a"))
        assert await store.take_lease(run.id, seen=1, tag=new_tag(), holder="v", lease_s=3) is None

    async def test_a_claim_that_nobody_follows_up_dies_like_any_lease(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        claim = Claim(new_tag(), "w", make_store.lease_s)
        run = (await store.create(a_run(), None, claim)).run
        assert await store.stale(10) == []
        await make_store.advance(make_store.lease_s)
        assert await store.stale(10) == [Stale(run.id, 1, "in_progress", model="demo")]

    async def test_a_claim_takes_nothing_where_the_key_had_been_used(self, store: Store) -> None:
        first = await store.create(a_run(), a_key())
        again = await store.create(a_run(), a_key(), Claim(new_tag(), "w", 3))
        assert (again.fresh, again.run) == (False, first.run)
        assert await store.stale(10) == [Stale(first.run.id, 0, "queued", model="demo")]

    async def test_of_many_takers_one_wins(self, store: Store) -> None:
        run = (await store.create(a_run(), None)).run
        tries = (store.take_lease(run.id, seen=0, tag=new_tag(), holder="w", lease_s=3) for _ in range(10))
        assert sum(lease is not None for lease in await asyncio.gather(*tries)) == 1

    async def test_a_taker_that_asks_again_has_its_lease(self, store: Store) -> None:
        run = (await store.create(a_run(), None)).run
        tag = new_tag()
        first = await store.take_lease(run.id, seen=0, tag=tag, holder="w", lease_s=3)
        assert await store.take_lease(run.id, seen=0, tag=tag, holder="w", lease_s=3) == first

    async def test_a_live_lease_is_not_taken_and_an_expired_one_is(self, store: Store, make_store: StoreMaker) -> None:
        first = await start(store, lease_s=make_store.lease_s)
        await first.write(Text("a"))
        before = await store.get(first.run_id)
        assert await store.take_lease(first.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3) is None
        await make_store.advance(make_store.lease_s)
        lease = await store.take_lease(first.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3)
        assert lease is not None and before is not None
        assert (lease.token, lease.run.position, lease.run.started_at) == (2, first.at, before.started_at)

    async def test_who_saw_an_older_lease_takes_nothing(self, store: Store, make_store: StoreMaker) -> None:
        first = await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s)
        for seen in (0, 2):
            assert await store.take_lease(first.run_id, seen=seen, tag=new_tag(), holder="w", lease_s=3) is None

    async def test_a_taker_whose_lease_was_taken_does_not_have_it_by_its_tag(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        first = await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s)
        await take(store, first.run_id, seen=1)
        assert await store.take_lease(first.run_id, seen=0, tag=first.tag, holder="w", lease_s=3) is None

    async def test_no_lease_on_what_has_ended_or_never_was(self, store: Store) -> None:
        done = await start(store)
        await done.write(end_finished("stop", None))
        for run_id, seen in ((done.run_id, 1), ("run_nowhere", 0)):
            assert await store.take_lease(run_id, seen=seen, tag=new_tag(), holder="w", lease_s=3) is None
        assert await store.take_lease(done.run_id, seen=0, tag=done.tag, holder="w", lease_s=3) is None

    async def test_a_renewed_lease_lives_longer(self, store: Store, make_store: StoreMaker) -> None:
        one, two = await start(store, lease_s=make_store.lease_s), await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s * 0.6)
        assert await store.renew_leases([(one.run_id, 1)], make_store.lease_s) == [RenewResult(True)]
        await make_store.advance(make_store.lease_s * 0.6)
        assert [each.run_id for each in await store.stale(10)] == [two.run_id]

    async def test_an_expired_lease_that_nobody_took_is_held_again(self, store: Store, make_store: StoreMaker) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s)
        assert await store.renew_leases([(one.run_id, 1)], 3) == [RenewResult(True)]
        assert await store.stale(10) == []
        assert await store.take_lease(one.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3) is None

    async def test_renewals_are_answered_each_in_its_place(self, store: Store, make_store: StoreMaker) -> None:
        lost, done = await start(store, lease_s=make_store.lease_s), await start(store)
        await make_store.advance(make_store.lease_s)
        await take(store, lost.run_id, seen=1)
        await done.write(end_finished("stop", None))
        queued = (await store.create(a_run(), None)).run
        live = await start(store)
        held = [(lost.run_id, 1), (live.run_id, 1), (done.run_id, 1), ("run_nowhere", 1), (queued.id, 0)]
        assert [result.held for result in await store.renew_leases(held, 3)] == [False, True, False, False, False]
        assert await store.renew_leases([], 3) == []

    async def test_a_released_run_is_free_at_once(self, store: Store) -> None:
        one = await start(store)
        await store.release_lease(one.run_id, 1)
        assert await store.stale(10) == [Stale(one.run_id, 1, "in_progress", released=True, model="demo")]
        lease = await store.take_lease(one.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3)
        assert lease is not None and (lease.token, lease.released) == (2, True)

    async def test_a_lease_that_ran_out_was_not_let_go_of(self, store: Store, make_store: StoreMaker) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s)
        assert await store.stale(10) == [Stale(one.run_id, 1, "in_progress", model="demo")]
        lease = await store.take_lease(one.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3)
        assert lease is not None and not lease.released

    async def test_nobody_has_let_go_of_what_nobody_held(self, store: Store) -> None:
        queued = (await store.create(a_run(), None)).run
        lease = await store.take_lease(queued.id, seen=0, tag=new_tag(), holder="w", lease_s=3)
        assert lease is not None and not lease.released

    async def test_what_nobody_can_produce_is_given_up(self, store: Store, make_store: StoreMaker) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        await one.write(Text("a"))
        await make_store.advance(make_store.lease_s)
        tag, end = new_tag(), end_failed("internal_error", "damaged")
        entry = await store.give_up(one.run_id, seen=1, tag=tag, end=end)
        assert entry == Entry(one.at, 2, tag, (end,))
        run = await store.get(one.run_id)
        assert run is not None and (run.status, run.position) == ("failed", Position(2, tag))
        assert run.expires_at is not None
        assert await store.give_up(one.run_id, seen=1, tag=tag, end=end) == entry, "asked again it is the same"
        assert await store.give_up(one.run_id, seen=1, tag=new_tag(), end=end) is None
        read = await store.read(one.run_id, one.at, 1000)
        assert read is not None and read.entries == (entry,)
        assert await store.stale(10) == []

    async def test_its_holder_gives_it_up_under_its_own_tag(self, store: Store) -> None:
        one = await start(store)
        end = end_failed("internal_error", "damaged")
        assert await store.give_up(one.run_id, seen=0, tag=one.tag, end=end) == Entry(one.at, 1, one.tag, (end,))

    async def test_what_somebody_holds_or_took_is_not_given_up(self, store: Store, make_store: StoreMaker) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        end = end_failed("internal_error", "damaged")
        assert await store.give_up(one.run_id, seen=1, tag=new_tag(), end=end) is None
        await make_store.advance(make_store.lease_s)
        for run_id, seen in ((one.run_id, 0), (one.run_id, 2), ("run_nowhere", 0)):
            assert await store.give_up(run_id, seen=seen, tag=new_tag(), end=end) is None
        await one.write(Text("still its own"))

    async def test_only_the_holder_releases(self, store: Store) -> None:
        one = await start(store)
        for run_id, token in ((one.run_id, 0), (one.run_id, 2), ("run_nowhere", 1)):
            await store.release_lease(run_id, token)
        assert await store.stale(10) == []

    async def test_unfinished_runs_that_nobody_holds_are_found_oldest_first(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        queued = (await store.create(a_run(), None)).run
        await make_store.advance(0.01)
        dead = await start(store, lease_s=make_store.lease_s)
        done = await start(store, lease_s=make_store.lease_s)
        await done.write(end_finished("stop", None))
        await make_store.advance(make_store.lease_s)
        await start(store)
        found = [Stale(queued.id, 0, "queued", model="demo"), Stale(dead.run_id, 1, "in_progress", model="demo")]
        assert await store.stale(10) == found
        assert await store.stale(1) == found[:1]

    async def test_a_late_producer_writes_until_its_run_is_taken(self, store: Store, make_store: StoreMaker) -> None:
        late = await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s)
        await late.write(Text("still mine"))
        heir = await take(store, late.run_id, seen=1)
        assert heir.at == late.at
        for events in ((Text("mine?"),), (End("completed", "stop"),)):
            assert (await late.send(late.next(*events))).outcome is Outcome.FENCED
        await heir.write(Text("mine"))

    async def test_an_heir_is_told_of_the_cancel(self, store: Store, make_store: StoreMaker) -> None:
        first = await start(store, lease_s=make_store.lease_s)
        await store.cancel(first.run_id, new_tag())
        await make_store.advance(make_store.lease_s)
        lease = await store.take_lease(first.run_id, seen=1, tag=new_tag(), holder="w", lease_s=3)
        assert lease is not None and lease.run.cancelled
        await Producer(store, lease).write(End("cancelled"))
