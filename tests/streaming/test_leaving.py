"""A client that leaves does not stop the run."""

import asyncio

import pytest

from tests.streaming.stage import Stage
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SCRIPT = Script(tokens=100, interval_s=0.005)


async def test_the_run_goes_on_without_its_only_reader(stage: Stage) -> None:
    run_id = await stage.start(SCRIPT)
    reader = stage.reader(run_id)
    await reader.read(until=lambda follower: follower.deltas > 0)
    run = await stage.ended(run_id)
    assert (run["status"], run["output"]) == ("completed", SCRIPT.text)
    assert (await stage.exchange()).closed_at is None
    await reader.follow()
    assert reader.text == SCRIPT.text


async def test_the_run_goes_on_without_who_started_it_as_a_stream(stage: Stage) -> None:
    body = {"input": "leaving", "model": "scripted", "stream": True, "extra": SCRIPT.extra()}
    async with stage.client.stream("POST", "/v1/runs", json=body) as response:
        async for _ in response.aiter_raw():
            break
    run = await stage.ended(response.headers["headwater-run"])
    assert (run["status"], run["output"]) == ("completed", SCRIPT.text)


async def test_a_reader_that_left_leaves_nothing_behind(stage: Stage) -> None:
    run_id = await stage.start(SCRIPT)
    before = await stage.metric("headwater_subscribers")
    readers = [stage.reader(run_id) for _ in range(20)]
    await asyncio.gather(*(reader.read(until=lambda follower: follower.seq > 0) for reader in readers))

    async def all_gone() -> bool:
        return await stage.metric("headwater_subscribers") <= before

    await eventually(all_gone, what="no subscriber is left")
    assert (await stage.ended(run_id))["status"] == "completed"
