"""Members who read nothing cost neither the others nor the server, and miss nothing that somebody said."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest

from tests.bench.measure import rss_bytes
from tests.streaming.stage import DEADLINE_S, Stage, staged
from tests.support.room_client import RoomClient
from tests.support.room_view import Answer, RoomView
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

# Loopback swallows megabytes unless both ends are told not to.
SEND_BUFFER, RECEIVE_BUFFER = 8_192, 4_096
TOKENS = 1_200
# As many deltas of 1 KB, each with its number.
LONG = Script(pieces=[f"{number:<1024}" for number in range(TOKENS)], interval_s=0.001)
MODELS = {"long": LONG}
SLEEPERS = 20
SAID = 30
# What one who reads nothing may keep of the server's memory: a piece that is being written, and what lies before it.
KEPT_BYTES = 384 * 1024
SLOW_S = 1.5


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose server has small socket buffers; unmeasured, as its memory and pace are looked at."""
    async with staged(tmp_path, models=MODELS, measured=False, send_buffer_bytes=SEND_BUFFER) as stage:
        yield stage


def only_answer(view: RoomView) -> Answer | None:
    """The room's one answer, once it has begun."""
    return next(iter(view.answers.values()), None)


def has_begun(view: RoomView) -> bool:
    answer = only_answer(view)
    return answer is not None and answer.seq > 0


def has_ended(view: RoomView) -> bool:
    answer = only_answer(view)
    return answer is not None and answer.end is not None


async def all_until(members: Sequence[RoomClient], condition: object, what: str) -> None:
    await asyncio.gather(*(member.until(condition, what) for member in members))  # type: ignore[arg-type]


async def the_room_goes_on(others: Sequence[RoomClient]) -> None:
    """They talk while the answer grows, and hear all of both."""
    for number in range(SAID):
        await others[number % len(others)].say(f"{number}")
    await all_until(others, lambda view: has_ended(view) and len(view.messages) == SAID + 1, "has heard all")


def heard_all(member: RoomClient, other: RoomClient) -> None:
    """What somebody who was always awake heard, without a hole, and without having been told anew."""
    view, answer = member.view, only_answer(member.view)
    assert answer is not None and answer.end is not None
    assert (answer.end["status"], answer.text) == ("completed", LONG.text)
    assert (view.began, view.log) == (1, other.view.log)


class Play:
    """Three members who talk while an answer grows, beside so many who sleep meanwhile."""

    def __init__(self, stage: Stage, room: str, sleepers: int = 0) -> None:
        url = stage.server.url
        self.pid = stage.server.pid
        self.others = [RoomClient(url, room, f"o{number}") for number in range(3)]
        self.asleep = [RoomClient(url, room, f"s{n}", receive_buffer=RECEIVE_BUFFER) for n in range(sleepers)]

    async def __aenter__(self) -> Self:
        everybody = [*self.others, *self.asleep]
        await asyncio.gather(*(one.come_in() for one in everybody))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(one.leave() for one in (*self.others, *self.asleep)))

    async def go_on(self) -> int:
        """By how many bytes the server has grown when all but those who sleep have heard the end."""
        before = rss_bytes(self.pid)
        await self.others[0].say("at length, please", mentions=["long"])
        await all_until([*self.others, *self.asleep], has_begun, "hears some of it")
        for one in self.asleep:
            one.stop_reading()
        await the_room_goes_on(self.others)
        return rss_bytes(self.pid) - before


async def test_who_sleeps_costs_the_server_little_and_hears_later_all_that_was_said(narrow: Stage) -> None:
    async with Play(narrow, "warm-up") as play:  # fills the server's pools
        await play.go_on()
    async with Play(narrow, "alone") as play:
        without = await play.go_on()
    async with Play(narrow, "beside", SLEEPERS) as play:
        grown = await play.go_on() - without
        assert grown < SLEEPERS * KEPT_BYTES < SLEEPERS * len(LONG.text) / 3, f"it grew by {grown} bytes more"
        assert not any(has_ended(one.view) for one in play.asleep), "they did sleep"
        for one in play.asleep:
            one.read_on()
        await all_until(play.asleep, lambda view: view.seq == play.others[0].view.seq, "has heard all")
        for one in play.asleep:
            heard_all(one, play.others[0])
            answer = only_answer(one.view)
            assert one.connections == 1 and answer is not None
            assert answer.deltas < TOKENS / 4, "what came meanwhile is merged"


async def test_who_takes_nothing_for_too_long_is_let_go_and_comes_back_where_it_was(tmp_path: Path) -> None:
    settings = {"send_buffer_bytes": SEND_BUFFER, "slow_reader_s": SLOW_S}
    async with staged(tmp_path, models=MODELS, measured=False, **settings) as stage, AsyncExitStack() as stack:
        others = [await stack.enter_async_context(RoomClient(stage.server.url, "patience", f"o{n}")) for n in range(2)]
        sleeper = RoomClient(stage.server.url, "patience", "sleeper", receive_buffer=RECEIVE_BUFFER)
        await stack.enter_async_context(sleeper)
        await others[0].say("at length, please", mentions=["long"])
        await sleeper.until(has_begun, "hears some of it")
        sleeper.stop_reading()
        await the_room_goes_on(others)

        async def let_go() -> bool:
            return await stage.metric('headwater_subscribers_let_go_total{reason="slow"}') == 1

        await eventually(let_go, DEADLINE_S, "the sleeper is let go")
        await all_until(others, lambda view: "guest:sleeper" not in view.members, "sees it gone")
        sleeper.read_on()
        await sleeper.until(lambda view: view.seq == others[0].view.seq, "has heard all")
        assert sleeper.connections == 2
        assert [code for code, _ in sleeper.closes] in ([1006], [4430])
        heard_all(sleeper, others[0])
