"""What is read of rooms."""

from collections.abc import Sequence

from redis.exceptions import ResponseError

from headwater.core.position import Position
from headwater.core.room import Place, RoomKey, Turn
from headwater.errors import DamagedLog, UnknownRoom
from headwater.redis_client import Command
from headwater.store.base import Read, Top
from headwater.store.redis import scripts
from headwater.store.redis.door import Door
from headwater.store.redis.room_replies import damaged, to_place, to_read, to_room, to_top, to_turn, value_of
from headwater.store.rooms import Entered, Room

# Joins no log: nothing has a tag of its seq.
_NOWHERE = Position(0, 1)
# Rooms that are asked for at once: with the largest settings some megabytes.
_LOOKED_AT = 100


async def get(door: Door, room_id: str) -> Room | None:
    """The room. Raises DamagedLog."""
    return to_room(room_id, value_of(room_id, await door.ask(_get(door, room_id))))


def _get(door: Door, room_id: str) -> Command:
    return ("HGETALL", door.keys.room(room_id))


async def list_rooms(door: Door, tenant: str, before: str | None, limit: int) -> tuple[list[Room], bool]:
    """The tenant's rooms, newest first, but for those that are damaged. Raises UnknownRoom."""
    name = door.keys.rooms(tenant)
    below = "+inf" if before is None else await _age_of(door, name, RoomKey(tenant, before))
    found: list[Room] = []
    while True:
        page = ("ZREVRANGEBYSCORE", name, f"({below}", "-inf", "WITHSCORES", "LIMIT", 0, _LOOKED_AT)
        rows = await door.client.one(page)
        ids = [RoomKey(tenant, member.decode()).id for member in rows[::2]]
        replies = await door.client.pipeline([_get(door, room_id) for room_id in ids]) if ids else []
        found += [room for each in zip(ids, replies, strict=True) if (room := _sound(*each)) is not None]
        if len(found) > limit:
            return found[:limit], True
        if len(ids) < _LOOKED_AT:
            return found, False
        below = rows[-1].decode()


def _sound(room_id: str, reply: Sequence[bytes] | ResponseError) -> Room | None:
    try:
        return to_room(room_id, value_of(room_id, reply))
    except DamagedLog:
        return None


async def _age_of(door: Door, name: str, key: RoomKey) -> str:
    """Where the tenant's list has the room."""
    age, fields = await door.client.pipeline([("ZSCORE", name, key.name), _get(door, key.id)])
    if age is None or _sound(key.id, fields) is None:
        raise UnknownRoom(f"There is no room {key.name} to list from.", field="before")
    return str(age.decode())


# -- the log


async def read(door: Door, room_id: str, after: Position, max_bytes: int) -> Read | None:
    """The log after a position. Raises DamagedLog."""
    keys = door.keys.of_room(room_id)
    reply = value_of(
        room_id, await door.ask(door.client.call(scripts.ROOM_READ, keys, after.seq, after.tag, max_bytes))
    )
    if reply is None:
        return None
    top, joined, rows = reply
    return to_read(room_id, after, to_top(room_id, top), joined == b"1", rows)


async def tops(door: Door, room_ids: Sequence[str]) -> list[Top | None]:
    """Where each log stands; None of one that is damaged, for it is nothing to go by."""
    commands = [("HGET", door.keys.room(room_id), "top") for room_id in room_ids]
    replies = await door.client.pipeline(commands) if commands else []
    return [_top(*each) for each in zip(room_ids, replies, strict=True)]


def _top(room_id: str, reply: bytes | ResponseError | None) -> Top | None:
    if reply is None or isinstance(reply, ResponseError):
        return None
    try:
        return to_top(room_id, reply)
    except DamagedLog:
        return None


async def enter(door: Door, room_id: str, since: Position | None, max_bytes: int, page: int) -> Entered | None:
    """What one who comes in gets. Raises DamagedLog."""
    at = _NOWHERE if since is None else since
    keys = door.keys.of_room_with_marks(room_id)
    command = door.client.call(scripts.ROOM_ENTER, keys, at.seq, at.tag, max_bytes, page)
    reply = value_of(room_id, await door.ask(command))
    if reply is None:
        return None
    fields, joined, rows, newest, answers, marks = reply
    room = to_room(room_id, fields)
    assert room is not None, "the script saw it"
    got = to_read(room_id, at, Top(room.top, "in_progress"), joined == b"1", rows)
    turns = [to_turn(room_id, stored)[1] for stored in answers[::2]]
    try:
        seqs = {member.decode(): int(seq) for member, seq in zip(marks[::2], marks[1::2], strict=True)}
    except ValueError as error:
        damaged(room_id, error)
    return Entered(
        room=room,
        joined=got.joined,
        entries=got.entries,
        page=tuple(to_place(room_id, stored) for stored in reversed(newest)),
        open=tuple((turn, to_place(room_id, stored)) for turn, stored in zip(turns, answers[1::2], strict=True)),
        marks=seqs,
    )


# -- messages


async def page(door: Door, room_id: str, before: int | None, limit: int) -> tuple[list[Place], bool]:
    """Messages, oldest first, and whether there are older. Raises DamagedLog."""
    below = "+inf" if before is None else f"({before}"
    command = door.client.call(scripts.ROOM_PAGE, door.keys.of_room(room_id), below, limit + 1)
    newest = value_of(room_id, await door.ask(command))
    return [to_place(room_id, stored) for stored in reversed(newest[:limit])], len(newest) > limit


async def find(door: Door, room_id: str, message_ids: Sequence[str]) -> list[Place | None]:
    """These messages. Raises DamagedLog."""
    if not message_ids:
        return []
    found = value_of(room_id, await door.ask(("HMGET", door.keys.posts(room_id), *message_ids)))
    return [None if stored is None else to_place(room_id, stored) for stored in found]


async def sent(door: Door, room_id: str, once: str) -> str | None:
    """The message that used `once`. Raises DamagedLog."""
    found = value_of(room_id, await door.ask(("HGET", door.keys.once(room_id), once)))
    return None if found is None else str(found.decode())


async def turns(door: Door, room_id: str) -> list[Turn]:
    """The room's turns, in the order in which they were asked for. Raises DamagedLog."""
    found = value_of(room_id, await door.ask(("HVALS", door.keys.turns(room_id))))
    return [turn for _, turn in sorted((to_turn(room_id, stored) for stored in found), key=lambda pair: pair[0])]
