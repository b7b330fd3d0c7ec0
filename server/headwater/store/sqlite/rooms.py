"""Rooms in tables: each method is a piece of work for one of the database's threads."""

from collections.abc import Sequence

from headwater.core.position import Position
from headwater.core.room import ROOM_BYTES_MAX, Place, RoomKey, RoomSettings, Turn
from headwater.core.run import Run
from headwater.store.base import Read, Top
from headwater.store.rooms import Begun, Change, Changed, Entered, Room, RoomStore
from headwater.store.sqlite import room_changes, room_reads, room_removal
from headwater.store.sqlite.threads import Database


class SqliteRooms(RoomStore):
    """Rooms in an open database, which is the caller's to open and close, beside the runs that answer in them.

    `kept_bytes`: of each room's log.
    """

    def __init__(self, database: Database, *, kept_bytes: int = ROOM_BYTES_MAX) -> None:
        self._database = database
        self._kept_bytes = kept_bytes
        self._told_of = 0  # the last room of which it was told that turns wait there

    def __repr__(self) -> str:
        return f"<SqliteRooms in {self._database!r}>"

    async def put(self, key: RoomKey, settings: RoomSettings, *, replace: bool) -> tuple[Room, bool]:
        return await self._database.in_writer(room_changes.put, key, settings, replace, self._kept_bytes)

    async def get(self, room_id: str) -> Room | None:
        return await self._database.in_reader(room_reads.get, room_id)

    async def remove(self, room_id: str) -> bool:
        removed = await self._database.in_writer(room_removal.hide, room_id)
        await self._sweep()
        return removed

    async def _sweep(self) -> None:
        """A transaction for each step, so that others write in between."""
        while await self._database.in_writer(room_removal.sweep):
            pass

    async def list_rooms(self, tenant: str, *, before: str | None, limit: int) -> tuple[list[Room], bool]:
        return await self._database.in_reader(room_reads.list_rooms, tenant, before, limit)

    async def change(self, room_id: str, change: Change) -> Changed:
        return await self._database.in_writer(room_changes.change, room_id, change)

    async def begin(self, room_id: str, turn_id: str, run: Run, change: Change, *, most: int) -> Begun:
        return await self._database.in_writer(room_changes.begin, room_id, turn_id, run, change, most)

    async def drop(self, room_id: str, turn_id: str) -> bool:
        return await self._database.in_writer(room_changes.drop, room_id, turn_id)

    async def refuse(self, room_id: str, turn_id: str, change: Change) -> Changed:
        return await self._database.in_writer(room_changes.refuse, room_id, turn_id, change)

    async def turns(self, room_id: str) -> list[Turn]:
        return await self._database.in_reader(room_reads.turns, room_id)

    async def waiting(self, limit: int) -> list[str]:
        found = await self._database.in_reader(room_reads.waiting, self._told_of, limit)
        if found:
            self._told_of = found[-1][0]
        return [room_id for _, room_id in found]

    async def enter(self, room_id: str, since: Position | None, *, max_bytes: int, page: int) -> Entered | None:
        return await self._database.in_reader(room_reads.enter, room_id, since, max_bytes, page)

    async def read(self, log_id: str, after: Position, max_bytes: int) -> Read | None:
        return await self._database.in_reader(room_reads.read, log_id, after, max_bytes)

    async def tops(self, log_ids: Sequence[str]) -> list[Top | None]:
        return await self._database.in_reader(room_reads.tops, log_ids)

    async def page(self, room_id: str, *, before: int | None, limit: int) -> tuple[list[Place], bool]:
        return await self._database.in_reader(room_reads.page, room_id, before, limit)

    async def find(self, room_id: str, message_ids: Sequence[str]) -> list[Place | None]:
        return await self._database.in_reader(room_reads.find, room_id, message_ids)

    async def sent(self, room_id: str, once: str) -> str | None:
        return await self._database.in_reader(room_reads.message_sent, room_id, once)

    async def mark(self, room_id: str, member: str, seq: int) -> int:
        return await self._database.in_writer(room_changes.mark, room_id, member, seq)

    async def trim(self, limit: int) -> int:
        """See the contract. A transaction for each room, so that others write in between."""
        await self._sweep()
        rooms = await self._database.in_reader(room_reads.outlived, limit)
        return sum([await self._database.in_writer(room_changes.trim, room_id) for room_id in rooms])
