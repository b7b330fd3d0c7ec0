"""Subscribers that read nothing cost neither the others nor the server, and catch up exactly."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from tests.bench.measure import rss_bytes
from tests.streaming.stage import DEADLINE_S, Stage, staged
from tests.support.event_source import EventSource, Over
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SUBSCRIBERS, ASLEEP = 50, 10
# Loopback swallows megabytes unless both ends are told not to.
SEND_BUFFER, RECEIVE_BUFFER = 8_192, 4_096


def kilobytes(count: int, interval_s: float) -> Script:
    """So many deltas of 1 KB, each with its number."""
    return Script(pieces=[f"{number:<1024}" for number in range(count)], interval_s=interval_s)


SCRIPTS = {"some": kilobytes(800, 0.002), "many": kilobytes(2_000, 0.001)}
SOME, MANY = SCRIPTS["some"], SCRIPTS["many"]


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose server has small socket buffers; unmeasured, as its memory and pace are looked at."""
    async with staged(tmp_path, models=SCRIPTS, measured=False, send_buffer_bytes=SEND_BUFFER) as stage:
        yield stage


class Sleeper(EventSource):
    """Connects, asks, and then reads nothing until it is woken."""

    transport: asyncio.Transport | None = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        opened = await super()._open()
        if opened is not None and self.transport is None:
            self.transport = cast(asyncio.Transport, opened[1].transport)
            self.transport.pause_reading()
        return opened

    def wake(self) -> None:
        """Read on."""
        assert self.transport is not None
        self.transport.resume_reading()


async def follow(stage: Stage, run_id: str, readers: int) -> list[EventSource]:
    """Read all of it, as so many readers."""
    followers = [stage.reader(run_id) for _ in range(readers)]
    await asyncio.gather(*(reader.follow() for reader in followers))
    return followers


async def sleepers(stage: Stage, run_id: str, count: int) -> list[tuple[Sleeper, asyncio.Task[None]]]:
    """So many subscribers that sleep, once the server has them."""
    before = await stage.metric("headwater_subscribers")
    asleep = [Sleeper(stage.events_url(run_id), receive_buffer=RECEIVE_BUFFER) for _ in range(count)]
    reading = [(one, asyncio.create_task(one.follow())) for one in asleep]

    async def all_there() -> bool:
        return await stage.metric("headwater_subscribers") >= before + count

    await eventually(all_there, DEADLINE_S, "the sleepers are subscribed")
    return reading


def is_whole(reader: EventSource, script: Script) -> bool:
    """Whether it has every delta and a good end."""
    end = reader.follower.end
    return reader.text == script.text and end is not None and end["status"] == "completed"


async def wake_all(asleep: list[tuple[Sleeper, asyncio.Task[None]]]) -> None:
    """Let them catch up."""
    for reader, _ in asleep:
        reader.wake()
    await asyncio.gather(*(reading for _, reading in asleep))


async def test_ten_who_sleep_cost_the_forty_others_nothing_and_catch_up(narrow: Stage) -> None:
    run_id = await narrow.start(model="some")
    asleep = await sleepers(narrow, run_id, ASLEEP)
    others = await follow(narrow, run_id, SUBSCRIBERS - ASLEEP)
    assert all(is_whole(reader, SOME) for reader in others)
    assert not any(reading.done() for _, reading in asleep)
    assert all(reader.follower.deltas == 0 for reader, _ in asleep), "they did sleep"
    await wake_all(asleep)
    for reader, _ in asleep:
        assert is_whole(reader, SOME)
        assert reader.follower.snapshots <= 1
        assert reader.connections == 2, "one stream, and the 204 after its end"


async def test_the_server_does_not_grow_with_what_sleepers_leave_unread(narrow: Stage) -> None:
    count = 80
    backlog = count * len(MANY.text)
    await follow(narrow, await narrow.start(model="many"), 2)  # fills its pools
    base = rss_bytes(narrow.server.pid)
    run_id = await narrow.start(model="many")
    asleep = await sleepers(narrow, run_id, count)
    await follow(narrow, run_id, 2)
    growth = rss_bytes(narrow.server.pid) - base
    assert not any(reading.done() for _, reading in asleep)
    assert growth < backlog / 4, f"it grew by {growth} bytes over a backlog of {backlog}"
    for _, reading in asleep:
        reading.cancel()
    await asyncio.gather(*(reading for _, reading in asleep), return_exceptions=True)


async def test_one_that_reads_nothing_for_too_long_is_let_go_and_resumes(tmp_path: Path) -> None:
    async with staged(
        tmp_path, models=SCRIPTS, measured=False, send_buffer_bytes=SEND_BUFFER, slow_reader_s=2
    ) as stage:
        run_id = await stage.start(model="some")
        reader = Sleeper(stage.events_url(run_id), receive_buffer=RECEIVE_BUFFER)
        reading = asyncio.ensure_future(reader.read())

        async def let_go() -> bool:
            return await stage.metric('headwater_subscribers_let_go_total{reason="slow"}') == 1

        await eventually(let_go, DEADLINE_S, "the sleeper is let go")
        assert (await stage.ended(run_id))["status"] == "completed", "nobody waits for it"
        reader.wake()
        assert await reading is Over.LOST
        assert reader.follower.end is None
        assert reader.follower.run and len(reader.text) < len(SOME.text)
        snapshots = reader.follower.snapshots
        await reader.follow()
        assert is_whole(reader, SOME)
        assert reader.follower.snapshots == snapshots
        assert await stage.metric("headwater_subscribers") == 0
