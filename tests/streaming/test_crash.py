"""kill -9 in mid-run and a restart on the same file: nothing acknowledged is lost, and every run ends honestly."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.streaming.stage import Stage, staged
from tests.streaming.texts import pieces, seeded
from tests.support.event_source import EventSource
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

RUNS = 5
LEASE: dict[str, Any] = {"lease_s": 1.0, "renew_s": 0.3, "sweep_s": 0.25}
WITHIN_S = 2.0  # beyond the lease: what the fifth invariant allows


async def kill_and_restart(stage: Stage) -> tuple[float, float]:
    """When it died and when it was ready again, in Unix seconds."""
    stage.server.kill()
    died = time.time()
    await anyio.to_thread.run_sync(stage.server.start)
    return died, time.time()


async def test_nothing_is_lost_and_everyone_is_told(tmp_path: Path) -> None:
    with seeded() as seed:
        async with staged(tmp_path, max_runs=RUNS, **LEASE) as stage:
            long = [Script(pieces=pieces(2_000, seed + number), interval_s=0.005) for number in range(RUNS)]
            runs = [await stage.start(script) for script in long]
            readers = [stage.reader(run_id) for run_id in runs for _ in range(2)]
            following = asyncio.gather(*(reader.follow() for reader in readers))
            await eventually(lambda: all(reader.follower.deltas > 20 for reader in readers), what="all runs stream")
            waiting = await stage.start(Script(tokens=3))
            assert (await stage.run(waiting))["status"] == "queued"

            seen = [held(reader) for reader in readers]
            died, ready = await kill_and_restart(stage)
            await following

            for number, run_id in enumerate(runs):
                run = await stage.ended(run_id)
                assert (run["status"], run["reason"]) == ("incomplete", "producer_lost")
                assert run["ended_at"] <= max(died, ready) + LEASE["lease_s"] + WITHIN_S
                assert long[number].text.startswith(run["output"])
                for reader in readers[2 * number : 2 * number + 2]:
                    assert reader.text == run["output"]
                    assert reader.follower.end is not None
                    assert reader.follower.end["reason"] == "producer_lost"
                    assert reader.follower.snapshots <= 1, "every position that was handed out still joins"
            for run_id, position, text in seen:
                await holds(stage, run_id, position, text)
            started = await stage.ended(waiting)
            assert (started["status"], started["output"]) == ("completed", Script(tokens=3).text)


def held(reader: EventSource) -> tuple[str, str, str]:
    """What a reader holds in this moment: its run, its position and its text."""
    return reader.url.path.split("/")[3], reader.last_id, reader.text


async def holds(stage: Stage, run_id: str, position: str, text: str) -> None:
    """The log has what a reader held there: the rest after it makes the whole, without a snapshot."""
    again = stage.reader(run_id, after=position)
    await again.follow()
    assert again.follower.snapshots == 0
    assert text + again.text == (await stage.run(run_id))["output"]


async def test_a_second_crash_while_the_first_is_cleared_up_does_no_harm(tmp_path: Path) -> None:
    async with staged(tmp_path, **LEASE) as stage:
        run_id = await stage.start(Script(tokens=2_000, interval_s=0.005))
        reader = stage.reader(run_id)
        following = asyncio.ensure_future(reader.follow())
        await eventually(lambda: reader.follower.deltas > 5, what="it streams")
        await kill_and_restart(stage)
        await kill_and_restart(stage)
        await following
        run = await stage.ended(run_id)
        assert (run["status"], run["reason"], run["output"]) == ("incomplete", "producer_lost", reader.text)
        assert reader.follower.snapshots <= 1


async def test_a_cancel_that_the_crash_cut_short_still_ends_the_run(tmp_path: Path) -> None:
    """The cancel was accepted, its end not yet written: who clears up writes the end of a cancelled run."""
    async with staged(tmp_path, **LEASE) as stage:
        run_id = await stage.start(Script(tokens=2_000, interval_s=0.005))
        reader = stage.reader(run_id)
        following = asyncio.ensure_future(reader.follow())
        await eventually(lambda: reader.follower.deltas > 5, what="it streams")
        stage.server.kill()
        with sqlite3.connect(stage.server.database) as database:
            database.execute("UPDATE runs SET cancelled = 1 WHERE id = ?", (run_id,))
        database.close()
        await anyio.to_thread.run_sync(stage.server.start)
        await following
        run = await stage.ended(run_id)
        assert (run["status"], run["output"]) == ("cancelled", reader.text)


async def test_ended_runs_survive_as_they_were(tmp_path: Path) -> None:
    async with staged(tmp_path, **LEASE) as stage:
        scripts = (Script(tokens=5), Script(tokens=5, fault="cut", after=3), Script(tokens=5, finish_reason="length"))
        before = [await stage.ended(await stage.start(script)) for script in scripts]
        await kill_and_restart(stage)
        assert [await stage.run(run["id"]) for run in before] == before
