"""A cancel on one worker stops a run of another: its upstream is closed, and everyone is told."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.streaming.texts import seeded
from tests.support.faulty_proxy import FaultyProxy
from tests.support.redis_server import RedisServer
from tests.support.server import ServerProcess
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import QUICK, Cluster

pytestmark = pytest.mark.anyio

TRIES = 12
LONG = Script(tokens=10_000, interval_s=0.005)
SILENT = Script(fault="stall", after=3)
"""Its producer writes nothing more, so that only a renewal could tell it of the cancel."""


async def test_a_dozen_cancels_each_on_another_worker(cluster: Cluster) -> None:
    with seeded() as seed:
        chance = random.Random(seed)
        for _ in range(TRIES):
            producer, other = chance.sample(cluster.workers, 2)
            script = chance.choice([LONG, SILENT])
            await cancelled(cluster, script, producer, other, chance.randrange(1, 4))


async def test_a_cancel_before_the_first_token(cluster: Cluster) -> None:
    producer, other = cluster.workers[:2]
    await cancelled(cluster, Script(start_s=60), producer, other, 0)


async def test_cancels_on_all_workers_at_once_are_one(cluster: Cluster) -> None:
    run_id = await cluster.start(LONG)
    reader = cluster.reader(run_id)
    following = asyncio.ensure_future(reader.follow())
    await eventually(lambda: reader.follower.seq > 0, what="it streams")
    await asyncio.gather(*(cluster.cancel(run_id, at=worker) for worker in 3 * cluster.workers))
    await following
    runs = [await cluster.ended(run_id, at=worker) for worker in cluster.workers]
    assert {run["status"] for run in runs} == {"cancelled"}
    assert {(run["position"], run["output"]) for run in runs} == {(reader.last_id, reader.text)}


@pytest.mark.parametrize("script", [LONG, SILENT], ids=["streaming", "silent"])
async def test_a_cancel_whose_news_is_lost(tmp_path: Path, script: Script) -> None:
    """What the store answers to appends and renewals says it too."""
    with RedisServer(tmp_path) as redis:
        async with (
            FaultyProxy("127.0.0.1", redis.port) as proxy,
            Cluster(tmp_path, [proxy.url, redis.url], **QUICK) as cluster,
        ):
            proxy.drop_messages = 1.0
            producer, other = cluster.workers
            await cancelled(cluster, script, producer, other, 3)
            assert proxy.dropped > 0, "the producer was told, and did not hear it"


async def cancelled(cluster: Cluster, script: Script, producer: ServerProcess, other: ServerProcess, seq: int) -> None:
    """Cancel on `other` a run of `producer`'s once readers everywhere have got so far; what comes of it."""
    run_id = await cluster.start(script, at=producer)
    readers = [cluster.reader(run_id, at=worker) for worker in cluster.workers]
    following = asyncio.gather(*(reader.follow() for reader in readers))
    await eventually(lambda: all(one.follower.run and one.follower.seq >= seq for one in readers), what="they read")
    exchange = await cluster.asked(run_id)
    await cluster.cancel(run_id, at=other)
    await following
    await eventually(lambda: exchange.closed_at is not None, what="the upstream is closed")
    for worker, reader in zip(cluster.workers, readers, strict=True):
        run = await cluster.run(run_id, at=worker)
        assert run["status"] == "cancelled"
        assert script.text.startswith(run["output"])
        assert reader.follower.end is not None
        assert reader.follower.end["status"] == "cancelled"
        assert (reader.text, reader.last_id) == (run["output"], run["position"])
    assert len(cluster.calls(run_id)) == 1
