"""Runs whose starter left and wanted them only for itself: cancelled as soon as nobody follows them."""

import asyncio
from collections.abc import Awaitable, Callable

from headwater.core.lifecycle import ENDED
from headwater.errors import StoreUnavailable
from headwater.executor import Executor
from headwater.hub import Hub
from headwater.store.base import Store
from headwater.tasks import say_why_it_failed

# Between looks at a run that is not to be cancelled yet: one question to the store each.
LOOK_S = 1.0
# Looks that must find nobody where somebody may be back: a reader whose connection broke comes sooner than this.
LOOKS = 5


class Departures:
    """Watches over what its starters left. A worker that stops leaves the runs to whoever follows them."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        executor: Executor,
        cancel: Callable[[str], Awaitable[object]],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self._store = store
        self._hub = hub
        self._executor = executor
        self._cancel = cancel
        self._look_s = look_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<Departures watched={len(self._tasks)}>"

    def leave(self, run_id: str, *, may_return: bool = False) -> None:
        """The connection that started this run is over before its end; its caller may be expected back."""
        if self._closed or self._hub.has_seen_end(run_id):
            return
        before = self._tasks.get(run_id)
        if before is not None:
            before.cancel()  # the newest leaving decides; a second watcher would only ask the store the same
        task = asyncio.create_task(self._see_to(run_id, LOOKS if may_return else 1), name=f"left {run_id}")
        self._tasks[run_id] = task
        task.add_done_callback(lambda done: self._forget(run_id, done))
        task.add_done_callback(say_why_it_failed)

    def _forget(self, run_id: str, done: "asyncio.Task[None]") -> None:
        if self._tasks.get(run_id) is done:
            del self._tasks[run_id]

    async def _see_to(self, run_id: str, looks: int) -> None:
        alone = 0
        while not self._hub.farewell.for_all:  # whoever is sent away comes back, to another worker or the next start
            try:
                if await self._hub.is_followed(run_id):
                    looks, alone = LOOKS, 0
                else:
                    alone += 1
                if self._executor.draining:
                    looks = LOOKS  # somebody may be on the way to another worker
                if alone >= looks:
                    await self._cancel(run_id)
                    return
                if await self._has_ended(run_id):
                    return
            except StoreUnavailable:
                pass  # then it cannot be cancelled either
            await asyncio.sleep(self._look_s)

    async def _has_ended(self, run_id: str) -> bool:
        if self._hub.has_seen_end(run_id):
            return True
        (top,) = await self._store.tops([run_id])
        return top is None or top.status in ENDED

    async def close(self) -> None:
        """Watch no more."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
