"""One promise each, `times` over: what `--only` names."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.chaos.chaos import played, showing
from tests.chaos.faults import Havoc
from tests.chaos.load import Asked, Load
from tests.chaos.questions import UPSTREAM_FAULTS, Question, demo, scripted
from tests.chaos.report import Tally, quantiles
from tests.chaos.streams import Completion
from tests.chaos.world import Worker, World
from tests.support.waiting import eventually, lasting

Scenario = Callable[[Path, str, int, Tally], Coroutine[Any, Any, None]]

LEASE_S = 3.0  # the default, for which the promises are stated

KILL_S = (0.02, 4.0)  # of an answer of
ANSWER_S = 6.0
FOLLOWING = ("native", "ndjson", "client", "chat", "responses", "text")

_REFUSED = "refused connection"

ROLLING_SUBSCRIBERS = 3
ROLLING_AT_ONCE = 40  # runs
ROLLING_COMPLETIONS = 0.3  # of runs
DRAIN_S = 20.0  # the default: longer than an answer takes, so that nobody has to be sent away


async def takeover(directory: Path, seed: str, times: int, tally: Tally) -> None:
    """kill -9 of the worker that produces, at any moment: on three workers with Redis, and on SQLite with a restart."""
    stores = ("redis", "sqlite")
    async with showing(tally, steps=len(stores) * times) as pace:
        for store in stores:
            measured = len(tally.continued_s)
            where = directory / store
            where.mkdir()
            async with World(where, f"{seed}/{store}", store=store, lease_s=LEASE_S) as world:
                for number in range(times):
                    pace.step(LEASE_S + ANSWER_S)
                    await _one_kill(world, f"{store} {number}", tally)
                    world.upstream.exchanges.clear()
            tally.notes.append(f"{store}: {quantiles(tally.continued_s[measured:])}")


async def _one_kill(world: World, name: str, tally: Tally) -> None:
    load = Load(world, name, tally)
    havoc = Havoc(load, name)
    chance = world.chance(name)
    measured = len(tally.continued_s)
    async with played(havoc):
        world.network.limit = world.network.cuts  # one fault at a time
        victim = chance.choice(world.workers)
        for number, question in enumerate(_pair(name, chance)):
            asked = await load.ask(question, chance, where=lambda: victim.process.url)
            for kind in chance.sample(FOLLOWING, 3):
                load.follow(asked, kind, chance)
            load.follow(asked, "native", chance, late_s=0.1 * number)
        await lasting(chance.uniform(*KILL_S))
        await havoc.strike_dead(victim)
        await havoc.revive(victim)
    if len(tally.continued_s) == measured:
        tally.fail("kills without a witness", f"{name}: {victim!r}, known as {victim.name!r}")


def _pair(name: str, chance: random.Random) -> tuple[Question, Question]:
    return (
        demo(f"{name}/demo", tokens=chance.randrange(30, 200), seconds=ANSWER_S),
        scripted(f"{name}/steady", "steady", chance, seconds=ANSWER_S),
    )


async def rolling(directory: Path, seed: str, times: int, tally: Tally) -> None:
    """A rolling restart of three workers while ten times as many runs are followed as `times` says.

    Some are streams of the very request that started them, which cannot come back: their worker keeps them to the end.
    """
    runs = 10 * times
    world = World(directory, seed, store="redis", lease_s=LEASE_S, drain_s=DRAIN_S)
    async with world, showing(tally) as pace:
        pace.step(ANSWER_S + runs / 8)
        load = Load(world, "rolling", tally)
        havoc = Havoc(load, "rolling")
        world.network.spared = 1.0
        async with played(havoc):
            pressing = asyncio.create_task(_follow_all(load, runs))
            kept = 0
            for old in list(world.workers):
                await lasting(1.0)
                kept += await _replace(world, havoc, old)
            await pressing
        count = sum(isinstance(one, Completion) for asked in load.asked for one in asked.subscribers)
        tally.notes.append(f"streams of POSTs: {count}, of which workers that left kept {kept} to the end")
        if world.refused:
            tally.fail("errors seen", f"{world.refused} requests were refused")


async def _replace(world: World, havoc: Havoc, old: Worker) -> int:
    """A new worker in the place of the old, and then the old one leaves; readers may come to it until it is gone.

    How many streams it had then that cannot come back.
    """
    new = await world.add_worker()
    world.network.targets = [worker.process.port for worker in world.workers if worker is not old]
    await world.learn_name(new)
    followed = [one for asked in havoc.load.in_flight for one in asked.subscribers if not one.done]
    kept = sum(isinstance(one, Completion) and one.worker == old.process.url for one in followed)
    await havoc.dismiss(old)
    world.workers.remove(old)
    return kept


async def _follow_all(load: Load, runs: int) -> None:
    chance = load.world.chance("rolling")

    def behind_balancer() -> str:
        return f"http://127.0.0.1:{chance.choice(load.world.network.targets)}"

    for number in range(runs):
        await eventually(lambda: len(load.in_flight) < ROLLING_AT_ONCE, 60.0, "some have ended")
        seconds = chance.uniform(1.5, 6.0)
        if chance.random() < 0.3:
            question = demo(f"rolling {number}", tokens=chance.randrange(20, 150), seconds=seconds)
        else:
            question = scripted(f"rolling {number}", "steady", chance, seconds=seconds)
        completes = chance.random() < ROLLING_COMPLETIONS
        asked = await (load.complete(question, behind_balancer) if completes else load.ask(question, chance))
        if asked is not None:
            for kind in chance.sample(FOLLOWING, ROLLING_SUBSCRIBERS - completes):
                load.follow(asked, kind, chance)


async def failover(directory: Path, seed: str, times: int, tally: Tally) -> None:
    """A fourth as many failovers of Redis as `times` says, each of which loses writes, under load."""
    count = max(1, times // 4)
    async with World(directory, seed, lease_s=LEASE_S) as world, showing(tally, steps=count) as pace:
        for number in range(count):
            pace.step(15.0)
            name = f"failover {number}"
            load = Load(world, name, tally)
            havoc = Havoc(load, name)
            until = asyncio.get_running_loop().time() + 8.0
            async with played(havoc, rooms=1) as party, asyncio.TaskGroup() as acts:
                acts.create_task(load.press(until, faulty=0.0))
                acts.create_task(party.talk(until))
                await lasting(2.0)
                await havoc.fail_over(world.chance(name))
            world.upstream.exchanges.clear()


async def upstream(directory: Path, seed: str, times: int, tally: Tally) -> None:
    """Each of the upstreams' faults, on models that can be continued, begun anew, or neither; once each.

    An upstream that is not there has a model of its own, with the same fallback as the first.
    """
    models = ("steady", "anew", "brittle")
    async with World(directory, seed, store="sqlite") as world, showing(tally) as pace:
        pace.step(20.0)
        load = Load(world, "upstream", tally)
        rows: dict[tuple[str, str], Asked] = {}
        async with played(Havoc(load, "upstream")):
            for fault in ("", *UPSTREAM_FAULTS):
                for model in models if fault else ("absent",):
                    chance = world.chance(f"{fault}/{model}")
                    question = scripted(f"{fault}/{model}", model, chance, seconds=1.5, fault=fault)
                    asked = rows[fault, model] = await load.ask(question, chance)
                    for kind in ("native", "chat"):
                        load.follow(asked, kind, chance)
        width = max(map(len, (_REFUSED, *UPSTREAM_FAULTS)))
        tally.notes.append(f"{'fault':<{width}}  " + "  ".join(f"{model:<38}" for model in models))
        tally.notes.append(f"{_REFUSED:<{width}}  {await _outcome(world, rows['', 'absent'])}")
        for fault in UPSTREAM_FAULTS:
            told = [await _outcome(world, rows[fault, model]) for model in models]
            tally.notes.append(f"{fault:<{width}}  " + "  ".join(f"{one:<38}" for one in told))


async def _outcome(world: World, asked: Asked) -> str:
    run = (await world.ask(world.where(world.chance("outcome")), "GET", f"/v1/runs/{asked.id}")).json()
    tries = [attempt["how"] for attempt in run["attempts"][1:]]
    how = f"{run['status']} {run['reason'] or ''}".strip()
    with suppress(IndexError):
        how += f", {len(tries)} {tries[-1]}"
    return how


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "takeover": takeover,
    "rolling": rolling,
    "failover": failover,
    "upstream": upstream,
}

ONCE: Final = frozenset({"upstream"})
"""Those that do each of their things once."""
