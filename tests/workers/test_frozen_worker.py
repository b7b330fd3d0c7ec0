"""A worker that stood still for longer than its leases finds its runs closed by another, and yields."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.streaming.texts import pieces, seeded
from tests.support.event_source import EventSource
from tests.support.server import ServerProcess
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import QUICK, Cluster

pytestmark = pytest.mark.anyio

RUNS = 4


@asynccontextmanager
async def frozen(worker: ServerProcess) -> AsyncIterator[None]:
    """It does nothing while the block lasts, and its connections stay open."""
    worker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.signal(signal.SIGCONT)


async def test_its_runs_are_closed_meanwhile_and_its_own_readers_end_up_with_the_same(
    tmp_path: Path, redis_url: str
) -> None:
    with seeded() as seed:
        chance = random.Random(seed)
        async with Cluster(tmp_path, redis_url, **QUICK) as cluster:
            sleeper, *others = cluster.workers
            scripts = [Script(pieces=pieces(3_000, seed + n), interval_s=0.01) for n in range(RUNS)]
            runs = [await cluster.start(script, at=sleeper) for script in scripts]
            here = [cluster.reader(run_id, at=sleeper) for run_id in runs]
            there = [cluster.reader(run_id, at=worker) for run_id in runs for worker in others]
            readers = [*here, *there]
            following = {reader: asyncio.ensure_future(reader.follow()) for reader in readers}
            exchanges = [await cluster.asked(run_id) for run_id in runs]
            deltas = chance.randrange(3, 30)  # frozen anywhere in what it does
            await eventually(lambda: all(reader.follower.deltas > deltas for reader in readers), what="all runs stream")

            async with frozen(sleeper):
                await asyncio.gather(*(following[reader] for reader in there))
                meanwhile = [await cluster.ended(run_id, at=others[0]) for run_id in runs]
                assert not any(following[reader].done() for reader in here)
                assert all(exchange.closed_at is None for exchange in exchanges)

            await eventually(lambda: all(exchange.closed_at for exchange in exchanges), what="its upstreams are closed")
            await asyncio.gather(*(following[reader] for reader in here))
            for n, (run_id, script) in enumerate(zip(runs, scripts, strict=True)):
                run = meanwhile[n]
                assert (run["status"], run["reason"]) == ("incomplete", "producer_lost")
                assert run["output"] and script.text.startswith(run["output"])
                for worker in cluster.workers:
                    assert await cluster.run(run_id, at=worker) == run, "what it wrote since was refused"
                for reader in (here[n], *there[2 * n : 2 * n + 2]):
                    assert tells(reader, run)
                assert len(cluster.calls(run_id)) == 1
            assert sleeper.stderr.count("an append was refused") >= RUNS
            await it_is_as_good_as_any(cluster, sleeper)


def tells(reader: EventSource, run: dict[str, object]) -> bool:
    """Whether a reader has what is stored, without having been set back."""
    end = reader.follower.end
    assert end is not None
    assert reader.follower.snapshots <= 1, "each position that was handed out still joins"
    told = (reader.text, reader.last_id, end["status"], end.get("reason"))
    return told == (run["output"], run["position"], run["status"], run["reason"])


async def it_is_as_good_as_any(cluster: Cluster, worker: ServerProcess) -> None:
    """It takes new runs, and its readers hear of others'."""
    script = Script(tokens=50, interval_s=0.01)
    for producer in cluster.workers:
        reader = cluster.reader(await cluster.start(script, at=producer), at=worker)
        await reader.follow()
        assert reader.text == script.text
        assert reader.follower.end is not None and reader.follower.end["status"] == "completed"


async def test_a_worker_frozen_for_less_than_its_leases_goes_on(tmp_path: Path, redis_url: str) -> None:
    async with Cluster(tmp_path, redis_url, workers=2, lease_s=10, sweep_s=0.2) as cluster:
        sleeper, other = cluster.workers
        script = Script(tokens=100, interval_s=0.01)
        run_id = await cluster.start(script, at=sleeper)
        readers = [cluster.reader(run_id, at=worker) for worker in cluster.workers]
        following = asyncio.gather(*(reader.follow() for reader in readers))
        await eventually(lambda: all(reader.follower.deltas > 3 for reader in readers), what="it streams")
        async with frozen(sleeper):
            # Meanwhile the other sweeps several times, and must leave the run alone.
            await cluster.ended(await cluster.start(Script(tokens=30, interval_s=0.05), at=other), at=other)
        await following
        for reader in readers:
            assert reader.text == script.text
            assert reader.follower.end is not None and reader.follower.end["status"] == "completed"
