"""Tasks that run for as long as a block does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

log = logging.getLogger("headwater")


@asynccontextmanager
async def running(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run these for ever beside the block, and end them with it."""
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    for task in tasks:
        task.add_done_callback(say_why_it_failed)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def say_why_it_failed(task: "asyncio.Future[None]") -> None:
    """For a task that nobody awaits: its failure goes to the log, at once."""
    if not task.cancelled() and task.exception() is not None:
        log.error("%r failed", task, exc_info=task.exception())
