"""What the hub does once a second: keep-alives, letting go of stuck readers, comparing; and its limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from headwater.core.position import START
from headwater.errors import StoreUnavailable, TooMany, UnknownRun
from headwater.formats.native import Native
from headwater.formats.text import PlainText
from headwater.hub import Hub
from tests.hub.conftest import MakeHub
from tests.hub.producing import produce
from tests.hub.reading import ForgetfulStore, Reader, quiet
from tests.store.producing import a_run, texts
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

LookedAfter = Callable[[Hub], AbstractAsyncContextManager[None]]


class Socket:
    """A line that takes what it is given, until it is stuck."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.stuck = False
        self.aborted = False

    def write(self, data: bytes) -> bool:
        if not self.stuck:
            self.taken.append(data)
        return not self.stuck

    def abort(self) -> None:
        self.aborted = True


@asynccontextmanager
async def looked_after(hub: Hub) -> AsyncIterator[None]:
    task = asyncio.ensure_future(hub.look_after())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_silent_connection_is_kept_alive(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(keep_alive_s=0.01)
    producer = await produce(store, hub)
    reader = Reader(await hub.follow(producer.run, Native, START))
    async with looked_after(hub), asyncio.timeout(20):
        await reader.until(lambda follower: follower.run is not None)
        frame = await reader.cursor.next()
        assert frame is not None
        assert frame.data == b":\n\n"


async def test_a_form_without_a_keep_alive_stays_silent(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(keep_alive_s=0.01)
    producer = await produce(store, hub)
    cursor = await hub.follow(producer.run, PlainText, START)
    waiting = asyncio.ensure_future(cursor.next())
    await asyncio.sleep(0)
    cursor.keep_alive()
    assert await quiet(cursor)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_reader_that_keeps_up_is_written_to_past_its_task(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    cursor = await here.follow(producer.run, Native, START)
    cursor.line = socket = Socket()
    assert await cursor.next() is not None  # the run
    task = asyncio.ensure_future(cursor.next())
    await asyncio.sleep(0)
    await producer.say(*texts("straight"))
    await eventually(lambda: len(socket.taken) == 1)
    assert not task.done()
    cursor.keep_alive()
    assert socket.taken[1:] == [b":\n\n"]
    socket.stuck = True
    await producer.say(*texts("by the task"))
    frame = await task
    assert frame is not None
    assert b"by the task" in frame.data


async def test_a_reader_whose_socket_is_stuck_is_let_go(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(slow_reader_s=0.01)
    producer = await produce(store, hub)
    reader = Reader(await hub.follow(producer.run, Native, START))
    other = Reader(await hub.follow(producer.run, Native, START))
    reader.cursor.line = socket = Socket()
    reader.cursor.writing()
    async with looked_after(hub):
        await eventually(lambda: reader.cursor.gone_because == "slow")
    assert socket.aborted
    assert await reader.until_let_go() == "slow"
    assert other.cursor.gone_because is None
    await producer.say(*texts("on"))
    await other.until_text("on")


async def test_comparing_finds_what_no_news_told(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(check_s=0.01)
    producer = await produce(store, hub)
    reader = Reader(await hub.follow(producer.run, Native, START))
    async with looked_after(hub):
        await producer.say_nothing(*texts("found"))
        await reader.until_text("found")


async def test_what_is_produced_here_is_not_compared(store: ForgetfulStore, make_hub: MakeHub) -> None:
    """The producer's word is newer than the store's answer."""
    hub = make_hub()
    producer = await produce(store, hub)
    hub.set_producing(producer.run_id, True)
    reader = Reader(await hub.follow(producer.run, Native, START))
    await producer.say_nothing(*texts("a"))
    await hub._compare()
    await reader.until(lambda follower: follower.run is not None)
    assert await quiet(reader.cursor)
    hub.set_producing(producer.run_id, False)
    await hub._compare()
    await reader.until_text("a")


async def test_all_are_let_go_at_a_drain(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    cursors = [await here.follow(producer.run, Native, START) for _ in range(50)]
    waiting = [asyncio.ensure_future(Reader(cursor).until_end()) for cursor in cursors]
    await asyncio.sleep(0)
    await here.farewell.let_everyone_go(0.0)
    for cursor, task in zip(cursors, waiting, strict=True):
        assert cursor.gone_because == "draining"
        with pytest.raises(AssertionError, match="let go: draining"):
            await task


async def test_no_more_subscribers_than_the_limit(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(max_subscribers=2)
    producer = await produce(store, hub)
    first = await hub.follow(producer.run, Native, START)
    await hub.follow(producer.run, Native, START)
    with pytest.raises(TooMany) as refusal:
        await hub.follow(producer.run, Native, START)
    assert (refusal.value.limit, refusal.value.retry_after) == (2, 1)
    first.close()
    await hub.follow(producer.run, Native, START)


async def test_a_refused_reader_takes_no_place(
    store: ForgetfulStore, make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = make_hub(max_subscribers=1)
    with pytest.raises(UnknownRun):
        await hub.follow(a_run(), Native, START)

    async def no_answer(run_ids: object) -> None:
        raise StoreUnavailable("no answer")

    producer = await produce(store, hub)
    with monkeypatch.context() as patched:
        patched.setattr(store, "tops", no_answer)
        with pytest.raises(StoreUnavailable):
            await hub.follow(producer.run, Native, START)
    await hub.follow(producer.run, Native, START)


async def test_an_end_can_be_waited_for(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    assert not await here.wait_for_end(producer.run, 0.01)
    waiting = asyncio.ensure_future(here.wait_for_end(producer.run, 20))
    await asyncio.sleep(0)
    await producer.end()
    assert await waiting
    assert await here.wait_for_end(producer.run, 20), "an ended one at once"
    with pytest.raises(UnknownRun):
        await here.wait_for_end(a_run(), 20)
