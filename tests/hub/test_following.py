"""What a hub knows of who follows a run, here and elsewhere, and what becomes of those who wait."""

import asyncio

import pytest

from headwater.core.position import START
from headwater.errors import Draining, TooMany
from headwater.formats.native import Native
from headwater.hub import Hub
from headwater.hub.hub import LINGER_S
from tests.hub.conftest import MakeHub
from tests.hub.producing import PublishingProducer, produce, queued
from tests.hub.reading import ForgetfulStore
from tests.store.producing import texts

pytestmark = pytest.mark.anyio

PATIENT_S = 20.0  # only ends a hang


async def produced_here(store: ForgetfulStore, hub: Hub) -> PublishingProducer:
    producer = await produce(store, hub)
    hub.set_producing(producer.run_id, True)
    return producer


async def followed(run_id: str, *hubs: Hub) -> list[bool]:
    return [await hub.is_followed(run_id) for hub in hubs]


async def test_a_reader_is_known_everywhere_wherever_the_run_is_produced(
    store: ForgetfulStore, here: Hub, there: Hub
) -> None:
    for hub, other in ((here, there), (there, here)):
        producer = await produced_here(store, here)
        assert await followed(producer.run_id, here, there) == [False, False]
        cursor = await hub.follow(producer.run, Native, START)
        assert await followed(producer.run_id, here, there) == [True, True]
        cursor.close()
        # A page that reloads is back soon, so it is given up elsewhere only after a while.
        assert await followed(producer.run_id, hub, other) == [False, True]
        await hub._close_idle(asyncio.get_running_loop().time() + LINGER_S)
        assert await followed(producer.run_id, hub, other) == [False, False]


async def test_a_run_is_known_to_be_followed_though_its_production_begins_or_ends(
    store: ForgetfulStore, here: Hub, there: Hub
) -> None:
    run = await queued(store)
    cursor = await here.follow(run, Native, START)
    for producing in (True, False, True):
        here.set_producing(run.id, producing)
        assert await followed(run.id, here, there) == [True, True]
    cursor.close()
    assert not await here.is_followed(run.id)


async def test_who_waits_for_the_end_follows(store: ForgetfulStore, here: Hub, there: Hub) -> None:
    producer = await produced_here(store, here)
    waiting = asyncio.ensure_future(here.wait_for_end(producer.run, None))
    await asyncio.sleep(0)
    assert await followed(producer.run_id, here, there) == [True, True]
    assert not here.has_seen_end(producer.run_id)
    await producer.end()
    assert await waiting
    assert here.has_seen_end(producer.run_id)
    assert not await here.is_followed(producer.run_id)


async def test_who_waits_takes_a_place(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(max_subscribers=1)
    producer = await produce(store, hub)
    waiting = asyncio.ensure_future(hub.wait_for_end(producer.run, PATIENT_S))
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await hub.follow(producer.run, Native, START)
    waiting.cancel()
    await asyncio.wait([waiting])
    await hub.follow(producer.run, Native, START)


async def test_a_beginning_can_be_waited_for(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    cursor = await here.follow(producer.run, Native, START)
    assert not await here.wait_to_begin(cursor, 0.01)
    waiting = asyncio.ensure_future(here.wait_to_begin(cursor, PATIENT_S))
    await asyncio.sleep(0)
    await producer.say(*texts("a"))
    assert await waiting
    assert await here.wait_to_begin(cursor, PATIENT_S), "at once where it has begun"


async def test_those_who_wait_are_let_go_with_all_others(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    cursor = await here.follow(producer.run, Native, START)
    waiting = [
        asyncio.ensure_future(wait)
        for wait in (here.wait_to_begin(cursor, PATIENT_S), here.wait_for_end(producer.run, None))
    ]
    await asyncio.sleep(0)
    await here.farewell.let_everyone_go(0.0)
    async with asyncio.timeout(PATIENT_S):
        assert await asyncio.gather(*waiting) == [False, False]
        assert not await here.wait_for_end(producer.run, None), "nor does anybody wait who comes later"
    with pytest.raises(Draining):
        await here.follow(producer.run, Native, START)
