"""Windows and places in an open database."""

from collections.abc import Sequence
from typing import Final

from headwater.store.limits import Charge, Limits, Verdict
from headwater.store.sqlite import places, windows
from headwater.store.sqlite.threads import Database

# Some 5 ms of the writing thread, for which appends wait; more places are kept and given up in several transactions.
_PLACES_AT_ONCE: Final = 1_000


class SqliteLimits(Limits):
    """Counts in an open database, which is the caller's to open and close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<SqliteLimits in {self._database!r}>"

    async def charge(self, charges: Sequence[Charge]) -> list[Verdict]:
        return await self._database.in_writer(windows.charge, charges) if charges else []

    async def add(self, name: str, amount: int, window_s: float) -> None:
        await self._database.in_writer(windows.add, name, amount, window_s)

    async def used(self, name: str) -> tuple[int, float]:
        return await self._database.in_reader(windows.read, name)

    async def hold(self, name: str, member: str, limit: int, ttl_s: float) -> bool:
        return await self._database.in_writer(places.hold, name, member, limit, ttl_s)

    async def keep(self, held: Sequence[tuple[str, str]], ttl_s: float) -> None:
        for first in range(0, len(held), _PLACES_AT_ONCE):
            await self._database.in_writer(places.keep, held[first : first + _PLACES_AT_ONCE], ttl_s)

    async def let_go(self, held: Sequence[tuple[str, str]]) -> None:
        for first in range(0, len(held), _PLACES_AT_ONCE):
            await self._database.in_writer(places.let_go, held[first : first + _PLACES_AT_ONCE])

    async def holders(self, name: str) -> dict[str, float]:
        return await self._database.in_reader(places.holders, name)
