"""The contract of what is counted against limits, by all workers together.

Names are the caller's, of any characters. Times are judged by the store's clock. Each charge and each hold is
decided and written in one step, so that what all workers admit together never exceeds a limit.
Any method raises `StoreUnavailable` when the store could not answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

CONNECTIONS: Final = "connections:"
"""How the names of places begin that are gone with the process that holds them. An engine of a single process gives
them up when it opens; elsewhere they expire."""


class Charge(Struct, frozen=True):
    """The wish to count `cost` under `name`, of which a window of `window_s` admits `limit`."""

    name: str
    limit: int
    window_s: float
    cost: int = 1


class Verdict(Struct, frozen=True):
    """Whether it was counted, how much is left of the window, and in how many seconds that ends.

    Where it was refused and no window has begun, `resets_s` is 0.0.
    """

    admitted: bool
    left: int
    resets_s: float


class Limits(ABC):
    """Windows and places. `tests/store/contract/limits.py` holds every engine to it."""

    @abstractmethod
    async def charge(self, charges: Sequence[Charge]) -> list[Verdict]:
        """Judge each by itself, in order, in one round trip. One that is refused counts nothing.

        A window begins with the first charge of a name and ends `window_s` later, whatever comes meanwhile.
        """

    @abstractmethod
    async def add(self, name: str, amount: int, window_s: float) -> None:
        """Count, whatever the limit, what has been used already."""

    @abstractmethod
    async def used(self, name: str) -> tuple[int, float]:
        """What its window has counted, and in how many seconds that ends; (0, 0.0) if there is none."""

    @abstractmethod
    async def hold(self, name: str, member: str, limit: int, ttl_s: float) -> bool:
        """Take one of the `limit` places under `name` for `ttl_s`, unless all are taken.

        Idempotent by `member`: one that has its place keeps it, for `ttl_s` from now.
        """

    @abstractmethod
    async def keep(self, held: Sequence[tuple[str, str]], ttl_s: float) -> None:
        """Keep places, given as (name, member), for `ttl_s` from now, also those that had expired."""

    @abstractmethod
    async def let_go(self, held: Sequence[tuple[str, str]]) -> None:
        """Give places up. Nothing happens where they are not held."""

    @abstractmethod
    async def holders(self, name: str) -> dict[str, float]:
        """The members that hold places under `name`, the next to expire first, and for how many seconds yet."""
