"""Rooms' logs as they are read again: without what was said in messages that were deleted since."""

from collections.abc import Sequence

from headwater.core.events import Entry
from headwater.core.position import Position
from headwater.core.room import Deleted, Reacted, room_events, without_text
from headwater.store.base import Logs, Read, Top
from headwater.store.rooms import RoomStore


class Replays(Logs):
    """What a log holds has its place for good; what somebody took back is told to nobody who was not there."""

    def __init__(self, rooms: RoomStore) -> None:
        self._rooms = rooms

    async def read(self, log_id: str, after: Position, max_bytes: int) -> Read | None:
        read = await self._rooms.read(log_id, after, max_bytes)
        if read is None or not read.entries:
            return read
        return Read(read.joined, await without_deleted(self._rooms, log_id, read.entries), read.top)

    async def tops(self, log_ids: Sequence[str]) -> list[Top | None]:
        return await self._rooms.tops(log_ids)


async def without_deleted(rooms: RoomStore, room_id: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries of a room's log as they may be told now. Raises StoreUnavailable, DamagedLog."""
    events = [event for entry in entries for event in room_events(entry)]
    said = list(dict.fromkeys(event.message for event in events if not isinstance(event, Deleted | Reacted)))
    places = await rooms.find(room_id, said) if said else []
    deleted = {place.post.id for place in places if place is not None and place.post.deleted}
    return tuple(without_text(entry, deleted) for entry in entries) if deleted else tuple(entries)
