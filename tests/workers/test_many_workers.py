"""A run belongs to all workers: any shows it live, and none is hurt where another dies or is shut down."""

import asyncio
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.streaming.texts import pieces, seeded
from tests.support.audience import Audience
from tests.support.event_source import EventSource, Over
from tests.support.sse import Follower
from tests.support.upstream import Script
from tests.workers.cluster import QUICK, WITHIN_S, Cluster

pytestmark = pytest.mark.anyio

SLOW_MACHINE_S = 3.0  # above what an invariant promises, for a machine that has other things to do
# Twice what others use, so that no living worker of a loaded machine loses a lease where a test looks at that.
PATIENT = QUICK | {"lease_s": 2.0}


def has_reached(seq: int, follower: Follower) -> bool:
    return follower.seq >= seq


def ending(reader: EventSource) -> tuple[str, str | None]:
    """How it was told that its run ended."""
    assert reader.follower.end is not None
    return reader.follower.end["status"], reader.follower.end.get("reason")


async def test_a_run_is_followed_live_on_every_worker(cluster: Cluster) -> None:
    script = Script(pieces=pieces(100, 1), interval_s=0.01)
    for producer in cluster.workers:
        run_id = await cluster.start(script, at=producer)
        readers = [cluster.reader(run_id, at=worker) for worker in cluster.workers]
        for reader in readers:
            await reader.read(until=lambda follower: follower.deltas > 0)
        assert (await cluster.run(run_id, at=producer))["status"] == "in_progress"
        async with Audience(readers) as audience:
            await audience.end()
        for reader, worker in zip(readers, cluster.workers, strict=True):
            run = await cluster.run(run_id, at=worker)
            assert (run["status"], run["output"]) == ("completed", script.text)
            assert (reader.text, reader.last_id) == (run["output"], run["position"])


async def test_a_reader_resumes_anywhere_from_where_it_was(cluster: Cluster) -> None:
    script = Script(pieces=pieces(60, 2), interval_s=0.01)
    run_id = await cluster.start(script)
    reader = cluster.reader(run_id)
    for seq in (1, 10, 20, 40):
        await reader.read(until=partial(has_reached, seq))
    await reader.follow()
    assert reader.text == script.text
    assert reader.follower.snapshots <= 1, "the one that it began with"
    late = cluster.reader(run_id)
    await late.follow()
    assert (late.text, late.follower.snapshots) == (script.text, 1)
    for worker in cluster.workers:
        assert await cluster.reader(run_id, at=worker, after=reader.last_id).read() is Over.STOPPED


async def test_every_worker_lists_all_runs(cluster: Cluster) -> None:
    runs = [
        await cluster.ended(await cluster.start(Script(tokens=2), at=worker, conversation="shared"))
        for worker in cluster.workers
    ]
    for worker in cluster.workers:
        listed = await cluster.client.get(f"{worker.url}/v1/runs?conversation=shared")
        assert [row["id"] for row in listed.json()["data"]] == [run["id"] for run in reversed(runs)]


async def test_a_deleted_run_is_gone_everywhere(cluster: Cluster) -> None:
    run_id = (await cluster.ended(await cluster.start(Script(tokens=2))))["id"]
    assert (await cluster.client.delete(f"{cluster.any_url()}/v1/runs/{run_id}")).status_code == 204
    for url in cluster.urls:
        assert (await cluster.client.get(f"{url}/v1/runs/{run_id}")).status_code == 404


async def test_a_run_whose_worker_died_before_it_began_is_begun_by_another(tmp_path: Path, redis_url: str) -> None:
    async with Cluster(tmp_path, redis_url, max_runs=1, **QUICK) as cluster:
        victim, *others = cluster.workers
        await cluster.asked(await cluster.start(Script(start_s=60), at=victim))  # it has room for no more
        script = Script(tokens=5)
        run_id = await cluster.start(script, at=victim)
        victim.kill()
        readers = [cluster.reader(run_id, at=worker) for worker in others]
        await asyncio.gather(*(reader.follow() for reader in readers))
        assert [(reader.text, ending(reader)) for reader in readers] == [(script.text, ("completed", None))] * 2
        assert len(cluster.calls(run_id)) == 1


async def test_a_worker_killed_in_mid_run_costs_its_own_runs_their_end_and_others_nothing(
    tmp_path: Path, redis_url: str
) -> None:
    with seeded() as seed:
        async with Cluster(tmp_path, redis_url, **PATIENT) as cluster:
            victim, *others = cluster.workers
            long = Script(pieces=pieces(3_000, seed), interval_s=0.01)
            brief = Script(pieces=pieces(300, seed), interval_s=0.01)
            lost = [await cluster.start(long, at=victim) for _ in range(3)]
            kept = [await cluster.start(brief, at=worker) for worker in others]
            # On each worker, the one that dies too: those must find another.
            readers = {run_id: [cluster.reader(run_id, first=one) for one in cluster.workers] for run_id in lost + kept}
            everyone = [reader for followers in readers.values() for reader in followers]
            async with Audience(everyone) as audience:
                await audience.all_at(4)
                died = time.time()
                victim.kill()
                await audience.end()
            for run_id in lost:
                run = await cluster.ended(run_id)
                assert (run["status"], run["reason"]) == ("incomplete", "producer_lost")
                assert run["ended_at"] <= died + PATIENT["lease_s"] + WITHIN_S + SLOW_MACHINE_S
                assert long.text.startswith(run["output"])
                for reader in readers[run_id]:
                    assert (reader.text, ending(reader)) == (run["output"], ("incomplete", "producer_lost"))
                    assert reader.follower.snapshots <= 1, "every position that was handed out still joins"
            for run_id in kept:
                for reader in readers[run_id]:
                    assert (reader.text, ending(reader)) == (brief.text, ("completed", None))


async def test_a_worker_that_drains_sends_its_readers_to_the_others(tmp_path: Path, redis_url: str) -> None:
    with seeded() as seed:
        async with Cluster(tmp_path, redis_url, drain_s=20, **PATIENT) as cluster:
            leaver = cluster.workers[0]
            # The leaver's own finish while it drains; the others' go on after it has left.
            scripts = [Script(pieces=pieces(count, seed), interval_s=0.01) for count in (100, 350, 350)]
            runs = {
                await cluster.start(script, at=worker): script
                for script, worker in zip(2 * scripts, 2 * cluster.workers, strict=True)
            }
            readers = [(run_id, cluster.reader(run_id, first=one)) for run_id in runs for one in cluster.workers]
            async with Audience([reader for _, reader in readers]) as audience:
                await audience.all_at(4)
                leaver.signal(signal.SIGTERM)
                code = asyncio.ensure_future(asyncio.to_thread(leaver.wait))
                await audience.end()
                assert await code == 0
            for run_id, reader in readers:
                assert (reader.text, ending(reader)) == (runs[run_id].text, ("completed", None))
                assert reader.follower.snapshots <= 1, "no position was lost on the way"
