"""Who leaves an answer stops it, unless somebody follows it on any worker."""

import asyncio
from pathlib import Path

import pytest

from tests.streaming.callers import LONG, SILENT, Caller, closed
from tests.support.redis_server import RedisServer
from tests.support.upstream import Script
from tests.support.waiting import eventually, lasting
from tests.workers.cluster import QUICK, Cluster

pytestmark = pytest.mark.anyio

TIMEOUT_S = 0.5
SOME = Script(tokens=300, interval_s=0.005)


@pytest.mark.parametrize("script", [LONG, SILENT], ids=["streaming", "silent"])
async def test_whom_nobody_else_followed(cluster: Cluster, script: Script) -> None:
    for worker in cluster.workers:
        async with Caller(worker.url, script) as caller:
            await caller.hear()
            exchange = await caller.asked(cluster.upstream)
        await closed(exchange)
        run = await cluster.ended(caller.run_id)
        assert run["status"] == "cancelled"
        assert run["usage"] == {"output_tokens": len(run["output"].split()), "estimated": True}


async def test_a_reader_on_another_worker_has_it_to_the_end(cluster: Cluster) -> None:
    here, there, _ = cluster.workers
    async with Caller(here.url, SOME) as caller:
        await caller.hear()
        reader = cluster.reader(caller.run_id, at=there)
        following = asyncio.ensure_future(reader.follow())
        await eventually(lambda: reader.follower.deltas, what="it follows")
    await following
    run = await cluster.run(caller.run_id)
    assert (run["status"], run["output"], reader.text) == ("completed", SOME.text, SOME.text)


async def test_an_answer_that_another_worker_makes(tmp_path: Path, redis_url: str) -> None:
    """Its caller's worker had no room. The producer's readers hear no news, and are known all the same."""
    async with Cluster(tmp_path, redis_url, workers=2, max_runs=2, **QUICK) as cluster:
        full, free = cluster.workers
        async with Caller(full.url, LONG) as one, Caller(full.url, LONG) as two:
            await asyncio.gather(one.hear(), two.hear())
            async with Caller(full.url, SOME) as followed, Caller(full.url, LONG) as alone:
                await asyncio.gather(followed.hear(), alone.hear())
                assert await cluster.metric(free, "headwater_runs_producing") == 2
                exchange = await alone.asked(cluster.upstream)
                reader = cluster.reader(followed.run_id, at=free)
                following = asyncio.ensure_future(reader.follow())
                await eventually(lambda: reader.follower.deltas, what="it follows")
            await closed(exchange)
            assert (await cluster.ended(alone.run_id))["status"] == "cancelled"
            await following
            assert reader.text == SOME.text
            assert (await cluster.run(followed.run_id))["status"] == "completed"


async def test_a_reader_whose_worker_is_killed_follows_no_more(tmp_path: Path, redis_url: str) -> None:
    async with Cluster(tmp_path, redis_url, workers=2, may_crash=True, **QUICK) as cluster:
        here, there = cluster.workers
        async with Caller(here.url, LONG) as caller:
            await caller.hear()
            exchange = await caller.asked(cluster.upstream)
            reader = cluster.reader(caller.run_id, at=there)
            reading = asyncio.ensure_future(reader.read())
            await eventually(lambda: reader.follower.deltas, what="it follows")
        sent = exchange.tokens_sent
        await eventually(lambda: exchange.tokens_sent > sent + 50, what="it goes on for the reader")
        there.kill()
        await reading
        await closed(exchange)
        assert (await cluster.ended(caller.run_id, at=here))["status"] == "cancelled"


async def test_a_store_that_does_not_answer_at_that_moment(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        async with Cluster(tmp_path, redis.url, workers=1, store_timeout_s=TIMEOUT_S) as cluster:
            async with Caller(cluster.any_url(), SILENT) as caller:
                await caller.hear()
                exchange = await caller.asked(cluster.upstream)
                redis.freeze()
            await lasting(2 * TIMEOUT_S)
            assert exchange.closed_at is None
            redis.thaw()
            await closed(exchange)
            assert (await cluster.ended(caller.run_id))["status"] == "cancelled"
