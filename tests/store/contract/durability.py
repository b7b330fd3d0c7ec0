"""Contract: what is there when the data is opened again."""

from headwater.core.events import Text
from headwater.core.position import START
from headwater.entropy import new_tag
from headwater.store.base import Outcome
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

    async def test_a_lease_outlives_the_store_object(self, make_store: StoreMaker) -> None:
        store = await make_store.open()
        one = await start(store, lease_s=make_store.lease_s)
        await store.close()
        again = await make_store.open()
        assert await again.stale(10) == []
        await make_store.advance(make_store.lease_s)
        heir: Producer = await take(again, one.run_id, seen=1)
        assert heir.token == 2
