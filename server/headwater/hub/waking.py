"""Waking those who follow a log, some at a time."""

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.hub.cursor import Cursor

log = logging.getLogger("headwater.hub")

# Readers written to in one go: some 10 µs each, and everything else of the worker waits meanwhile.
WAKE_TOGETHER = 500


def wake_all(followers: "Collection[Cursor]", loop: asyncio.AbstractEventLoop) -> None:
    """Tell all of them that there is something new; many, not at once."""
    if len(followers) <= WAKE_TOGETHER:
        _wake(followers)
        return
    those = tuple(followers)
    for start in range(0, len(those), WAKE_TOGETHER):
        loop.call_soon(_wake, those[start : start + WAKE_TOGETHER])


def _wake(followers: "Iterable[Cursor]") -> None:
    """One that fails is let go: neither the others nor whoever brought the news has a part in it."""
    for follower in followers:
        try:
            follower.wake()
        except Exception:
            log.exception("%r cannot be told what is new", follower)
            follower.let_go("failed")
