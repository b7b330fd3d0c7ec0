"""A late joiner gets one snapshot, shared with who joins at the same time."""

import asyncio

import pytest

from headwater.core.events import Attempt, End, Text
from headwater.formats.native import Native
from headwater.formats.ndjson import Ndjson
from headwater.hub import Hub
from headwater.hub.hub import LINGER_S
from tests.hub.conftest import MakeHub
from tests.hub.producing import produce
from tests.hub.reading import ForgetfulStore, Reader, quiet
from tests.store.producing import texts

pytestmark = pytest.mark.anyio


async def test_fifty_late_joiners_cost_one_reading(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("one ", "two "))
    cursors = await asyncio.gather(*(here.follow(producer.run, Native, None) for _ in range(50)))
    readers = [Reader(cursor) for cursor in cursors]
    await asyncio.gather(*(reader.until_text("one two ") for reader in readers))
    assert store.reads == 1
    snapshots = [reader.frames[-1] for reader in readers]
    assert all(snapshot is snapshots[0] for snapshot in snapshots), "and one encoding"


async def test_a_later_joiner_takes_the_same_snapshot_and_what_came_since(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("one "))
    await Reader(await here.follow(producer.run, Native, None)).until_text("one ")
    await producer.say(*texts("two "))
    later = Reader(await here.follow(producer.run, Native, None))
    await later.until_text("one two ")
    assert (later.follower.snapshots, later.follower.deltas) == (1, 1)
    assert store.reads == 1


async def test_a_snapshot_from_before_the_window_is_not_used(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(window_bytes=20)
    producer = await produce(store, hub)
    first = Reader(await hub.follow(producer.run, Native, None))
    for number in range(50):
        await producer.say(*texts(f"{number} "))
        if number == 0:
            await first.until_text("0 ")
    later = Reader(await hub.follow(producer.run, Native, None))
    await later.until(lambda follower: follower.seq == 50)
    assert (later.follower.snapshots, later.follower.deltas) == (1, 0)


async def test_an_empty_log_has_no_snapshot(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    reader = Reader(await here.follow(producer.run, Native, None))
    await reader.until(lambda follower: follower.run is not None)
    assert await quiet(reader.cursor)
    await producer.say(*texts("first"))
    await producer.end()
    follower = await reader.until_end()
    assert (follower.text, follower.snapshots) == ("first", 0)


async def test_a_snapshot_never_covers_the_end(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("all"))
    await producer.say(End("incomplete", reason="length"))
    follower = await Reader(await here.follow(producer.run, Native, None)).until_end()
    assert (follower.text, follower.snapshots, follower.seq) == ("all", 1, 2)
    assert follower.end == {"after": 1, "seq": 2, "status": "incomplete", "reason": "length"}


async def test_a_snapshot_holds_nothing_that_a_restart_withdrew(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(Text("withdrawn"), Attempt(2, "failover", "restarted"), Text("true"))
    reader = Reader(await here.follow(producer.run, Native, None))
    await reader.until_text("true")
    assert reader.follower.seq == 3


async def test_each_form_has_its_own(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("a"))
    await Reader(await here.follow(producer.run, Native, None)).until_text("a")
    lines = await here.follow(producer.run, Ndjson, None)
    run, snapshot = await lines.next(), await lines.next()
    assert run is not None and snapshot is not None
    assert snapshot.data == f'{{"event":"snapshot","id":"{producer.at}","seq":1,"parts":[{{"text":"a"}}]}}\n'.encode()
    assert store.reads == 1


async def test_an_outage_is_the_reader_s_to_hear_of(store: ForgetfulStore, here: Hub, outage: Exception) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("a"))
    store.fails = outage
    cursor = await here.follow(producer.run, Native, None)
    await cursor.next()
    with pytest.raises(type(outage)):
        await cursor.next()
    store.fails = None
    await Reader(await here.follow(producer.run, Native, None)).until_text("a")


async def test_a_log_without_readers_is_closed_after_a_while(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    cursor = await here.follow(producer.run, Native, None)
    now = asyncio.get_running_loop().time()
    await here._close_idle(now + 2 * LINGER_S)
    assert producer.run_id in here.logs, "it has a reader"
    cursor.close()
    cursor.close()
    await here._close_idle(now)
    assert producer.run_id in here.logs, "a page that reloads is back within this"
    await here._close_idle(now + 2 * LINGER_S)
    assert not here.logs
