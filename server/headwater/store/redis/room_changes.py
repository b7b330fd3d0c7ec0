"""Rooms as they are made and changed. Each change is one script; marks beside it say where to look."""

from contextlib import suppress

import msgspec
from redis.exceptions import ResponseError

from headwater.core.news import news_channel, removal_news
from headwater.core.position import START
from headwater.core.room import RoomKey, RoomSettings, encode_post, encode_room_events, room_key, room_slot
from headwater.core.run import Run
from headwater.errors import StoreUnavailable
from headwater.redis_client import Command
from headwater.store import rooms
from headwater.store.redis import creation, scripts
from headwater.store.redis.door import Door, in_ms
from headwater.store.redis.place import checked
from headwater.store.redis.replies import to_run
from headwater.store.redis.room_replies import damaged, to_entry, to_room, value_of
from headwater.store.rooms import Beginning, Begun, Change, Changed, Changing, Room, answers_under_way

# A turn is found by the mark that was made before it, for longer than any change takes.
_UNASKED_S = 60.0

_encode = msgspec.json.Encoder().encode


async def put(door: Door, key: RoomKey, settings: RoomSettings, replace: bool, kept_bytes: int) -> tuple[Room, bool]:
    """Make the room, or replace its settings."""
    keys, kept = door.keys, settings.retention
    # At least one: what has just been written is never too old.
    age_ms: str | int = "" if kept.age_s is None else max(1, in_ms(kept.age_s))
    names = keys.of_room_with_marks(key.id)
    commands = [
        _index(door, key, anew=False),
        door.run_script(scripts.ROOM_PUT, names, _encode(settings), kept.count, kept_bytes, age_ms, int(replace)),
    ]
    if kept.age_s is not None:
        commands.append(_look_at(door, keys.aging, key.id))
    entered, reply, *_ = await door.client.pipeline(commands)
    fresh, fields = value_of(key.id, reply)
    if fresh and not entered:
        await door.client.pipeline([_index(door, key, anew=True)])  # its place is that of one that was lost
    room = to_room(key.id, fields)
    if room is None:
        damaged(key.id, "it is not there when it was made")
    return room, bool(fresh)


def _index(door: Door, key: RoomKey, *, anew: bool) -> Command:
    return door.run_script(scripts.INDEX, [door.keys.rooms(key.tenant)], key.name, int(anew))


def _look_at(door: Door, name: str, room_id: str) -> Command:
    return door.run_script(scripts.LOOK, [name], room_id)


async def remove(door: Door, worker: str, room_id: str) -> bool:
    """Remove the room, then its place in the tenant's list. Raises Conflict, DamagedLog."""
    keys, key = door.keys, room_key(room_id)
    listed, names = keys.rooms(key.tenant), keys.of_room_with_marks(room_id)
    news = news_channel(keys.prefix, room_id), removal_news(worker)
    place, reply = await door.client.pipeline(
        [("ZSCORE", listed, key.name), door.client.call(scripts.ROOM_REMOVE, names, *news)]
    )
    what = value_of(room_id, reply)
    if what == b"busy":
        raise answers_under_way(room_id)
    if what == b"removed" and isinstance(place, bytes):
        with suppress(StoreUnavailable):  # lists pass over what is not there
            # By its score, which no other has: one that was made again meanwhile has a newer.
            await door.client.pipeline([("ZREMRANGEBYSCORE", listed, place, place)])
    return bool(what == b"removed")


# -- messages


async def change(door: Door, worker: str, room_id: str, change: Change, *, refused: str = "") -> Changed:
    """Make a change; with `refused` the turn of that id, which must wait, is removed."""
    args = _change_args(door, worker, room_id, change)
    command = door.run_script(scripts.ROOM_POST, door.keys.of_room(room_id), refused, *args)
    # Marked first: a mark without a turn is passed over, a turn without a mark would not be found.
    marks = [_look_at(door, door.keys.waiting, room_id)] if change.turns else []
    *_, reply = await door.client.pipeline([*marks, command])
    what, *rest = value_of(room_id, reply)
    outcome = Changing(what.decode())
    if outcome is Changing.SEEN:
        return Changed(outcome, message=rest[0].decode())
    return Changed(outcome, to_entry(room_id, rest))


def _change_args(door: Door, worker: str, room_id: str, change: Change) -> list[str | bytes | int]:
    """A change, as store/lua/room_change.lua has it."""
    args: list[str | bytes | int] = [
        change.tag,
        len(change.events),
        encode_room_events(change.events),
        worker,
        news_channel(door.keys.prefix, room_id),
        change.once,
        len(change.puts),
    ]
    for put in change.puts:
        first, last = change.place(put.post.id, START)
        args += [put.post.id, str(put.version), first.seq, last.seq, encode_post(put.post)]
    for turn in change.turns:
        args += [turn.id, _encode(turn)]
    return args


# -- turns


async def begin(door: Door, worker: str, room_id: str, turn_id: str, run: Run, change: Change, most: int) -> Begun:
    """Create the run of a turn that waits, and say so.

    The run is entered into its owner's list afterwards: of many that try, one begins.
    """
    command = door.run_script(
        scripts.ROOM_BEGIN,
        door.keys.of_run_in_room(run.id, room_slot(room_id)),
        *creation.run_args(run, creation.body_of(run), "", ("", "", "")),
        *(turn_id, most),
        *_change_args(door, worker, room_id, change),
    )
    mark = door.run_script(scripts.MARK, [door.keys.unfinished], run.id, 0)
    _, reply = await door.client.pipeline([mark, command])
    what, *rest = value_of(room_id, reply)
    outcome = Beginning(what.decode())
    if outcome is not Beginning.BEGUN:
        return Begun(outcome)
    fields, body, *row = rest
    entry = to_entry(room_id, row)
    if not fields:
        return Begun(outcome, entry)  # it has ended, and expired
    checked(await door.client.pipeline([creation.index(door, run, anew=False)]))
    return Begun(outcome, entry, to_run(run.id, fields, body))


async def drop(door: Door, room_id: str, turn_id: str) -> bool:
    """Remove a turn that waits."""
    command = door.client.call(scripts.ROOM_DROP, door.keys.of_room(room_id), turn_id)
    return bool(value_of(room_id, await door.ask(command)))


async def waiting(door: Door, limit: int) -> list[str]:
    """Rooms with turns that wait, those first that were least lately seen to."""
    name = door.keys.waiting
    now, *found = await door.client.one(door.run_script(scripts.LOOKS, [name], limit))
    marks = dict(zip(found[::2], found[1::2], strict=True))
    if not marks:
        return []
    counts = [_count(door, member.decode()) for member in marks]
    replies = await door.client.pipeline([command for pair in counts for command in pair])
    wait: list[str] = []
    notes: list[Command] = []
    for (member, at), asked, begun in zip(marks.items(), replies[::2], replies[1::2], strict=True):
        if not isinstance(asked, ResponseError) and not isinstance(begun, ResponseError) and asked > begun:
            wait.append(member.decode())
            notes.append(_look_at(door, name, member.decode()))
        elif int(now) - int(at) > in_ms(_UNASKED_S):
            notes.append(door.client.call(scripts.LOOKED, [name], member, at, ""))
    if notes:
        await door.client.pipeline(notes)
    return wait


def _count(door: Door, room_id: str) -> tuple[Command, Command]:
    """How many turns there are, and how many of them have begun."""
    return ("HLEN", door.keys.turns(room_id)), ("ZCARD", door.keys.open(room_id))


# -- marks


async def mark(door: Door, room_id: str, member: str, seq: int) -> int:
    """Note how far a member has read."""
    names = door.keys.of_room_with_marks(room_id)
    reply = await door.ask(door.run_script(scripts.ROOM_MARK, names, member, seq, rooms.MARKS_MAX))
    return int(value_of(room_id, reply))


# -- retention


async def trim(door: Door, limit: int) -> int:
    """Let go of what has outlived its age: in how many rooms there was any."""
    name = door.keys.aging
    _, *due = await door.client.one(door.run_script(scripts.DUE, [name], limit))
    if not due:
        return 0
    members = due[::2]
    commands = [door.run_script(scripts.ROOM_TRIM, door.keys.of_room(member.decode())) for member in members]
    replies = await door.client.pipeline(commands)
    trimmed = 0
    notes: list[Command] = []
    for member, at, reply in zip(members, due[1::2], replies, strict=True):
        gone, again = (0, b"") if isinstance(reply, ResponseError) else reply
        trimmed += gone
        notes.append(door.client.call(scripts.LOOKED, [name], member, at, again))
    await door.client.pipeline(notes)
    return trimmed
