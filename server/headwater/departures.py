"""Runs whose starter left and wanted them only for itself: cancelled as soon as nobody follows them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headwater.core.lifecycle import ENDED
from headwater.core.run import Run
from headwater.errors import StoreUnavailable
from headwater.executor import Executor
from headwater.hub import Hub
from headwater.store.base import Store
from headwater.tasks import say_why_it_failed

log = logging.getLogger("headwater.departures")

# Between looks at a run that others followed when its starter left.
LOOK_S = 1.0
# Looks that must find nobody: a reader whose connection broke is back sooner. Of the starter itself none is expected.
LOOKS = 5


class Departures:
    """Watches over what its starters left. A worker that stops leaves the runs to whoever follows them."""

    def __init__(self, store: Store, hub: Hub, executor: Executor, cancel: Callable[[str], Awaitable[object]]) -> None:
        self._store = store
        self._hub = hub
        self._executor = executor
        self._cancel = cancel
        self._tasks: set[asyncio.Task[None]] = set()

    def leave(self, run: Run) -> None:
        """The connection that started this run is over before its end."""
        if self._executor.draining:
            return
        task = asyncio.create_task(self._see_to(run), name=f"left {run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(say_why_it_failed)

    async def _see_to(self, run: Run) -> None:
        looks, alone = 1, 0
        while True:
            try:
                if await self._hub.is_followed(run.id):
                    looks, alone = LOOKS, 0
                else:
                    alone += 1
                if alone >= looks:
                    await self._cancel(run.id)
                    return
                current = await self._store.get(run.id)
                if current is None or current.status in ENDED:
                    return
            except StoreUnavailable:
                pass  # then it cannot be cancelled either
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
