"""Contract: what is there when the data is opened again."""

from headwater.core.events import Text
from headwater.core.position import START
from headwater.entropy import new_tag
from headwater.store.base import Outcome
from headwater.store.limits import Charge
from tests.store.contract.limits import assert_used
from tests.store.contract.vault import an_api_key
from tests.store.maker import StoreMaker
from tests.store.producing import Producer, a_key, a_run, start, take, texts


class Durability:
    async def test_all_of_it_survives(self, make_store: StoreMaker) -> None:
        store = await make_store.open()
        created = await store.create(a_run(conversation="c"), a_key())
        one = await take(store, created.run.id)
        items = [await one.write(*texts("a", "b")), await one.write(Text("c"))]
        await store.cancel(one.run_id, new_tag())
        before = await store.get(one.run_id)
        await store.close()
        again = await make_store.open()
        assert await again.get(one.run_id) == before
        read = await again.read(one.run_id, START, 1000)
        assert read is not None and list(read.entries) == [item.entry for item in items]
        assert (await again.create(a_run(), a_key())).run == before
        (result,) = await again.append([items[1]])
        assert (result.outcome, result.cancelled) == (Outcome.STORED, True)

    async def test_a_lease_outlives_the_store_object_where_another_process_may_hold_it(
        self, make_store: StoreMaker
    ) -> None:
        store = await make_store.open()
        one = await start(store, lease_s=make_store.lease_s)
        await store.close()
        again = await make_store.open()
        assert bool(await again.stale(10)) != again.shared
        await make_store.advance(make_store.lease_s)
        heir: Producer = await take(again, one.run_id, seen=1)
        assert heir.token == 2

    async def test_keys_and_tickets_survive(self, make_store: StoreMaker) -> None:
        store = await make_store.open()
        vault, key = make_store.vault(store), an_api_key()
        await vault.add_key(key)
        await vault.add_ticket("digest", b"payload", make_store.run_ttl_s)
        version = await vault.version()
        await store.close()
        vault = make_store.vault(await make_store.open())
        assert (await vault.keys(), await vault.version()) == ([key], version)
        assert await vault.ticket("digest", use_up=True) == b"payload"

    async def test_what_was_counted_survives_and_so_do_the_places_of_runs(self, make_store: StoreMaker) -> None:
        store = await make_store.open()
        limits, window_s = make_store.limits(store), make_store.run_ttl_s
        await limits.charge([Charge("requests:ann", 5, window_s, 3)])
        await limits.hold("runs:ann", "run_a", 1, window_s)
        await store.close()
        limits = make_store.limits(await make_store.open())
        await assert_used(limits, "requests:ann", 3, window_s)
        assert list(await limits.holders("runs:ann")) == ["run_a"]
