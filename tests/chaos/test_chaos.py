"""A few seconds of chaos on every run of the tests; `make chaos` has the long ones."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.chaos import played
from tests.chaos.faults import Havoc
from tests.chaos.load import Load
from tests.chaos.report import Tally
from tests.chaos.world import World
from tests.streaming.texts import seeded

pytestmark = pytest.mark.anyio

SECONDS = 3.0
STROKES = (Havoc.kill, Havoc.drain, Havoc.freeze, Havoc.cut, Havoc.cut_store, Havoc.zombie, Havoc.zombie)
LEASE = {"lease_s": 1.0, "renew_s": 0.3, "sweep_s": 0.2, "drain_s": 1.5, "first_token_timeout_s": 2.5}


async def test_no_token_is_lost_or_repeated_whatever_happens_to_the_workers(tmp_path: Path) -> None:
    tally = Tally()
    with seeded() as seed:
        async with World(tmp_path, seed, store="redis", workers=2, **LEASE) as world:
            load = Load(world, "chaos", tally, in_flight=8, longest_s=2.0)
            havoc = Havoc(load, "chaos")
            havoc.freeze_s = (0.2, 1.5)
            until = asyncio.get_running_loop().time() + SECONDS
            async with played(havoc, rooms=1) as party, asyncio.TaskGroup() as acts:
                acts.create_task(load.press(until))
                acts.create_task(party.talk(until))
                acts.create_task(havoc.wreak_each(STROKES, SECONDS))
        assert not tally.failed, tally.described() + "\n" + tally.table(seed)
        assert tally.runs and tally.faults["kills"] and tally.faults["drains"], tally.table(seed)
