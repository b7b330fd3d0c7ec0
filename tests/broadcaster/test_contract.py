"""The contract of `broadcaster/base.py`: every engine passes."""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from headwater.broadcaster.base import Broadcaster, News
from headwater.broadcaster.local import Exchange, LocalBroadcaster
from headwater.broadcaster.redis import RedisBroadcaster
from headwater.core.news import Removed, news_channel
from headwater.redis_client import RedisClient
from tests.broadcaster.hearing import Ear, word, written
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

TIMEOUT_S = 20.0  # far above what a loaded machine takes to answer


class Stage(ABC):
    """One worker that listens with `ear`, and others that write."""

    broadcaster: Broadcaster
    other: Broadcaster

    def __init__(self) -> None:
        self.ear = Ear()

    @abstractmethod
    async def write(self, log_id: str, news: News, *, here: bool = False) -> None:
        """Another worker, or the one that listens, has written this."""

    async def heard(self, log_id: str, count: int) -> list[News]:
        """The news of a log, once there are so many."""
        await eventually(lambda: len(self.ear.of(log_id)) >= count, what=f"{count} news of {log_id}")
        return self.ear.of(log_id)


class LocalStage(Stage):
    def __init__(self) -> None:
        super().__init__()
        exchange = Exchange()
        self.broadcaster, self.other = LocalBroadcaster(exchange), LocalBroadcaster(exchange)

    async def write(self, log_id: str, news: News, *, here: bool = False) -> None:
        (self.broadcaster if here else self.other).publish(log_id, news)


class RedisStage(Stage):
    def __init__(self, client: RedisClient) -> None:
        super().__init__()
        self.client = client
        self.prefix = f"test-{secrets.token_hex(8)}"
        self.broadcaster = RedisBroadcaster(client, "w1", prefix=self.prefix, timeout_s=TIMEOUT_S)
        self.other = RedisBroadcaster(client, "w10", prefix=self.prefix, timeout_s=TIMEOUT_S)

    async def write(self, log_id: str, news: News, *, here: bool = False) -> None:
        worker = "w1" if here else "w10"
        if here:
            self.broadcaster.publish(log_id, news)
        await self.client.one(("PUBLISH", news_channel(self.prefix, log_id), written(worker, news)))


@pytest.fixture(params=["local", "redis"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        if request.param == "local":
            stage: Stage = LocalStage()
        else:
            client = RedisClient(request.getfixturevalue("redis_url"), timeout_s=TIMEOUT_S)
            stack.push_async_callback(client.close)
            stage = RedisStage(client)
        for broadcaster, ear in ((stage.broadcaster, stage.ear), (stage.other, Ear())):
            broadcaster.attach(ear)
            await broadcaster.open()
            stack.push_async_callback(broadcaster.close)
        yield stage


async def test_news_of_another_worker_arrive_in_order(stage: Stage) -> None:
    await stage.broadcaster.subscribe("a")
    told: list[News] = ["in_progress", word(1), word(2, "a b\nc  "), word(3, "\N{OCTOPUS}"), "completed", Removed()]
    for news in told:
        await stage.write("a", news)
    assert await stage.heard("a", len(told)) == told
    assert not stage.ear.reconnected


async def test_a_workers_own_news_do_not_come_back(stage: Stage) -> None:
    await stage.broadcaster.subscribe("a")
    await stage.write("a", word(1), here=True)
    await stage.write("a", "completed", here=True)
    await stage.write("a", word(2))
    assert await stage.heard("a", 1) == [word(2)]


async def test_only_what_is_subscribed_is_heard(stage: Stage) -> None:
    await stage.broadcaster.subscribe("a")
    await stage.write("b", word(1))
    await stage.write("a", word(1))
    assert await stage.heard("a", 1) == [word(1)]
    assert not stage.ear.of("b")


async def test_what_is_let_go_is_heard_no_more(stage: Stage) -> None:
    await stage.broadcaster.subscribe("a")
    await stage.broadcaster.subscribe("b")
    await stage.broadcaster.unsubscribe("a")
    await stage.write("a", word(1))
    await stage.write("b", word(1))
    await stage.heard("b", 1)
    assert not stage.ear.of("a")


async def test_letting_go_of_what_was_never_wanted_changes_nothing(stage: Stage) -> None:
    await stage.broadcaster.subscribe("a")
    for _ in range(2):
        await stage.broadcaster.unsubscribe("b")
    await stage.write("a", word(1))
    await stage.heard("a", 1)


async def test_subscriptions_that_follow_one_another_at_once_are_kept_in_order(stage: Stage) -> None:
    here = stage.broadcaster
    calls = [here.subscribe("a"), here.unsubscribe("a"), here.subscribe("a")]
    calls += [here.subscribe("b"), here.unsubscribe("b"), here.subscribe("b"), here.unsubscribe("b")]
    await asyncio.gather(*calls)
    await stage.write("b", word(1))
    await stage.write("a", word(1))
    assert await stage.heard("a", 1) == [word(1)]
    assert not stage.ear.of("b")


async def test_a_second_subscription_of_a_log_is_heard_once(stage: Stage) -> None:
    await asyncio.gather(stage.broadcaster.subscribe("a"), stage.broadcaster.subscribe("a"))
    await stage.broadcaster.subscribe("a")
    await stage.write("a", word(1))
    await stage.write("a", word(2))
    assert await stage.heard("a", 2) == [word(1), word(2)]
    assert not stage.ear.reconnected, "nothing was missed"
    await stage.broadcaster.unsubscribe("a")
    await stage.broadcaster.subscribe("b")
    await stage.write("a", word(3))
    await stage.write("b", word(1))
    await stage.heard("b", 1)
    assert len(stage.ear.of("a")) == 2


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_a_caller_that_is_cancelled_leaves_nothing_wrong(stage: Stage, steps: int) -> None:
    """As the hub does it: cancel, let go at once, and somebody else may want it the next moment."""
    first = asyncio.create_task(stage.broadcaster.subscribe("a"))
    for _ in range(steps):
        await asyncio.sleep(0)
    first.cancel()
    await stage.broadcaster.unsubscribe("a")
    await stage.broadcaster.subscribe("a")
    await asyncio.wait([first])
    await stage.write("a", word(1))
    assert await stage.heard("a", 1) == [word(1)]


async def test_nothing_is_heard_after_the_end(stage: Stage) -> None:
    await stage.broadcaster.subscribe("a")
    await stage.broadcaster.close()
    await stage.write("a", word(1))
    await stage.broadcaster.unsubscribe("a")
    await stage.broadcaster.close()
    assert not stage.ear.news


async def test_nobody_elsewhere_hears_a_log(stage: Stage) -> None:
    assert not await stage.broadcaster.heard_elsewhere("a"), "nobody does"
    await stage.other.subscribe("b")
    stage.other.announce("c")
    assert not await stage.broadcaster.heard_elsewhere("a"), "others are followed"
    await stage.broadcaster.subscribe("a")
    stage.broadcaster.announce("a")
    await lets_know(stage.broadcaster, stage.other, "a")
    await nobody_elsewhere(stage.broadcaster, "a")


@pytest.mark.parametrize("here", [False, True])
async def test_who_subscribes_hears_it_elsewhere(stage: Stage, here: bool) -> None:
    if here:
        await stage.broadcaster.subscribe("a")
    await stage.other.subscribe("a")
    assert await stage.broadcaster.heard_elsewhere("a")
    await stage.other.unsubscribe("a")
    await nobody_elsewhere(stage.broadcaster, "a")


@pytest.mark.parametrize("here", [False, True])
async def test_who_announced_it_hears_it_elsewhere(stage: Stage, here: bool) -> None:
    """Its producer follows it without a subscription."""
    if here:
        await stage.broadcaster.subscribe("a")
    for _ in range(2):
        stage.other.announce("a")
    await lets_know(stage.other, stage.broadcaster, "a")
    if not here:
        await nobody_elsewhere(stage.other, "a")
    await stage.other.subscribe("a")
    stage.other.retract("a")
    assert await stage.broadcaster.heard_elsewhere("a"), "it still hears the news"
    await stage.other.unsubscribe("a")
    await nobody_elsewhere(stage.broadcaster, "a")


async def test_what_this_worker_wants_just_now_is_not_heard_elsewhere(stage: Stage) -> None:
    subscribing = []
    for number in range(100):
        stage.broadcaster.announce(f"a{number}")
        assert not await stage.broadcaster.heard_elsewhere(f"a{number}")
        subscribing.append(asyncio.ensure_future(stage.broadcaster.subscribe(f"b{number}")))
        await asyncio.sleep(0)
        assert not await stage.broadcaster.heard_elsewhere(f"b{number}")
    await asyncio.gather(*subscribing)


async def test_what_was_announced_brings_no_news(stage: Stage) -> None:
    stage.broadcaster.announce("a")
    await lets_know(stage.broadcaster, stage.other, "a")
    await stage.write("a", word(1))
    await stage.broadcaster.subscribe("b")
    await stage.write("b", word(1))
    await stage.heard("b", 1)
    assert not stage.ear.of("a")


async def test_a_worker_that_is_gone_hears_nothing(stage: Stage) -> None:
    await stage.other.subscribe("a")
    stage.other.announce("a")
    await lets_know(stage.other, stage.broadcaster, "a")
    await stage.other.close()
    await nobody_elsewhere(stage.broadcaster, "a")
    stage.other.announce("a")
    stage.other.retract("a")


async def lets_know(there: Broadcaster, here: Broadcaster, log_id: str) -> None:
    """Return once the announcement has arrived, which nobody waits for."""
    await eventually(lambda: here.heard_elsewhere(log_id), what=f"{there} is known to follow {log_id}")


async def nobody_elsewhere(here: Broadcaster, log_id: str) -> None:
    async def nobody() -> bool:
        return not await here.heard_elsewhere(log_id)

    await eventually(nobody, what=f"nobody else follows {log_id}")
