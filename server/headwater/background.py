"""Work after a response, and after a run: what a caller need not wait for."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from headwater.core.run import Run
from headwater.errors import HeadwaterError, StoreUnavailable
from headwater.executor import Executor
from headwater.store.base import Store
from headwater.tasks import say_why_it_failed

log = logging.getLogger("headwater.background")

# Expired runs are invisible at once; how long their bytes stay is a matter of disk only.
SWEEP_EVERY_S = 60.0
# Removed in one step: holds the store's one writer for a few milliseconds.
SWEEP_RUNS = 200
# Steps after one response, so that a backlog shrinks faster than a full worker makes it.
SWEEP_STEPS = 50
# Whoever follows a run that is not to be stored gets its end within this, or comes back for it.
FORGET_AFTER_S = 60.0


class Background:
    """The tasks that responses carry."""

    def __init__(self, store: Store, executor: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._swept_at = -SWEEP_EVERY_S

    async def after_start(self, run_id: str) -> None:
        """After the 202 of a new run: produce it, and now and then remove what has expired."""
        self._executor.wake(run_id)
        await self.remove_expired()

    async def remove_expired(self) -> None:
        """Remove expired runs, at most once in `SWEEP_EVERY_S`."""
        now = self._clock()
        if now - self._swept_at < SWEEP_EVERY_S:
            return
        self._swept_at = now
        try:
            for _ in range(SWEEP_STEPS):
                if await self._store.expire(SWEEP_RUNS) < SWEEP_RUNS:
                    return
        except StoreUnavailable as error:
            log.warning("expired runs were not removed: %s", error.detail)


class Forgetting:
    """Removes runs that are not to be stored, soon after their end.

    A worker that is killed before leaves them to expire like all others.
    """

    def __init__(self, store: Store, on_gone: Callable[[Run], None], after_s: float = FORGET_AFTER_S) -> None:
        self._store = store
        self._on_gone = on_gone
        self._after_s = after_s
        self._closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def ended(self, run: Run) -> None:
        """A run has ended."""
        if run.request.stored:
            return
        task = asyncio.create_task(self._forget(run), name=f"forget {run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(say_why_it_failed)

    async def _forget(self, run: Run) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._after_s):
                await self._closing.wait()
        try:
            await self._store.delete(run.id)
        except HeadwaterError as error:
            log.warning("run %s, which was not to be stored, is left to expire: %s", run.id, error.detail)
        else:
            self._on_gone(run)

    async def close(self) -> None:
        """Remove at once what has ended."""
        self._closing.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
