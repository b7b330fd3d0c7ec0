"""A worker of a simulated world: the real executor and the real hub, in a process that dies and freezes."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from headwater.config import Config
from headwater.core.run import Run
from headwater.entropy import new_tag
from headwater.errors import StoreUnavailable
from headwater.executor import Executor
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.providers.catalog import Catalog
from headwater.store.base import Created, Lease
from headwater.store.rooms import RoomStore
from headwater.tasks import running
from tests.simulation.loop import Process
from tests.simulation.news import Air, SimulatedBroadcaster
from tests.simulation.store import Books, SimulatedStore
from tests.simulation.weather import Link, Weather

T = TypeVar("T")


class Reset(Exception):
    """Who was asked is dead."""


class Worker:
    """One of them."""

    def __init__(
        self, name: str, books: Books, air: Air, weather: Weather, catalog: Catalog, config: Config, metrics: Metrics
    ) -> None:
        self.process = Process(name)
        self.leaving = False
        """It drains, and takes nobody in."""
        self._loop = weather.loop
        link = Link(self.process, weather)
        self.store = SimulatedStore(books, link)
        self.broadcaster = SimulatedBroadcaster(air, link)
        self.hub = Hub(self.store, cast(RoomStore, None), self.broadcaster, config, metrics)
        self.executor = Executor(name, self.store, self.hub, catalog, config, metrics)
        self.broadcaster.on_cancel(name, self.executor.stop_cancelled)
        self._asked: dict[asyncio.Future[Any], None] = {}
        self._life = self._loop.begin(self.process, self._live())  # which nobody else holds

    def __repr__(self) -> str:
        return self.process.name

    @property
    def is_well(self) -> bool:
        """Whether it takes part, or will once it is thawed."""
        return not self.process.dead and not self.leaving

    async def _live(self) -> None:
        async with running(self.hub.look_after, *self.executor.loops):
            await self._loop.create_future()

    def ask(self, work: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
        """Have it do something; `Reset` if it dies before."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._asked[answer] = None
        task = self._loop.begin(self.process, work)

        def done(task: "asyncio.Task[T]") -> None:
            self._asked.pop(answer, None)
            if answer.done():
                return
            if task.cancelled():
                answer.cancel()
            elif (error := task.exception()) is not None:
                answer.set_exception(error)
                answer.exception()  # whether anybody still wants it or not
            else:
                answer.set_result(task.result())

        task.add_done_callback(done, context=self._loop.world)
        return answer

    def kill(self) -> None:
        """As kill -9 does: nothing of it runs any more, and who was connected to it sees that."""
        self.process.dead = True
        self._loop.freeze(self.process)
        asked, self._asked = self._asked, {}
        for answer in asked:
            if not answer.done():
                answer.set_exception(Reset())
                answer.exception()  # whether anybody still wants it or not

    async def drain(self, within_s: float) -> None:
        """As SIGTERM does, up to its exit."""
        farewell = self.hub.farewell
        await asyncio.gather(self.executor.drain(within_s), farewell.send_elsewhere(0.1))
        await farewell.let_everyone_go(0.1)

    # -- what requests do

    async def create(self, run: Run, *, awaited: bool) -> Created:
        """Write a run; one whose caller waits for its first word is claimed. Raises StoreUnavailable."""
        claim = self.executor.claim() if awaited else None
        try:
            created = await self.store.create(run, None, claim)
        except StoreUnavailable:
            if claim is not None:
                self.executor.doubt(run.id, claim)
            raise
        if claim is not None:
            if created.fresh:
                self.executor.claimed(Lease(created.run, created.run.token, claim.tag))
            else:
                self.executor.disclaim()
        return created

    async def cancel(self, run_id: str) -> None:
        """Accept a cancel. Raises StoreUnavailable."""
        cancelled = await self.store.cancel(run_id, new_tag())
        self.executor.stop_cancelled(run_id)
        if cancelled is not None and cancelled.entry is not None:
            self.hub.publish(run_id, cancelled.entry)
