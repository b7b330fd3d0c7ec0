"""One schedule: a world is made, things go wrong in it, it is made calm, and what came of it is checked."""

import asyncio
import logging
import random
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from headwater.core.lifecycle import ENDED
from headwater.core.run import Run, RunRequest
from headwater.errors import HeadwaterError
from headwater.metrics import Metrics
from headwater.providers.catalog import Catalog, Model
from tests.simulation.checks import check_leases, check_world
from tests.simulation.history import History
from tests.simulation.loop import VirtualLoop
from tests.simulation.mishaps import Mishaps
from tests.simulation.news import Air
from tests.simulation.plan import Plan, draw_plan
from tests.simulation.reader import Reader
from tests.simulation.store import Books
from tests.simulation.upstream import TROUBLES, Script, ScriptedProvider
from tests.simulation.weather import Weather
from tests.simulation.worker import Reset, Worker

# Between two looks whether all is over.
LOOK_S = 0.1
# Before whoever was not answered asks again.
AGAIN_S = 0.1


class Broken(Exception):
    """What was broken, in words, and all that happened before it."""

    def __init__(self, seed: int, blames: list[str], trace: list[str]) -> None:
        super().__init__(f"schedule {seed}: " + "; ".join(blames[:3]))
        self.seed = seed
        self.trace = trace


def run_schedule(seed: int, metrics: Metrics, tally: Counter[str] | None = None) -> list[str]:
    """Run one schedule: its trace. Raises Broken."""
    state = random.getstate()
    random.seed(seed)  # tags, and chance in waiting
    try:
        return World(seed, random.Random(seed), metrics, Counter() if tally is None else tally).run()
    finally:
        random.setstate(state)


class World:
    """All of it."""

    def __init__(self, seed: int, chance: random.Random, metrics: Metrics, tally: Counter[str]) -> None:
        self.plan: Plan = draw_plan(chance)
        self.chance = chance
        self.tally = tally
        self.loop = VirtualLoop(random.Random(chance.random()))
        self.weather = Weather(self.loop, chance)
        self.books = Books(self.loop.time, self.say, self.blame)
        self.air = Air(self.weather)
        self.workers: list[Worker] = []
        self.readers: list[Reader] = []
        self.scripts: dict[str, Script] = {}
        self.calm_since: float | None = None
        self._blames: list[str] = []
        self._trace: list[str] = []
        self._seed = seed
        self._metrics = metrics
        self._tasks: list[asyncio.Task[None]] = []
        self._mishaps = Mishaps(self)
        main, backup = (ScriptedProvider(name, self.scripts, self.loop) for name in ("main", "backup"))
        self._catalog = Catalog([Model("main", main, fallbacks=("backup",)), Model("backup", backup)], "main")
        self.books.announce = self.air.announce
        self.books.tell_holder = self.air.tell_holder
        self.books.on_taken = self._mishaps.on_taken

    def say(self, what: str) -> None:
        """For the trace."""
        self._trace.append(f"{self.loop.time():9.4f} {what}")

    def blame(self, what: str) -> None:
        """A promise is broken."""
        self.say(f"BROKEN {what}")
        self._blames.append(what)

    def run(self) -> list[str]:
        """From its beginning to its end. Raises Broken."""
        with _OurErrors(self.blame):
            try:
                self.loop.run_until_complete(self._happen())
            except Exception:
                self.blame(traceback.format_exc())
            finally:
                blames, trace = list(self._blames), list(self._trace)
                self.loop.end_everything([worker.process for worker in self.workers])
        if blames:
            raise Broken(self._seed, blames, trace)
        return trace

    # -- what happens

    async def _happen(self) -> None:
        plan = self.plan
        self.say(f"{plan.workers} workers, {plan.runs} runs; {' '.join(sorted(plan.kinds)) or 'nothing goes wrong'}")
        for _ in range(plan.workers):
            self.start_worker()
        for n in range(plan.runs):
            self.do(self._answer(f"run_{n}", self.chance.uniform(0, plan.lasts_s / 2)))
        self._mishaps.begin()
        await self.loop.pause(plan.lasts_s)
        self.say("calm")
        self.calm_since = self.loop.time()
        self._mishaps.end()
        await self._until_over()
        if not self._blames:
            check_world(self)

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """What people do."""
        self._tasks.append(self.loop.create_task(work))

    def start_worker(self) -> None:
        """One more."""
        name = f"w{len(self.workers)}"
        self.say(f"{name} starts")
        self.workers.append(
            Worker(name, self.books, self.air, self.weather, self._catalog, self.plan.config, self._metrics)
        )

    def some_worker(self) -> Worker:
        """Where a load balancer leads."""
        return self.chance.choice([worker for worker in self.workers if worker.is_well])

    async def _answer(self, run_id: str, after_s: float) -> None:
        """Somebody asks, and some follow."""
        chance = self.chance
        script = self.scripts[run_id] = Script(chance, self.say, self.blame)
        if "upstream" in self.plan.kinds:
            script.troubles = chance.choices(TROUBLES, k=chance.randint(1, 3))
        failover, restart = chance.random() < 0.8, chance.choice((None, True, False))
        request = RunRequest(input=run_id, failover=failover, restart=restart)
        run = Run(id=run_id, owner="ann", model="main", request=request, created_at=0.0)
        await self.loop.pause(after_s)
        await self._create(run, awaited=chance.random() < 0.5)
        for n in range(self.plan.readers):
            reader = Reader(f"{run_id}.{n}", run_id, self.loop, chance, self._history_of(run_id), self.say, self.blame)
            self.readers.append(reader)
            if self.calm_since is not None:
                reader.calm_down()
            self.do(self._follow(reader, chance.choice((0.0, 0.0, 0.5, 2.0)) * chance.random()))

    def _history_of(self, run_id: str) -> Callable[[], History]:
        return lambda: self.books.histories[run_id]

    async def _create(self, run: Run, *, awaited: bool) -> None:
        while True:
            worker = self.some_worker()
            try:
                created = await worker.ask(worker.create(run, awaited=awaited))
            except (HeadwaterError, Reset):
                await self.loop.pause(AGAIN_S)
                continue
            self.say(f"{worker} created {run.id}")
            if created.fresh:  # as after the response, which may never come
                self.loop.call_soon(worker.executor.wake, run.id, context=worker.process.context)
            return

    async def cancel(self, run_id: str) -> None:
        """Somebody wants no more of it."""
        while run_id in self.books.histories:
            worker = self.some_worker()
            try:
                await worker.ask(worker.cancel(run_id))
            except (HeadwaterError, Reset):
                await self.loop.pause(AGAIN_S)
                continue
            self.say(f"{worker} has cancelled {run_id}")
            return

    async def _follow(self, reader: Reader, after_s: float) -> None:
        await self.loop.pause(after_s)
        await reader.follow(self.some_worker)
        self.say(f"{reader} is done")

    # -- how it ends

    async def _until_over(self) -> None:
        assert self.calm_since is not None
        until = self.calm_since + self.plan.bound_s
        while not self._is_over and not self._blames:
            now = self.loop.time()
            if now > self.calm_since + self.plan.taken_s:
                check_leases(self)
            if now > until:
                unended = [row.run.id for row in self.books.rows if row.run.status not in ENDED]
                waiting = [f"{reader} {reader.connection}" for reader in self.readers if not reader.is_done]
                self.blame(f"not over after {self.plan.bound_s:g} s of calm: unended {unended}, waiting {waiting}")
            await self.loop.pause(LOOK_S)

    @property
    def _is_over(self) -> bool:
        """Whether every run has ended, every reader knows it, and no upstream speaks any more."""
        plan, rows = self.plan, self.books.rows
        return (
            len(rows) == plan.runs
            and all(row.run.status in ENDED for row in rows)
            and len(self.readers) == plan.runs * plan.readers
            and all(reader.is_done for reader in self.readers)
            and all(process.dead for script in self.scripts.values() for process in script.open)
        )


class _OurErrors(logging.Handler):
    """What the server logs as an error is one."""

    def __init__(self, blame: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._blame = blame
        self._log = logging.getLogger("headwater")
        self._before = (self._log.propagate, self._log.handlers)

    def __enter__(self) -> None:
        self._log.propagate, self._log.handlers = False, [self]

    def __exit__(self, *error: object) -> None:
        self._log.propagate, self._log.handlers = self._before

    def emit(self, record: logging.LogRecord) -> None:
        self._blame(f"logged: {self.format(record)}")
