"""Work after a response: what a caller need not wait for."""

import logging
import time
from collections.abc import Callable

from headwater.errors import StoreUnavailable
from headwater.executor import Executor
from headwater.store.base import Store

log = logging.getLogger("headwater.background")

# Expired runs are invisible at once; how long their bytes stay is a matter of disk only.
SWEEP_EVERY_S = 60.0
# Removed in one step: holds the store's one writer for a few milliseconds.
SWEEP_RUNS = 200
# Steps after one response, so that a backlog shrinks faster than a full worker makes it.
SWEEP_STEPS = 50


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
