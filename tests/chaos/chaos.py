"""One round after another: a load, faults upon it, calm, and then the checks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.chaos.checks import Checks
from tests.chaos.faults import Havoc
from tests.chaos.load import Load
from tests.chaos.report import Pace, Progress, Tally
from tests.chaos.rooms import Party
from tests.chaos.world import World
from tests.support.waiting import lasting

ROUND_S = 30.0  # what a round leaves behind is held in memory until it is checked
PEACE_S = 5.0  # at its end, for one kill with nothing else
# Once all is calm: the longest answer, the longest silence of an upstream, and a takeover or two.
CALM_S = 45.0
MOSTLY_CALM_S = 10.0
LOOK_S = 0.25


async def rounds(world: World, tally: Tally, seconds: float, *, rooms: int = 2) -> None:
    """So many seconds of faults, in rounds."""
    count = max(1, round(seconds / ROUND_S))
    async with showing(tally, steps=count) as pace:
        for number in range(count):
            pace.step(seconds / count + MOSTLY_CALM_S)
            await one_round(world, tally, f"round {number + 1}", seconds / count, rooms=rooms)
            world.upstream.exchanges.clear()


async def one_round(world: World, tally: Tally, name: str, seconds: float, *, rooms: int) -> None:
    """Load and faults for so many seconds; then calm, and the checks."""
    load = Load(world, name, tally)
    havoc = Havoc(load, name)
    until = asyncio.get_running_loop().time() + max(0.0, seconds - PEACE_S)
    async with played(havoc, rooms=rooms) as party, asyncio.TaskGroup() as acts:
        acts.create_task(party.talk(until))
        pressing = acts.create_task(load.press(float("inf")))
        await havoc.wreak(until)
        await havoc.kill_in_peace()
        pressing.cancel()


@contextlib.asynccontextmanager
async def played(havoc: Havoc, *, rooms: int = 0) -> AsyncIterator[Party]:
    """In the block the load is pressed and the world spoilt; after it comes calm, and everything is checked."""
    load, world = havoc.load, havoc.world
    party = Party(world, load.name, load.tally, havoc.windows, rooms)
    try:
        world.network.limit = None
        for worker in world.workers if world.kind != "sqlite" else ():
            await world.learn_name(worker)
        yield party
        world.network.limit = world.network.cuts  # no more of them
        await load.settled(CALM_S)
        await party.settle(CALM_S)
    finally:
        await party.close()
        await load.close()
    load.tally.faults["cuts"] += world.network.cuts
    world.network.cuts = 0
    await Checks(havoc).all_of(load.asked)
    await party.check()
    for crash in await asyncio.to_thread(world.crashes):
        load.tally.fail("crashes in logs", crash)


@contextlib.asynccontextmanager
async def showing(tally: Tally, *, steps: int = 1) -> AsyncIterator[Pace]:
    """Show how far it is for as long as the block lasts, which says when each of its steps begins."""
    pace = Pace(steps)

    def what() -> str:
        faults = " ".join(f"{name} {count}" for name, count in tally.faults.items())
        return f"runs {tally.runs}, subscribers {tally.subscribers}, failures {len(tally.failures)}; {faults}"

    async def show() -> None:
        with Progress(what) as progress:
            while True:
                progress.show(pace.share)
                await lasting(LOOK_S)

    task = asyncio.create_task(show())
    try:
        yield pace
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
