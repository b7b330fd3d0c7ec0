"""News over a real Redis: confirmed, and kept up through whatever happens to the connection."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from redis import Redis

from headwater.broadcaster.redis import MESSAGES_TOGETHER, RedisBroadcaster
from headwater.broadcaster.redis_link import CHANNELS_TOGETHER
from headwater.core.news import cancel_news, news_channel, worker_channel
from headwater.errors import StoreUnavailable
from headwater.redis_client import RedisClient
from tests.broadcaster.hearing import Ear, word, written
from tests.support.redis_server import RedisServer, sentinel
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

PREFIX = "test"
PATIENT_S = 20.0  # far above what a loaded machine takes to answer
SOON_S = 0.3  # for what is meant to run out
PROBE_S = 0.1


class Listener:
    """A worker's broadcaster with its ear, and a client that writes for another worker."""

    def __init__(self, client: RedisClient, timeout_s: float = PATIENT_S, **options: Any) -> None:
        self.client = client
        self.ear = Ear()
        self.broadcaster = RedisBroadcaster(client, "here", prefix=PREFIX, timeout_s=timeout_s, **options)
        self.broadcaster.attach(self.ear)
        self.told: list[str] = []

    async def subscribe(self, *log_ids: str) -> None:
        await asyncio.gather(*(self.broadcaster.subscribe(log_id) for log_id in log_ids))

    async def publish(self, log_id: str, data: bytes) -> None:
        await self.client.one(("PUBLISH", news_channel(PREFIX, log_id), data))

    async def write(self, log_id: str, number: int = 1) -> None:
        await self.publish(log_id, written("there", word(number)))

    async def flows(self, *log_ids: str, number: int = 1) -> None:
        """News written now are heard."""
        for log_id in log_ids:
            await self.write(log_id, number)
        await eventually(
            lambda: all(word(number) in self.ear.of(log_id) for log_id in log_ids), what=f"news of {log_ids}"
        )

    async def cut_off(self) -> None:
        await eventually(lambda: "cut off" in repr(self.broadcaster), what="the loss is noticed")

    async def reconnected(self, *log_ids: str) -> None:
        await eventually(lambda: set(log_ids) <= set(self.ear.reconnected), what="the receiver is told")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as server:
        yield server


@asynccontextmanager
async def listening(server: RedisServer, *, cancels: bool = False, **options: Any) -> AsyncIterator[Listener]:
    client = RedisClient(server.url, timeout_s=options.get("timeout_s", PATIENT_S))
    listener = Listener(client, **options)
    if cancels:
        listener.broadcaster.on_cancel("here", listener.told.append)
    await listener.broadcaster.open()
    try:
        yield listener
    finally:
        await listener.broadcaster.close()
        await client.close()


def connections(server: RedisServer) -> list[str]:
    """Our connections that listen, as Redis sees them, by id."""
    listed = server.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()
    return [line.split()[0] for line in listed if " name=headwater " in line]


def calls(server: RedisServer, command: str) -> int:
    """How often Redis was asked this."""
    told = server.ask("INFO", "commandstats").get(f"cmdstat_{command}", {})
    return int(told.get("calls", 0))


async def restart(server: RedisServer) -> None:
    await anyio.to_thread.run_sync(server.restart)


# -- subscribing


async def test_what_is_written_right_after_a_subscription_is_never_missed(server: RedisServer) -> None:
    async with listening(server) as listener:
        with Redis(port=server.port) as writer:  # it blocks, so that nothing is sent between the two
            for number in range(200):
                await listener.broadcaster.subscribe(f"log{number}")
                writer.publish(news_channel(PREFIX, f"log{number}"), written("there", word(1)))
        await eventually(lambda: len(listener.ear.news) == 200)


async def test_many_logs_take_few_commands(server: RedisServer) -> None:
    logs = [f"log{number}" for number in range(1000)]
    async with listening(server) as listener:
        await listener.subscribe(*logs)
        assert calls(server, "subscribe") == len(logs) / CHANNELS_TOGETHER
        assert server.ask("PUBSUB", "NUMSUB", news_channel(PREFIX, logs[-1]))[1] == 1
        assert len(connections(server)) == 1
        await listener.flows(*logs[::100])
        for log in logs:
            await listener.broadcaster.unsubscribe(log)
        await eventually(lambda: server.ask("PUBSUB", "CHANNELS") == [])
        assert calls(server, "unsubscribe") == len(logs) / CHANNELS_TOGETHER


async def test_a_burst_of_news_leaves_the_others_their_turn(server: RedisServer) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    class CountingEar(Ear):
        def on_news(self, *news: Any) -> None:
            heard_at.append(turns)

    heard_at: list[int] = []
    async with listening(server) as listener:
        listener.broadcaster.attach(CountingEar())
        await listener.subscribe("a")
        others = asyncio.create_task(take_turns())
        message = ("PUBLISH", news_channel(PREFIX, "a"), written("there", word(1)))
        await listener.client.pipeline([message] * 3000)
        await eventually(lambda: len(heard_at) == 3000)
        others.cancel()
    assert max(Counter(heard_at).values()) <= MESSAGES_TOGETHER


# -- lost connections


async def test_after_a_restart_every_log_is_looked_up_and_heard(server: RedisServer) -> None:
    logs = [f"log{number}" for number in range(CHANNELS_TOGETHER + 5)]
    async with listening(server) as listener:
        await listener.subscribe("let go", *logs)
        await listener.broadcaster.unsubscribe("let go")
        server.kill()
        await listener.cut_off()
        assert not listener.ear.reconnected, "it is still deaf"
        await restart(server)
        await listener.reconnected(*logs)
        assert sorted(listener.ear.reconnected) == sorted(logs), "each once, and no other"
        await listener.flows(*logs[::100])


async def test_the_receiver_is_told_only_once_news_flow_again(server: RedisServer) -> None:
    """What is written from then on is heard of."""
    logs = [f"log{number}" for number in range(50)]
    async with listening(server) as listener, asyncio.TaskGroup() as writing:

        class WritingEar(Ear):
            def on_reconnected(self, log_id: str) -> None:
                writing.create_task(listener.write(log_id))

        listener.ear = WritingEar()
        listener.broadcaster.attach(listener.ear)
        await listener.subscribe(*logs)
        assert server.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
        await eventually(lambda: len(listener.ear.news) == len(logs))


async def test_a_frozen_redis_is_noticed(server: RedisServer) -> None:
    async with listening(server, timeout_s=SOON_S, probe_s=PROBE_S) as listener:
        await listener.subscribe("a", "b")
        server.freeze()
        await listener.cut_off()
        server.thaw()
        await listener.reconnected("a", "b")
        await eventually(lambda: len(connections(server)) == 1, what="the old connection is closed")
        await listener.flows("a", "b")


async def test_a_quiet_connection_is_probed_and_kept(server: RedisServer) -> None:
    async with listening(server, probe_s=0.01, timeout_s=SOON_S) as listener:
        await listener.subscribe("a")
        before = connections(server)
        asked = calls(server, "ping")
        await eventually(lambda: calls(server, "ping") >= asked + 3)
        assert connections(server) == before
        assert not listener.ear.reconnected


async def test_who_waits_in_an_outage_is_told_in_time(server: RedisServer) -> None:
    async with listening(server, timeout_s=SOON_S) as listener:
        server.kill()
        for _ in range(2):
            with anyio.fail_after(PATIENT_S), pytest.raises(StoreUnavailable):
                await listener.subscribe("a")
        await restart(server)
        await listener.reconnected("a")  # it stays wanted, and whoever gave up may have missed something
        await listener.flows("a")


async def test_who_waits_while_redis_comes_back_is_answered(server: RedisServer) -> None:
    async with listening(server) as listener:
        server.kill()
        await listener.cut_off()
        waiting = [asyncio.create_task(listener.subscribe("a", f"log{number}")) for number in range(10)]
        await asyncio.sleep(0)
        await restart(server)
        await asyncio.gather(*waiting)
        await listener.flows("a", "log9")
        assert not listener.ear.reconnected, "they look at the store themselves"


async def test_what_is_let_go_in_an_outage_stays_so(server: RedisServer) -> None:
    async with listening(server) as listener:
        await listener.subscribe("a", "b", "c")
        server.kill()
        await listener.cut_off()
        await listener.broadcaster.unsubscribe("a")
        await listener.broadcaster.unsubscribe("b")
        again = asyncio.create_task(listener.subscribe("b"))
        await restart(server)
        await again
        await listener.reconnected("c")
        assert server.ask("PUBSUB", "NUMSUB", news_channel(PREFIX, "a"))[1] == 0
        await listener.write("a")
        await listener.flows("b", "c")
        assert not listener.ear.of("a")


async def test_a_redis_that_was_not_there_is_found_later(server: RedisServer) -> None:
    server.kill()
    async with listening(server, timeout_s=SOON_S, cancels=True) as listener:
        await restart(server)
        with anyio.fail_after(PATIENT_S):
            while True:
                try:
                    await listener.subscribe("a")
                    break
                except StoreUnavailable:
                    pass
        await listener.flows("a")
        await eventually(lambda: worker_channel(PREFIX, "here") in server.ask("PUBSUB", "CHANNELS"))


async def test_an_outage_takes_one_line_in_the_log(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headwater.broadcaster")
    async with listening(server, timeout_s=SOON_S) as listener:
        await listener.subscribe("a")
        server.kill()
        with pytest.raises(StoreUnavailable):
            await listener.subscribe("b")
        with pytest.raises(StoreUnavailable):
            await listener.subscribe("b")
        await restart(server)
        await listener.reconnected("a")
    lost, back = [record.getMessage() for record in caplog.records if record.name == "headwater.broadcaster"]
    assert "cannot be heard" in lost and "heard again" in back


async def test_after_a_failover_the_new_primary_is_heard(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path) as primary,
        RedisServer(tmp_path, replica_of=primary) as replica,
        sentinel(tmp_path, primary) as watcher,
    ):
        await eventually(lambda: watcher.replicas == 1)
        client = RedisClient(watcher.url(), timeout_s=1.0)
        listener = Listener(client, timeout_s=1.0, probe_s=PROBE_S)
        await listener.broadcaster.open()
        try:
            await listener.subscribe("a", "b")
            primary.freeze()
            await eventually(lambda: watcher.master_port == replica.port, 40.0)
            await listener.reconnected("a", "b")
            await eventually(lambda: len(connections(replica)) == 1)
            await listener.flows("a", "b")
        finally:
            await listener.broadcaster.close()
            await client.close()


# -- what comes


GARBAGE = [
    b"",
    b"hello",
    b"\xff\xfe",
    b"e there 0-0 1-1 ",
    b"e there 0-0 2-1 [[]]",
    b"s there lost",
    cancel_news("a").encode(),
]


async def test_garbage_is_taken_for_lost_news(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(server) as listener:
        await listener.subscribe("a", "b")
        before = connections(server)
        for data in GARBAGE * 5:
            await listener.publish("a", data)
        await listener.flows("a")
        assert listener.ear.reconnected == ["a"] * len(GARBAGE) * 5
        assert listener.ear.news == [("a", word(1))]
        assert connections(server) == before
    lines = [record for record in caplog.records if record.name == "headwater.broadcaster"]
    assert len(lines) == 1, "not one line each"


async def test_a_worker_hears_of_cancels(server: RedisServer) -> None:
    async with listening(server, cancels=True) as listener:
        channel = worker_channel(PREFIX, "here")
        assert server.ask("PUBSUB", "CHANNELS") == [channel], "before anybody can cancel anything"
        for data in ["", "c", "c ", "c \u00e9", "s here failed", cancel_news("run_1"), cancel_news("run_2")]:
            assert await listener.client.one(("PUBLISH", channel, data)) == 1
        await eventually(lambda: listener.told == ["run_1", "run_2"])
        await restart(server)
        await eventually(lambda: channel in server.ask("PUBSUB", "CHANNELS"))
        await listener.client.one(("PUBLISH", channel, cancel_news("run_3")))
        await eventually(lambda: "run_3" in listener.told)
        assert not listener.ear.reconnected


async def test_nobody_listens_for_cancels_unasked(server: RedisServer) -> None:
    async with listening(server) as listener:
        await listener.subscribe("a")
        assert server.ask("PUBSUB", "CHANNELS") == [news_channel(PREFIX, "a")]


# -- the end


async def test_the_end_leaves_no_task_and_no_connection(server: RedisServer) -> None:
    before = asyncio.all_tasks()
    async with listening(server, cancels=True) as listener:
        await listener.subscribe("a")
        assert len(connections(server)) == 1
        await listener.broadcaster.close()
        assert asyncio.all_tasks() == before
        await eventually(lambda: connections(server) == [])
        with pytest.raises(StoreUnavailable):
            await listener.subscribe("a")
        assert repr(listener.broadcaster) == "<RedisBroadcaster closed channels=0 waiting=0>"


@pytest.mark.parametrize("state", ["killed", "frozen"])
async def test_the_end_does_not_wait_for_an_outage(server: RedisServer, state: str) -> None:
    before = asyncio.all_tasks()
    async with listening(server, probe_s=PROBE_S) as listener:
        await listener.subscribe("a")
        if state == "killed":
            server.kill()
            await listener.cut_off()
        else:
            server.freeze()
        waiting = asyncio.create_task(listener.broadcaster.subscribe("b"))
        await asyncio.sleep(0)
        assert "waiting=1" in repr(listener.broadcaster)
        await listener.broadcaster.close()
        with pytest.raises(StoreUnavailable, match="shutting down"):
            await waiting
        assert asyncio.all_tasks() == before
    server.close()


async def test_it_may_end_before_it_began(server: RedisServer) -> None:
    client = RedisClient(server.url, timeout_s=PATIENT_S)
    broadcaster = RedisBroadcaster(client, "here", prefix=PREFIX, timeout_s=PATIENT_S)
    await broadcaster.close()
    await client.close()
