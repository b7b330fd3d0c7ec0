"""Work after a response, and after a run: what a caller need not wait for."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from headwater.core.run import Run, RunRequest
from headwater.errors import HeadwaterError, StoreUnavailable
from headwater.executor import Executor
from headwater.store.base import Store
from headwater.store.rooms import RoomStore
from headwater.tasks import say_why_it_failed

log = logging.getLogger("headwater.background")

# Expired runs are invisible at once; how long their bytes stay is a matter of disk only.
SWEEP_EVERY_S = 60.0
# Removed in one step: holds the store's one writer for a few milliseconds.
SWEEP_RUNS = 200
# Each takes a few milliseconds where much has outlived its age.
SWEEP_ROOMS = 20
# Steps after one response, so that a backlog shrinks faster than a full worker makes it.
SWEEP_STEPS = 50
# Whoever follows a run that is not to be stored gets its end within this, or comes back for it.
FORGET_AFTER_S = 60.0

_NOTHING: Final = RunRequest(input="")


class Background:
    """The tasks that responses carry."""

    def __init__(
        self, store: Store, rooms: RoomStore, executor: Executor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._rooms = rooms
        self._executor = executor
        self._clock = clock
        self._swept_at = -SWEEP_EVERY_S

    async def after_start(self, run_id: str) -> None:
        """After the 202 of a new run: produce it, and now and then remove what has expired."""
        self._executor.wake(run_id)
        await self.remove_expired()

    async def sweep_for_ever(self) -> None:
        """Remove what has expired also where nobody starts a run: in rooms, people may only talk."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
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
                    break
            await self._rooms.trim(SWEEP_ROOMS)
        except StoreUnavailable as error:
            log.warning("what has expired was not removed: %s", error.detail)


class Forgetting:
    """Removes runs that are not to be stored, soon after their end.

    A worker that is killed before leaves them to expire like all others.
    """

    def __init__(self, store: Store, on_gone: Callable[[Run], None], after_s: float = FORGET_AFTER_S) -> None:
        self._store = store
        self._on_gone = on_gone
        self._after_s = after_s
        self._closing = asyncio.Event()
        self._waiting: deque[tuple[float, Run]] = deque()
        """When to remove which, in order. What was asked may be large, and is nothing to those who remove it."""
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Forgetting waiting={len(self._waiting)}>"

    def ended(self, run: Run) -> None:
        """A run has ended."""
        if run.request.stored:
            return
        due = asyncio.get_running_loop().time() + self._after_s
        self._waiting.append((due, replace(run, request=_NOTHING)))
        if self._task is None:
            self._task = asyncio.create_task(self._forget_all(), name="forget")
            self._task.add_done_callback(say_why_it_failed)

    async def _forget_all(self) -> None:
        try:
            while self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self._waiting[0][0]):
                        await self._closing.wait()
                await asyncio.gather(*map(self._forget, self._due()))
        finally:
            self._task = None

    def _due(self) -> list[Run]:
        """Those whose time has come, taken out; all, if this worker stops."""
        now, due = asyncio.get_running_loop().time(), []
        while self._waiting and (self._closing.is_set() or self._waiting[0][0] <= now):
            due.append(self._waiting.popleft()[1])
        return due

    async def _forget(self, run: Run) -> None:
        try:
            await self._store.delete(run.id)
        except HeadwaterError as error:
            log.warning("run %s, which was not to be stored, is left to expire: %s", run.id, error.detail)
        else:
            self._on_gone(run)

    async def close(self) -> None:
        """Remove at once what has ended."""
        self._closing.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
