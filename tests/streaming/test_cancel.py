"""A cancel closes the upstream and gives everyone the end, whenever it comes."""

import asyncio
import random

import pytest

from tests.streaming.stage import ENDED, Stage
from tests.streaming.texts import seeded
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

TRIES = 30
LONG = Script(tokens=10_000, interval_s=0.005)


async def test_thirty_cancels_in_mid_run(stage: Stage) -> None:
    """One after another, so that each try's upstream and readers are its own."""
    with seeded() as seed:
        chance = random.Random(seed)
        for _ in range(TRIES):
            await cancel_at(stage, chance.randrange(1, 8))


async def cancel_at(stage: Stage, seq: int) -> None:
    """Cancel a run once its readers have got so far."""
    run_id = await stage.start(LONG)
    readers = [stage.reader(run_id) for _ in range(2)]
    following = asyncio.gather(*(reader.follow() for reader in readers))
    await eventually(lambda: all(reader.follower.seq >= seq for reader in readers), what="they read")
    exchange = await stage.exchange()
    run = await stage.cancel(run_id)
    await following
    await eventually(lambda: exchange.closed_at is not None, what="the upstream is closed")
    assert run["status"] == "cancelled"
    assert LONG.text.startswith(run["output"])
    for reader in readers:
        assert reader.follower.end is not None
        assert reader.follower.end["status"] == "cancelled"
        assert (reader.text, reader.last_id) == (run["output"], run["position"])


async def test_cancels_around_the_end_leave_no_run_unfinished(stage: Stage) -> None:
    """A cancel may come between a run's last token and its stored end: either wins, and there is one end."""
    with seeded() as seed:
        chance = random.Random(seed)

        async def once(tokens: int, turns: int) -> None:
            run_id = await stage.start(Script(tokens=tokens))
            reader = stage.reader(run_id)
            following = asyncio.ensure_future(reader.follow())
            for _ in range(turns):
                await asyncio.sleep(0)
            await stage.cancel(run_id)
            await following
            run = await stage.ended(run_id)
            assert run["status"] in ("completed", "cancelled")
            assert reader.follower.end is not None
            assert (reader.follower.end["status"], reader.text) == (run["status"], run["output"])
            assert run["status"] != "completed" or run["output"] == Script(tokens=tokens).text

        for _ in range(TRIES):
            await asyncio.gather(*(once(chance.randrange(1, 20), chance.randrange(0, 60)) for _ in range(4)))


async def test_a_cancel_before_the_first_token(stage: Stage) -> None:
    run_id = await stage.start(Script(start_s=30))
    exchange = await stage.exchange()
    run = await stage.cancel(run_id)
    assert (run["status"], run["output"]) == ("cancelled", "")
    await eventually(lambda: exchange.closed_at is not None, what="the upstream is closed")


async def test_many_cancels_at_once_are_one(stage: Stage) -> None:
    run_id = await stage.start(LONG)
    reader = stage.reader(run_id)
    following = asyncio.ensure_future(reader.follow())
    await eventually(lambda: reader.follower.seq > 0)
    runs = await asyncio.gather(*(stage.cancel(run_id) for _ in range(10)))
    await following
    assert {run["status"] for run in runs} == {"cancelled"}
    assert len({run["position"] for run in runs}) == 1


async def test_a_cancel_of_an_ended_run_changes_nothing(stage: Stage) -> None:
    run = await stage.ended(await stage.start(Script(tokens=3)))
    assert run["status"] in ENDED
    assert await stage.cancel(run["id"]) == run


async def test_a_cancel_says_how_far_it_got(stage: Stage) -> None:
    run_id = await stage.start(LONG)
    reader = stage.reader(run_id)
    await reader.read(until=lambda follower: follower.seq >= 10)
    await stage.cancel(run_id)
    run = await stage.ended(run_id)
    assert run["usage"]["estimated"]
    assert run["usage"]["output_tokens"] >= 10
    assert run["finish_reason"] is None
