"""One Idempotency-Key is one run and one call of the model, on however many workers it is used."""

import asyncio
import contextlib
import random
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.streaming.texts import seeded
from tests.support.server import ServerProcess
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import QUICK, Cluster

pytestmark = pytest.mark.anyio

KEYS = 20
KILLS = 6
# About how long a POST takes: the kills fall before, into and after it.
POST_S = 0.02
SHORT = Script(tokens=8, interval_s=0.02)


async def test_three_workers_at_once_start_one_run(cluster: Cluster) -> None:
    async def once() -> None:
        body, key = cluster.question(SHORT), str(uuid4())
        answers = await asyncio.gather(*(cluster.post(body, at=worker, key=key) for worker in cluster.workers))
        assert [answer.status_code for answer in answers] == [202] * 3
        (run_id,) = {answer.json()["id"] for answer in answers}
        assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
        run = await cluster.ended(run_id)
        assert (run["status"], run["output"]) == ("completed", SHORT.text)
        assert len(cluster.calls(run_id)) == 1

    for _ in range(KEYS):
        await once()


async def test_streams_from_three_workers_at_once_are_of_one_run(cluster: Cluster) -> None:
    body, key = cluster.question(SHORT, stream=True), str(uuid4())
    answers = await asyncio.gather(*(cluster.post(body, at=worker, key=key) for worker in 3 * cluster.workers))
    (run_id,) = {answer.headers["headwater-run"] for answer in answers}
    assert all(f'"id":"{run_id}"' in answer.text and "event: end" in answer.text for answer in answers)
    assert len(cluster.calls(run_id)) == 1


async def test_another_body_conflicts_on_every_worker(cluster: Cluster) -> None:
    key = str(uuid4())
    first = await cluster.post(cluster.question(SHORT), key=key)
    for worker in cluster.workers:
        other = await cluster.post(cluster.question(SHORT), at=worker, key=key)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len(cluster.calls((await cluster.ended(first.json()["id"]))["id"])) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_retry_after_its_worker_died_is_the_same_run(tmp_path: Path, redis_url: str, stream: bool) -> None:
    """Killed at any moment of a POST: before, between and after the steps by which a run is written."""
    with seeded() as seed:
        chance = random.Random(seed)
        async with Cluster(tmp_path, redis_url, workers=2 + KILLS, **QUICK) as cluster:
            victims, others = cluster.workers[2:], cluster.workers[:2]
            retries = []
            for victim in victims:  # one after another: a kill shall meet the POST, not wait beside it for the CPU
                body, key = cluster.question(SHORT, stream=stream), str(uuid4())
                first = asyncio.ensure_future(cluster.post(body, at=victim, key=key))
                asyncio.get_running_loop().call_later(chance.random() * POST_S, victim.kill)
                await eventually(partial(has_died, victim), what="it is killed")
                retries.append(asyncio.ensure_future(retried(cluster, first, others, body, key)))
            await asyncio.gather(*retries)


def has_died(worker: ServerProcess) -> bool:
    return not worker.running


async def retried(
    cluster: Cluster,
    first: "asyncio.Future[httpx2.Response]",
    others: list[ServerProcess],
    body: dict[str, Any],
    key: str,
) -> None:
    """Post again elsewhere, several times at once; what comes of it."""
    told: set[str] = set()
    # The caller may never hear; an AttributeError is what anyio makes of a connection that is lost as it is made.
    with contextlib.suppress(httpx2.TransportError, AttributeError):
        told = {(await first).headers["headwater-run"]}
    answers = await asyncio.gather(*(cluster.post(body, at=worker, key=key) for worker in 3 * others))
    (run_id,) = {answer.headers["headwater-run"] for answer in answers} | told
    readers = [cluster.reader(run_id, at=worker) for worker in others]
    await asyncio.gather(*(reader.follow() for reader in readers))
    run = await cluster.ended(run_id, at=others[0])
    assert run == await cluster.ended(run_id, at=others[1])
    assert (run["status"], run["reason"], run["output"]) in (
        ("completed", None, SHORT.text),
        ("incomplete", "producer_lost", run["output"]),
    )
    assert SHORT.text.startswith(run["output"])
    calls = len(cluster.calls(run_id))
    assert calls <= len(run["attempts"]) and (calls or not run["output"])
    for reader in readers:
        assert reader.follower.end is not None
        assert (reader.text, reader.follower.end["status"]) == (run["output"], run["status"])
