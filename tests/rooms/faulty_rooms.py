"""Rooms whose store fails when the test says so, and to which something happens in between."""

from collections.abc import Awaitable, Callable

from headwater.core.room import Turn
from headwater.core.run import Run
from headwater.errors import StoreUnavailable
from headwater.store.rooms import Begun, Change
from headwater.store.sqlite import SqliteRooms


class FaultyRooms(SqliteRooms):
    """Loses the answers of the next `lost` begins, which are carried out, and while `away` all begins."""

    lost = 0
    away = False
    looks = 0
    tries = 0
    meanwhile: Callable[[], Awaitable[object]] | None = None
    """Happens once, behind the back of whoever has just asked for the turns."""
    just_before: Callable[[], Awaitable[object]] | None = None
    """Happens once, just before a turn begins."""

    async def begin(self, room_id: str, turn_id: str, run: Run, change: Change, *, most: int) -> Begun:
        self.tries += 1
        just_before, self.just_before = self.just_before, None
        if just_before is not None:
            await just_before()
        if self.away:
            raise StoreUnavailable("no answer")
        begun = await super().begin(room_id, turn_id, run, change, most=most)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the answer was lost")
        return begun

    async def turns(self, room_id: str) -> list[Turn]:
        turns = await super().turns(room_id)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return turns

    async def waiting(self, limit: int) -> list[str]:
        self.looks += 1
        return await super().waiting(limit)
