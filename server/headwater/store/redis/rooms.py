"""Rooms in Redis, for every worker that reaches it: each step that must not be torn is one script."""

from collections.abc import Callable, Sequence

from headwater.core.position import Position
from headwater.core.room import ROOM_BYTES_MAX, Place, RoomKey, RoomSettings, Turn
from headwater.core.run import Run
from headwater.redis_client import RedisClient
from headwater.store.base import Read, Top
from headwater.store.redis import room_changes, room_reads
from headwater.store.redis.door import Door
from headwater.store.redis.keys import Keys
from headwater.store.rooms import Begun, Change, Changed, Entered, Room, RoomStore


class RedisRooms(RoomStore):
    """Rooms behind `prefix`, where a RedisStore keeps their runs. The client is the caller's to open and close.

    `worker` is who writes here, as the news of it says. `kept_bytes`: of each room's log. `clock`: Unix seconds;
    without one, Redis's own.
    """

    def __init__(
        self,
        client: RedisClient,
        worker: str,
        *,
        prefix: str,
        kept_bytes: int = ROOM_BYTES_MAX,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._door = Door(client, Keys(prefix), clock)
        self._worker = worker
        self._kept_bytes = kept_bytes

    def __repr__(self) -> str:
        return f"<RedisRooms {self._door.client.name} prefix={self._door.keys.prefix}>"

    async def put(self, key: RoomKey, settings: RoomSettings, *, replace: bool) -> tuple[Room, bool]:
        return await room_changes.put(self._door, key, settings, replace, self._kept_bytes)

    async def get(self, room_id: str) -> Room | None:
        return await room_reads.get(self._door, room_id)

    async def remove(self, room_id: str) -> bool:
        return await room_changes.remove(self._door, self._worker, room_id)

    async def list_rooms(self, tenant: str, *, before: str | None, limit: int) -> tuple[list[Room], bool]:
        return await room_reads.list_rooms(self._door, tenant, before, limit)

    async def change(self, room_id: str, change: Change) -> Changed:
        return await room_changes.change(self._door, self._worker, room_id, change)

    async def begin(self, room_id: str, turn_id: str, run: Run, change: Change, *, most: int) -> Begun:
        return await room_changes.begin(self._door, self._worker, room_id, turn_id, run, change, most)

    async def drop(self, room_id: str, turn_id: str) -> bool:
        return await room_changes.drop(self._door, room_id, turn_id)

    async def refuse(self, room_id: str, turn_id: str, change: Change) -> Changed:
        return await room_changes.change(self._door, self._worker, room_id, change, refused=turn_id)

    async def turns(self, room_id: str) -> list[Turn]:
        return await room_reads.turns(self._door, room_id)

    async def waiting(self, limit: int) -> list[str]:
        return await room_changes.waiting(self._door, limit)

    async def enter(self, room_id: str, since: Position | None, *, max_bytes: int, page: int) -> Entered | None:
        return await room_reads.enter(self._door, room_id, since, max_bytes, page)

    async def read(self, room_id: str, after: Position, max_bytes: int) -> Read | None:
        return await room_reads.read(self._door, room_id, after, max_bytes)

    async def tops(self, room_ids: Sequence[str]) -> list[Top | None]:
        return await room_reads.tops(self._door, room_ids)

    async def page(self, room_id: str, *, before: int | None, limit: int) -> tuple[list[Place], bool]:
        return await room_reads.page(self._door, room_id, before, limit)

    async def find(self, room_id: str, message_ids: Sequence[str]) -> list[Place | None]:
        return await room_reads.find(self._door, room_id, message_ids)

    async def sent(self, room_id: str, once: str) -> str | None:
        return await room_reads.sent(self._door, room_id, once)

    async def mark(self, room_id: str, member: str, seq: int) -> int:
        return await room_changes.mark(self._door, room_id, member, seq)

    async def trim(self, limit: int) -> int:
        return await room_changes.trim(self._door, limit)
