"""One schedule: a world is made, things go wrong in it, it is made calm, and what came of it is checked."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

from headwater.core.lifecycle import ENDED
from headwater.core.run import Run, RunRequest
from headwater.errors import HeadwaterError
from headwater.metrics import Metrics
from headwater.providers.catalog import Catalog, Model
from tests.simulation.checks import check_world
from tests.simulation.history import History
from tests.simulation.loop import VirtualLoop
from tests.simulation.news import Air
from tests.simulation.plan import Action, Plan, draw_plan
from tests.simulation.reader import Reader
from tests.simulation.store import Books
from tests.simulation.upstream import TROUBLES, Script, ScriptedProvider
from tests.simulation.weather import Weather
from tests.simulation.worker import Reset, Worker

# Between two looks whether all is over.
LOOK_S = 0.1


class Broken(Exception):
    """What was broken, in words, and all that happened before it."""

    def __init__(self, seed: int, blames: list[str], trace: list[str]) -> None:
        super().__init__(f"schedule {seed}: " + "; ".join(blames[:3]))
        self.seed = seed
        self.blames = blames
        self.trace = trace


def run_schedule(seed: int, metrics: Metrics) -> list[str]:
    """Run one schedule: its trace. Raises Broken."""
    chance = random.Random(seed)
    state = random.getstate()
    random.seed(seed)  # tags, and chance in waiting
    try:
        return World(seed, chance, metrics).run()
    finally:
        random.setstate(state)


class World:
    """All of it."""

    def __init__(self, seed: int, chance: random.Random, metrics: Metrics) -> None:
        self.plan: Plan = draw_plan(chance)
        self.chance = chance
        self.loop = VirtualLoop(random.Random(chance.random()))
        self.blames: list[str] = []
        self.trace: list[str] = []
        self.weather = Weather(self.loop, chance)
        self.books = Books(self.loop.time, self.say, self.blame)
        self.air = Air(self.weather)
        self.workers: list[Worker] = []
        self.readers: list[Reader] = []
        self.scripts: dict[str, Script] = {}
        self.calm_since: float | None = None
        self.excused = 0
        """Readers that saw an end which the store forgot for good."""
        self.upset_at = 0.0
        """When the store last forgot or its clock jumped."""
        self._seed = seed
        self._metrics = metrics
        self._tasks: list[asyncio.Task[None]] = []
        self._catalog = Catalog(
            [
                Model("main", ScriptedProvider("main", self.scripts, self.loop), fallbacks=("backup",)),
                Model("backup", ScriptedProvider("backup", self.scripts, self.loop)),
            ],
            "main",
        )
        self.books.announce = self.air.announce
        self.books.tell_holder = self.air.tell_holder
        self.books.on_taken = self._on_taken

    def say(self, what: str) -> None:
        """For the trace."""
        self.trace.append(f"{self.loop.time():9.4f} {what}")

    def blame(self, what: str) -> None:
        """A promise is broken."""
        self.say(f"BROKEN {what}")
        self.blames.append(what)

    def run(self) -> list[str]:
        """From its beginning to its end. Raises Broken."""
        with _errors_of_ours(self):
            try:
                self.loop.run_until_complete(self._happen())
            except AssertionError as error:
                self.blame(f"{error!r}")
            finally:
                blames, trace = list(self.blames), list(self.trace)
                self.loop.end_everything([worker.process for worker in self.workers])
        if blames:
            raise Broken(self._seed, blames, trace)
        return trace

    # -- what happens

    async def _happen(self) -> None:
        plan = self.plan
        self.say(f"{plan.workers} workers, {plan.runs} runs; {' '.join(sorted(plan.kinds))}")
        if "fail" in plan.kinds:
            self.weather.failing = self.chance.choice((0.02, 0.2))
        if "lose_news" in plan.kinds:
            self.weather.news_lost = self.chance.choice((0.1, 0.9))
        if "muddle_news" in plan.kinds:
            self.weather.news_doubled, self.weather.news_late_s = 0.2, self.chance.choice((0.05, 0.6))
        for _ in range(plan.workers):
            self._start_worker()
        for n in range(plan.runs):
            self._do(self._answer(f"run_{n}", self.chance.uniform(0, plan.lasts_s / 2)))
        for action in plan.actions:
            self.loop.call_at(action.at_s, self._act, action)
        await self.loop.pause(plan.lasts_s)
        self._make_calm()
        await self._until_over()
        if not self.blames:
            check_world(self)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self.loop.create_task(work))

    async def _answer(self, run_id: str, after_s: float) -> None:
        """Somebody asks, and some follow."""
        chance = self.chance
        script = Script(chance, self.blame)
        if "upstream" in self.plan.kinds:
            script.troubles = chance.choices(TROUBLES, k=chance.randint(1, 3))
        self.scripts[run_id] = script
        request = RunRequest(
            input=run_id,
            failover=chance.random() < 0.8,
            restart=chance.choice((None, True, False)),
        )
        run = Run(id=run_id, owner="ann", model="main", request=request, created_at=0.0)
        await self.loop.pause(after_s)
        await self._create(run, awaited=chance.random() < 0.5)
        for n in range(self.plan.readers):
            reader = Reader(f"{run_id}.{n}", run_id, self.loop, chance, self._history_of(run_id), self.blame)
            self.readers.append(reader)
            if self.calm_since is not None:
                reader.calm_down()
            self._do(self._follow(reader, chance.choice((0.0, 0.0, 0.5, 2.0)) * chance.random()))

    def _history_of(self, run_id: str) -> Callable[[], History | None]:
        return lambda: self.books.histories.get(run_id)

    async def _create(self, run: Run, *, awaited: bool) -> None:
        while True:
            worker = self._some_worker()
            try:
                created = await worker.ask(worker.create(run, awaited=awaited))
            except (HeadwaterError, Reset):
                await self.loop.pause(0.1)
                continue
            self.say(f"{worker} created {run.id}")
            if created.fresh:  # as after the response, which may never come
                self.loop.call_soon(worker.executor.wake, run.id, context=worker.process.context)
            return

    async def _follow(self, reader: Reader, after_s: float) -> None:
        await self.loop.pause(after_s)
        await reader.follow(self._some_worker)
        self.say(f"{reader} is done")

    def _some_worker(self) -> Worker:
        return self.chance.choice([worker for worker in self.workers if worker.is_well])

    def _start_worker(self) -> None:
        name = f"w{len(self.workers)}"
        self.workers.append(
            Worker(name, self.books, self.air, self.weather, self._catalog, self.plan.config, self._metrics)
        )
        self.say(f"{name} starts")

    # -- what goes wrong

    def _act(self, action: Action) -> None:
        now, chance, weather = self.loop.time(), self.chance, self.weather
        worker = self._some_worker()
        until = now + action.for_s
        self.say(f"{action.kind} {worker} {action.for_s}")
        match action.kind:
            case "kill":
                self._replace(worker)
            case "freeze":
                self._freeze(worker, action.for_s)
            case "drain":
                self._drain(worker)
            case "outage":
                weather.out_until = max(until, weather.out_until)
            case "cut_off":
                weather.cut_off[worker.process] = until
            case "stall":
                weather.stalled_until = max(until, weather.stalled_until)
            case "forget":
                self.books.forget(chance.randint(1, 12))
                self.upset_at = now
            case "clock":
                self.books.off_s += chance.uniform(-1.0, 1.0)
                self.upset_at = now
            case "deafen":
                worker.broadcaster.deaf = True
                self.loop.call_at(until, worker.broadcaster.listen_again, context=worker.process.context)
            case "cancel":
                self._do(self._cancel(chance.choice([f"run_{n}" for n in range(self.plan.runs)])))

    def _replace(self, worker: Worker) -> None:
        """Kill it, and start another."""
        worker.kill()
        self.say(f"{worker} is dead")
        self._start_worker()

    def _freeze(self, worker: Worker, for_s: float) -> None:
        self.loop.freeze(worker.process)
        self.loop.call_later(for_s, self._thaw, worker)

    def _thaw(self, worker: Worker) -> None:
        if worker.process.frozen and not worker.process.dead:
            self.weather.disturb(worker.process)
            self.loop.thaw(worker.process)
            self.say(f"{worker} is thawed")

    def _drain(self, worker: Worker) -> None:
        worker.leaving = True
        self._start_worker()
        self._do(self._see_off(worker))

    async def _see_off(self, worker: Worker) -> None:
        try:
            await worker.ask(worker.drain(self.plan.config.drain_s))
        except Reset:
            return
        worker.kill()
        self.say(f"{worker} has left")

    async def _cancel(self, run_id: str) -> None:
        while run_id in self.books.histories:
            worker = self._some_worker()
            try:
                await worker.ask(worker.cancel(run_id))
            except (HeadwaterError, Reset):
                await self.loop.pause(0.1)
                continue
            self.say(f"{worker} has cancelled {run_id}")
            return

    def _on_taken(self, run_id: str, before: str, by: str) -> None:
        """A lease was taken from somebody: who could not help losing it, or a promise is broken."""
        self.say(f"{by} takes {run_id} from {before}")
        holder = next(worker for worker in self.workers if worker.process.name == before)
        long_s = self.plan.config.lease_s + 1.0
        lately = max(self.upset_at, self.weather.disturbed.get(holder.process, 0.0)) > self.loop.time() - long_s
        if holder.is_well and not holder.process.frozen and not lately:
            self.blame(f"{by} took {run_id} from {before}, who is well")

    # -- how it ends

    def _make_calm(self) -> None:
        self.say("calm")
        self.calm_since = self.loop.time()
        self.weather.clear()
        for worker in self.workers:
            self._thaw(worker)
            if worker.broadcaster.deaf:
                self.loop.call_soon(worker.broadcaster.listen_again, context=worker.process.context)
        for reader in self.readers:
            reader.calm_down()

    @property
    def is_over(self) -> bool:
        """Whether every run has ended, every reader knows it, and nobody generates."""
        rows = self.books.rows
        return (
            len(rows) == self.plan.runs
            and all(row.run.status in ENDED for row in rows)
            and len(self.readers) == self.plan.runs * self.plan.readers
            and all(reader.is_done for reader in self.readers)
        )

    async def _until_over(self) -> None:
        until = self.loop.time() + self.plan.bound_s
        while not self.is_over and not self.blames:
            if self.loop.time() > until:
                unended = [row.run.id for row in self.books.rows if row.run.status not in ENDED]
                waiting = [reader for reader in self.readers if not reader.is_done]
                self.blame(f"not over after {self.plan.bound_s:g} s of calm: unended {unended}, waiting {waiting}")
            await self.loop.pause(LOOK_S)


class _errors_of_ours(logging.Handler):
    """What the server logs as an error is one."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world
        self._log = logging.getLogger("headwater")
        self._before = (self._log.propagate, self._log.handlers)

    def __enter__(self) -> None:
        self._log.propagate, self._log.handlers = False, [self]

    def __exit__(self, *error: object) -> None:
        self._log.propagate, self._log.handlers = self._before

    def emit(self, record: logging.LogRecord) -> None:
        self._world.blame(f"logged: {self.format(record)}")
