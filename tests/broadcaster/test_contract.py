"""The contract of `broadcaster/base.py`: every engine passes."""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from headwater.broadcaster.base import Broadcaster, News
from headwater.broadcaster.local import Exchange, LocalBroadcaster
from headwater.broadcaster.redis import RedisBroadcaster
from headwater.core.news import news_channel
from headwater.redis_client import RedisClient
from tests.broadcaster.hearing import Ear, word, written
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

TIMEOUT_S = 20.0  # far above what a loaded machine takes to answer


class Stage(ABC):
    """One worker that listens with `ear`, and others that write."""

    broadcaster: Broadcaster

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

    async def write(self, log_id: str, news: News, *, here: bool = False) -> None:
        worker = "w1" if here else "w10"
        if here:
            self.broadcaster.publish(log_id, news)
        await self.client.one(("PUBLISH", news_channel(self.prefix, log_id), written(worker, news)))


@pytest.fixture(params=["local", "redis"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "local":
        stage: Stage = LocalStage()
        stage.broadcaster.attach(stage.ear)
        await stage.broadcaster.open()
        yield stage
        await stage.broadcaster.close()
    else:
        client = RedisClient(request.getfixturevalue("redis_url"), timeout_s=TIMEOUT_S)
        stage = RedisStage(client)
        stage.broadcaster.attach(stage.ear)
        await stage.broadcaster.open()
        yield stage
        await stage.broadcaster.close()
        await client.close()


async def test_news_of_another_worker_arrive_in_order(stage: Stage) -> None:
    await stage.broadcaster.subscribe("a")
    told: list[News] = ["in_progress", word(1), word(2, "a b\nc  "), word(3, "\N{OCTOPUS}"), "completed"]
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
