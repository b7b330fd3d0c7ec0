"""Waiting for something to become true, or for a fault to be over: the only place in the tests that sleeps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

_INTERVAL_S = 0.01  # fine enough that no test feels it, coarse enough to leave the machine to the server
_DEADLINE_S = 20.0  # generous: on a busy machine it is the time that differs, not the outcome


def wait_until(condition: Callable[[], T | None], deadline_s: float = _DEADLINE_S, what: str = "") -> T:
    """The first true value of `condition`. Raises AssertionError after `deadline_s`."""
    until = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(_too_late(condition, deadline_s, what))
        time.sleep(_INTERVAL_S)
    return value


@overload
async def eventually(condition: Callable[[], Awaitable[T | None]], deadline_s: float = ..., what: str = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T | None], deadline_s: float = ..., what: str = ...) -> T: ...
async def eventually(condition: Callable[[], Any], deadline_s: float = _DEADLINE_S, what: str = "") -> Any:
    """`wait_until` for coroutines: the first true value that `condition` gives or that awaiting it gives."""
    until = time.monotonic() + deadline_s
    while True:
        given = condition()
        value = await given if isinstance(given, Awaitable) else given
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(_too_late(condition, deadline_s, what))
        await asyncio.sleep(_INTERVAL_S)


async def lasting(seconds: float) -> None:
    """Let a fault last for so long: what is waited for is the fault's own end, not its effect."""
    await asyncio.sleep(seconds)


def _too_late(condition: Callable[[], object], deadline_s: float, what: str) -> str:
    return f"not within {deadline_s:g} s: {what or getattr(condition, '__name__', repr(condition))}"
