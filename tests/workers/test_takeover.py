"""Runs whose worker dies, or leaves, go on at another: their readers see a pause, and then the rest."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.streaming.texts import pieces, seeded
from tests.support.audience import Audience
from tests.support.event_source import EventSource
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import QUICK, Cluster

pytestmark = pytest.mark.anyio

# Nobody goes on in the midst of a JSON document.
JSON = {"type": "json_object"}
DEMO = {"tokens_per_s": 60, "tokens": 150}


def tries(run: Any) -> list[tuple[str | None, str | None]]:
    """Why and how each attempt began."""
    return [(one["reason"], one["how"]) for one in run["attempts"]]


def all_hold(readers: list[EventSource], run: Any) -> bool:
    """Whether each has what is stored, without having been set back."""
    return all(
        reader.text == run["output"]
        and reader.follower.snapshots <= 1
        and reader.follower.end is not None
        and reader.follower.end["status"] == run["status"]
        for reader in readers
    )


async def test_what_a_killed_worker_produced_goes_on_or_ends_as_it_was_promised(tmp_path: Path, redis_url: str) -> None:
    with seeded() as seed:
        async with Cluster(tmp_path, redis_url, continuation="vllm", **QUICK) as cluster:
            victim, *others = cluster.workers
            script = Script(pieces=pieces(250, seed), interval_s=0.01)
            silent = Script(pieces=pieces(20, seed), start_s=2)
            quoted = await cluster.ended(await cluster.start(demo=DEMO | {"tokens_per_s": 9_000}, input="the same"))
            runs = {
                "continued": await cluster.start(script, at=victim),
                "demo": await cluster.start(at=victim, demo=DEMO, input="the same"),
                "silent": await cluster.start(silent, at=victim),
                "json": await cluster.start(script, at=victim, response_format=JSON),
                "anew": await cluster.start(script, at=victim, response_format=JSON, restart=True),
            }
            readers = {name: [cluster.reader(run, first=one) for one in cluster.workers] for name, run in runs.items()}
            streaming = [reader for name, some in readers.items() if name != "silent" for reader in some]
            async with Audience([reader for some in readers.values() for reader in some]) as audience:
                await eventually(lambda: all(one.follower.seq > 20 for one in streaming), what="all runs stream")
                victim.kill()
                await audience.end()
            ended = {name: await cluster.ended(run, at=others[0]) for name, run in runs.items()}
            for name, run in ended.items():
                assert all_hold(readers[name], run), name
            for name, text in (("continued", script.text), ("demo", quoted["output"]), ("silent", silent.text)):
                run = ended[name]
                assert (run["status"], run["output"]) == ("completed", text), name
                assert tries(run) == [(None, None), ("takeover", "continued")]
                assert (
                    sum(one["usage"]["output_tokens"] for one in run["attempts"] if one["usage"])
                    == (run["usage"]["output_tokens"])
                )
            assert (ended["json"]["status"], ended["json"]["reason"]) == ("incomplete", "producer_lost")
            assert script.text.startswith(ended["json"]["output"])
            assert (ended["anew"]["status"], ended["anew"]["output"]) == ("completed", script.text)
            assert tries(ended["anew"]) == [(None, None), ("takeover", "restarted")]


async def test_a_worker_that_leaves_hands_its_runs_over(tmp_path: Path, redis_url: str) -> None:
    with seeded() as seed:
        async with Cluster(tmp_path, redis_url, continuation="vllm", **QUICK | {"drain_s": 20}) as cluster:
            leaver, *others = cluster.workers
            script = Script(pieces=pieces(300, seed), interval_s=0.01)
            runs = {
                await cluster.start(script, at=leaver): "continued",
                await cluster.start(script, at=leaver, response_format=JSON): "finished there",
            }
            readers = {run_id: [cluster.reader(run_id, first=one) for one in cluster.workers] for run_id in runs}
            async with Audience([reader for some in readers.values() for reader in some]) as audience:
                await audience.all_at(4)
                leaver.signal(signal.SIGTERM)
                code = asyncio.ensure_future(asyncio.to_thread(leaver.wait))
                await audience.end()
                assert await code == 0
            for run_id, what in runs.items():
                run = await cluster.ended(run_id, at=others[0])
                assert all_hold(readers[run_id], run)
                assert (run["status"], run["output"]) == ("completed", script.text)
                assert tries(run)[1:] == ([("drain", "continued")] if what == "continued" else [])


async def test_a_run_that_kills_its_workers_is_not_passed_on_for_ever(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "poison.py").write_text(
        "import os, signal\nasync def answer(request):\n    os.kill(os.getpid(), signal.SIGKILL)\n    yield 'never'\n"
    )
    (tmp_path / "headwater.toml").write_text('[models.poison]\nprovider = "python:poison:answer"\n')
    async with Cluster(tmp_path, redis_url, workers=4, may_crash=True, **QUICK) as cluster:
        run_id = await cluster.start(model="poison")
        await eventually(lambda: sum(worker.running for worker in cluster.workers) == 1, what="three have died")
        (left,) = [worker for worker in cluster.workers if worker.running]
        run = await cluster.ended(run_id, at=left)
        assert (run["status"], run["reason"], run["output"]) == ("incomplete", "producer_lost", "")


async def test_a_run_goes_on_where_its_model_is_known(tmp_path: Path, redis_url: str) -> None:
    """While the models of a server are changed, one worker after another, some know a model and others do not."""
    async with Cluster(tmp_path, redis_url, workers=1, **QUICK) as cluster:
        (tmp_path / "headwater.toml").write_text('[models.newer]\nprovider = "demo"\n')
        async with cluster.worker(redis_url) as first, cluster.worker(redis_url) as second:
            body = cluster.question(demo=DEMO) | {"model": "newer"}
            run_id = (await cluster.post(body, at=first)).headers["headwater-run"]
            reader = cluster.reader(run_id, at=second)
            following = asyncio.ensure_future(reader.follow())
            await eventually(lambda: reader.follower.seq > 5, what="it streams")
            first.kill()
            await following
            run = await cluster.ended(run_id, at=second)
            assert (run["status"], run["output"], tries(run)[1:]) == (
                "completed",
                reader.text,
                [("takeover", "continued")],
            )
            # Nobody who knows it is left.
            run_id = (await cluster.post(body, at=second)).headers["headwater-run"]
            reader = cluster.reader(run_id, at=cluster.workers[0])
            following = asyncio.ensure_future(reader.follow())
            await eventually(lambda: reader.follower.seq > 5, what="it streams")
            second.kill()
            await following
            run = await cluster.ended(run_id, at=cluster.workers[0])
            assert (run["status"], run["reason"], run["output"]) == ("incomplete", "producer_lost", reader.text)
            assert run["usage"]["output_tokens"] > 5
