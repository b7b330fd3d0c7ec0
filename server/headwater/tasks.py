"""Tasks that run for as long as a block does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

log = logging.getLogger("headwater")

# So that a loop which fails at once does not fill the log.
RESTART_S = 1.0


@asynccontextmanager
async def running(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run these for ever beside the block, and end them with it."""
    tasks = [asyncio.create_task(_keep_running(loop)) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(loop: Callable[[], Awaitable[None]]) -> None:
    """A loop that fails is started again: without it the worker would only seem to live."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("%s failed and is started again", getattr(loop, "__qualname__", loop))
        await asyncio.sleep(RESTART_S)


def say_why_it_failed(task: "asyncio.Future[None]") -> None:
    """For a task that nobody awaits: its failure goes to the log, at once."""
    if not task.cancelled() and task.exception() is not None:
        log.error("%r failed", task, exc_info=task.exception())
