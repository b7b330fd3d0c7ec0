"""What becomes of an append, judged without looking into the store."""

from collections.abc import Callable
from typing import Protocol

from headwater.core.events import End, Status
from headwater.core.lifecycle import ENDED
from headwater.core.position import Position
from headwater.store.base import Append, Outcome


class Standing(Protocol):
    """How a run and its log stand."""

    @property
    def status(self) -> Status: ...
    @property
    def token(self) -> int: ...
    @property
    def cancelled(self) -> int | bool: ...
    @property
    def top(self) -> Position: ...


def judge(run: Standing, item: Append, tag_at: Callable[[int], int | None]) -> Outcome | None:
    """The outcome of an append that is not to be written, in the contract's order; None if it is.

    `tag_at` gives the tag of the entry that covers a seq, None where none does.
    """
    if tag_at(item.entry.seq) == item.entry.tag:
        return Outcome.STORED
    if run.status in ENDED:
        return Outcome.ENDED
    if item.token != run.token or not run.token:
        return Outcome.FENCED
    if run.cancelled and not _is_cancelled_end(item):
        return Outcome.CANCELLED
    if item.entry.after != run.top:
        return Outcome.BEHIND
    return None


def _is_cancelled_end(item: Append) -> bool:
    last = item.entry.events[-1]
    return len(item.entry.events) == 1 and isinstance(last, End) and last.status == "cancelled"
