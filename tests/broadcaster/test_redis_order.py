"""What is asked of Redis, in which order, and which of its answers count."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headwater.broadcaster.redis import RedisBroadcaster
from headwater.redis_client import RedisClient
from tests.broadcaster.hearing import Ear
from tests.broadcaster.scripted_redis import ScriptedRedis, scripted_redis
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

PATIENT_S = 20.0  # far above what a loaded machine takes to answer
A, B, C = "p:news:{a}", "p:news:{b}", "p:news:{c}"


class Scene:
    def __init__(self, redis: ScriptedRedis, broadcaster: RedisBroadcaster, ear: Ear) -> None:
        self.redis = redis
        self.broadcaster = broadcaster
        self.ear = ear

    def subscribing(self, *log_ids: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.broadcaster.subscribe(log_id)) for log_id in log_ids]

    async def asked(self, *commands: tuple[str, ...]) -> None:
        """Redis has been asked this and nothing else since the last time."""
        await eventually(lambda: len(self.redis.asked) >= len(commands), what=f"{commands} are asked")
        assert self.redis.asked == list(commands)
        self.redis.asked.clear()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with scripted_redis() as (redis, url):
        client = RedisClient(url, timeout_s=PATIENT_S)
        ear = Ear()
        broadcaster = RedisBroadcaster(client, "here", prefix="p", timeout_s=PATIENT_S)
        broadcaster.attach(ear)
        await broadcaster.open()
        yield Scene(redis, broadcaster, ear)
        await broadcaster.close()
        await client.close()


async def some_turns() -> None:
    """The broadcaster has had time for whatever it may do wrong."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_what_is_wanted_in_one_step_is_asked_in_one_command(scene: Scene) -> None:
    waiting = scene.subscribing("a", "b", "c")
    await scene.asked(("SUBSCRIBE", A, B, C))
    scene.redis.confirm(A, B, C)
    await asyncio.gather(*waiting)


async def test_the_order_is_kept(scene: Scene) -> None:
    first, second = scene.subscribing("a", "b")
    await asyncio.sleep(0)
    await scene.broadcaster.unsubscribe("a")
    third, fourth = scene.subscribing("a", "c")
    await scene.asked(("SUBSCRIBE", A, B), ("UNSUBSCRIBE", A), ("SUBSCRIBE", A, C))
    scene.redis.confirm(A, B, A, C)
    await asyncio.gather(first, second, third, fourth)


async def test_only_the_confirmation_of_the_newest_subscription_counts(scene: Scene) -> None:
    scene.subscribing("a")
    await scene.asked(("SUBSCRIBE", A))
    await scene.broadcaster.unsubscribe("a")
    (again,) = scene.subscribing("a")
    await scene.asked(("UNSUBSCRIBE", A), ("SUBSCRIBE", A))
    (other,) = scene.subscribing("b")
    await scene.asked(("SUBSCRIBE", B))
    scene.redis.confirm(A, B)
    await other
    await some_turns()
    assert not again.done(), "what was confirmed has been undone since"
    scene.redis.confirm(A)
    await again


async def test_a_confirmation_that_nobody_waits_for_is_counted(scene: Scene) -> None:
    """Cancelled and let go while under way: its answer is not the next one's."""
    (gone,) = scene.subscribing("a")
    await scene.asked(("SUBSCRIBE", A))
    gone.cancel()
    await scene.broadcaster.unsubscribe("a")
    scene.redis.confirm(A)
    (again,) = scene.subscribing("a")
    await scene.asked(("UNSUBSCRIBE", A), ("SUBSCRIBE", A))
    await some_turns()
    assert not again.done()
    scene.redis.confirm(A)
    await again


async def test_after_a_cut_all_that_is_wanted_is_asked_for_again(scene: Scene) -> None:
    waiting = scene.subscribing("a", "b")
    await scene.asked(("SUBSCRIBE", A, B))
    scene.redis.confirm(A, B)
    await asyncio.gather(*waiting)
    late, _ = scene.subscribing("c", "a")
    await scene.asked(("SUBSCRIBE", C, A))
    scene.redis.cut()
    await scene.asked(("SUBSCRIBE", A, B, C))
    await some_turns()
    assert scene.ear.reconnected == [] and not late.done(), "nothing is heard yet"
    scene.redis.confirm(B)
    await eventually(lambda: scene.ear.reconnected == ["b"])
    scene.redis.confirm(A, C)
    await late
    assert scene.ear.reconnected == ["b", "a"], "whoever waits for c has missed nothing"


@pytest.mark.parametrize("answer", [b"-NOPERM this user has no permissions\r\n", b"?\r\n", b"*3\r\n$9\r\nsubs"])
async def test_a_connection_that_goes_wrong_is_made_anew(
    scene: Scene, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (waiting,) = scene.subscribing("a")
    await scene.asked(("SUBSCRIBE", A))
    before = scene.redis.connections
    scene.redis.say(answer)
    scene.redis.cut()
    await scene.asked(("SUBSCRIBE", A))
    assert scene.redis.connections > before
    scene.redis.confirm(A)
    await waiting
    (line,) = [record for record in caplog.records if record.name == "headwater.broadcaster"]
    assert line.levelno == logging.WARNING


async def test_a_connection_that_lay_idle_is_not_relied_on() -> None:
    async with scripted_redis() as (redis, url):
        client = RedisClient(url, timeout_s=PATIENT_S)
        await client.one(("PING",))
        redis.deaf = redis.connections
        broadcaster = RedisBroadcaster(client, "here", prefix="p", timeout_s=PATIENT_S)
        await broadcaster.open()
        waiting = asyncio.create_task(broadcaster.subscribe("a"))
        await eventually(lambda: redis.asked == [("SUBSCRIBE", A)], PATIENT_S / 2)
        redis.confirm(A)
        await waiting
        await broadcaster.close()
        await client.close()


async def test_a_receiver_that_fails_goes_on_hearing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """All logs' news come over one connection: one log's trouble is not the others'."""

    class FailingEar(Ear):
        def on_news(self, *news: Any) -> None:
            super().on_news(*news)
            if len(self.news) == 1:
                raise ZeroDivisionError

        def on_reconnected(self, log_id: str) -> None:
            super().on_reconnected(log_id)
            raise ArithmeticError

    ear = FailingEar()
    scene.broadcaster.attach(ear)
    (waiting,) = scene.subscribing("a")
    await scene.asked(("SUBSCRIBE", A))
    scene.redis.confirm(A)
    await waiting
    before = scene.redis.connections
    for news in (b"s there in_progress", b"s there completed"):
        scene.redis.say(b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(A), A.encode(), len(news), news))
    await eventually(lambda: ear.news == [("a", "in_progress"), ("a", "completed")])
    assert ear.reconnected == ["a"], "it may have missed what it could not take"
    assert (scene.redis.connections, scene.redis.asked) == (before, [])
    assert "ZeroDivisionError" in caplog.text and "ArithmeticError" in caplog.text
