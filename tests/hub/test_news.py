"""What a worker publishes reaches every reader, and what its news leaves out comes from the store."""

import asyncio

import pytest

from headwater.core.events import End, Entry
from headwater.core.position import START, Position
from headwater.formats.native import Native
from headwater.hub import Hub
from headwater.store.base import Top
from tests.hub.conftest import MakeHub
from tests.hub.producing import PublishingProducer, produce, queued
from tests.hub.reading import ForgetfulStore, Reader, quiet
from tests.store.producing import take, texts
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
async def producer(store: ForgetfulStore, here: Hub) -> PublishingProducer:
    return await produce(store, here)


async def follow(hub: Hub, producer: PublishingProducer, position: Position | None = START) -> Reader:
    return Reader(await hub.follow(producer.run, Native, position))


async def test_readers_of_both_workers_get_everything(
    producer: PublishingProducer, here: Hub, there: Hub, store: ForgetfulStore
) -> None:
    near, far = await follow(here, producer), await follow(there, producer)
    await producer.say(*texts("one ", "two "))
    await producer.say(*texts("three"))
    await producer.end()
    for reader in (near, far):
        follower = await reader.until_end()
        assert follower.text == "one two three"
        assert follower.snapshots == 0
    assert store.reads == 0, "news is enough"


async def test_a_status_is_told_once(store: ForgetfulStore, here: Hub, there: Hub) -> None:
    run = await queued(store)
    reader = Reader(await there.follow(run, Native, None))
    await reader.until(lambda follower: follower.run is not None)
    assert reader.follower.run == {"id": run.id, "status": "queued", "model": "demo"}
    await take(store, run.id)
    here.publish(run.id, "in_progress")
    await reader.until(lambda follower: follower.run is not None and follower.run["status"] == "in_progress")
    here.publish(run.id, "in_progress")
    assert await quiet(reader.cursor)


async def test_a_lost_publication_is_found_by_comparing(
    producer: PublishingProducer, there: Hub, store: ForgetfulStore
) -> None:
    reader = await follow(there, producer)
    await producer.say(*texts("heard "))
    await reader.until_text("heard ")
    await producer.say_nothing(*texts("unheard"))
    assert await quiet(reader.cursor)
    there.logs[producer.run_id].compare(Top(producer.at, "in_progress"))
    await reader.until_text("heard unheard")
    assert reader.follower.snapshots == 0


async def test_a_lost_end_is_found_by_comparing(producer: PublishingProducer, there: Hub) -> None:
    reader = await follow(there, producer)
    await producer.say_nothing(*texts("all"), End("completed", "stop"))
    there.logs[producer.run_id].compare(Top(producer.at, "completed"))
    assert (await reader.until_end()).text == "all"


async def test_a_lost_status_is_found_by_comparing(store: ForgetfulStore, there: Hub) -> None:
    run = await queued(store)
    reader = Reader(await there.follow(run, Native, None))
    await reader.until(lambda follower: follower.run is not None)
    there.logs[run.id].compare(Top(START, "in_progress"))
    await reader.until(lambda follower: follower.run is not None and follower.run["status"] == "in_progress")


async def test_a_gap_in_the_news_is_filled_from_the_store(
    producer: PublishingProducer, there: Hub, store: ForgetfulStore
) -> None:
    reader = await follow(there, producer)
    await producer.say(*texts("a"))
    await producer.say_nothing(*texts("b"))
    await producer.say(*texts("c"))
    await producer.say(*texts("d"))
    await reader.until_text("abcd")
    assert reader.follower.snapshots == 0
    assert store.reads == 1


async def test_many_gaps_at_once_are_filled_by_one_reading(
    producer: PublishingProducer, there: Hub, store: ForgetfulStore
) -> None:
    readers = [await follow(there, producer) for _ in range(10)]
    await producer.say_nothing(*texts("a"))
    for word in "bcdef":
        await producer.say(*texts(word))
    await asyncio.gather(*(reader.until_text("abcdef") for reader in readers))
    assert store.reads == 1


async def test_repeated_news_is_ignored(producer: PublishingProducer, there: Hub, store: ForgetfulStore) -> None:
    reader = await follow(there, producer)
    first = await producer.say(*texts("a"))
    second = await producer.say(*texts("b"))
    there.on_news(producer.run_id, second)
    there.on_news(producer.run_id, first)
    await producer.say(*texts("c"))
    await reader.until_text("abc")
    assert store.reads == 0


async def test_after_a_deaf_time_the_log_is_looked_up(producer: PublishingProducer, there: Hub) -> None:
    reader = await follow(there, producer)
    await producer.say_nothing(*texts("missed "))
    there.on_reconnected(producer.run_id)
    await producer.say(*texts("heard"))
    await reader.until_text("missed heard")
    assert reader.follower.snapshots == 0


async def test_what_comes_while_a_log_is_opened_is_not_lost(producer: PublishingProducer, there: Hub) -> None:
    """News between the subscription and the look at the store are held and merged."""
    opening = asyncio.ensure_future(there.follow(producer.run, Native, START))
    written: list[Entry] = []
    while not opening.done():
        written.append(await producer.say(*texts(f"{len(written)} ")))
        await asyncio.sleep(0)
    reader = Reader(await opening)
    await producer.end()
    follower = await reader.until_end()
    assert follower.text == "".join(f"{number} " for number in range(len(written)))


async def test_news_that_the_store_does_not_know_is_dropped(
    producer: PublishingProducer, there: Hub, store: ForgetfulStore
) -> None:
    """It was lost again: asking the store for it for ever would be a busy loop."""
    reader = await follow(there, producer)
    await producer.say(*texts("a"))
    await producer.say_nothing(*texts("b"))
    await producer.say_nothing(*texts("lost"))
    lost = await producer.say_nothing(*texts("lost, too"))
    await store.lose(producer.run_id, Position(2, producer.tag))
    there.on_news(producer.run_id, lost)
    await reader.until_text("ab")
    await eventually(lambda: there.logs[producer.run_id]._refilling is None, what="the refill ends")
    assert store.reads <= 3


async def test_an_outage_of_the_store_delays_a_refill_and_no_more(
    producer: PublishingProducer, there: Hub, store: ForgetfulStore, outage: Exception
) -> None:
    reader = await follow(there, producer)
    store.fails = outage
    await producer.say_nothing(*texts("a"))
    await producer.say(*texts("b"))
    await eventually(lambda: store.reads >= 2, what="it asks again")
    store.fails = None
    await reader.until_text("ab")


async def test_more_news_than_is_held_in_an_outage_comes_from_the_store(
    store: ForgetfulStore, make_hub: MakeHub, here: Hub, outage: Exception
) -> None:
    hub = make_hub(window_bytes=20)
    producer = await produce(store, here)
    reader = await follow(hub, producer)
    store.fails = outage
    await producer.say_nothing(*texts("0 "))
    for number in range(1, 50):
        await producer.say(*texts(f"{number} "))
    await eventually(lambda: store.reads >= 1, what="it asks")
    store.fails = None
    await reader.until_text("".join(f"{number} " for number in range(50)))
    await producer.end()
    assert (await reader.until_end()).snapshots == 0


async def test_a_run_that_is_gone_lets_its_readers_go(
    producer: PublishingProducer, there: Hub, store: ForgetfulStore
) -> None:
    reader = await follow(there, producer)
    await reader.until(lambda follower: follower.run is not None)
    there.logs[producer.run_id].compare(None)
    assert await reader.until_let_go() == "gone"
