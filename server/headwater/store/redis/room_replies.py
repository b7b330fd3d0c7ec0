"""What the scripts return of rooms, as the contract's values. What does not fit is damage, and names its room."""

from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec
from msgspec.structs import replace
from redis.exceptions import ResponseError

from headwater.core.events import Entry
from headwater.core.position import Position
from headwater.core.room import Place, RoomSettings, Turn, decode_post, decode_room_events, room_entry, room_key
from headwater.errors import DamagedLog
from headwater.store.base import Read, Top
from headwater.store.redis.door import log
from headwater.store.redis.replies import chained, to_position
from headwater.store.rooms import Room

_settings_decoder = msgspec.json.Decoder(RoomSettings)
_turn_decoder = msgspec.json.Decoder(Turn)


def damaged(room_id: str, why: object) -> NoReturn:
    """Raises DamagedLog."""
    log.error("what is stored of the room %s is damaged: %s", room_id, why)
    raise DamagedLog(f"What is stored of the room {room_id} is damaged: {why}.")


def value_of(room_id: str, reply: Any) -> Any:
    """A script's reply, unless it failed on what it found under the room's names. Raises DamagedLog."""
    if isinstance(reply, ResponseError):
        log.error("what is stored of the room %s is damaged: %s", room_id, reply)
        raise DamagedLog(f"What is stored of the room {room_id} is damaged: something foreign lies under its name.")
    return reply


def to_room(room_id: str, fields: Sequence[bytes]) -> Room | None:
    """A room from its hash, as names and values in turn, or None of one that is not there. Raises DamagedLog."""
    if not fields:
        return None
    has = dict(zip(fields[::2], fields[1::2], strict=True))
    try:
        return Room(
            key=room_key(room_id),
            settings=_settings_decoder.decode(has[b"settings"]),
            created_at=int(has[b"created"]) / 1000,
            top=to_position(has[b"top"].decode()),
        )
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        damaged(room_id, error)


def to_top(room_id: str, position: bytes) -> Top:
    """Where a log stands. Raises DamagedLog."""
    try:
        return Top(to_position(position.decode()), "in_progress")
    except ValueError as error:
        damaged(room_id, error)


def to_read(room_id: str, after: Position, top: Top, joined: bool, rows: Sequence[bytes]) -> Read:
    """A piece of a log, positions and payloads in turn. Raises DamagedLog."""
    try:
        entries = chained(after, rows, decode_room_events)
    except ValueError as error:
        damaged(room_id, error)
    if joined and not entries and after.seq < top.position.seq:
        damaged(room_id, f"its entries from seq {after.seq + 1} on are missing")
    return Read(joined, entries, top)


def to_entry(room_id: str, row: Sequence[bytes]) -> Entry | None:
    """An entry from the position before it, its own, and its payload; None if it was trimmed. Raises DamagedLog."""
    if not row:
        return None
    before, position, payload = row
    try:
        after, at = to_position(before.decode()), to_position(position.decode())
        return room_entry(after, at.tag, decode_room_events(payload))
    except (ValueError, msgspec.MsgspecError) as error:
        damaged(room_id, error)


def to_place(room_id: str, stored: bytes | None) -> Place:
    """A message that must be there, as store/lua/room.lua has it. Raises DamagedLog."""
    if stored is None:
        damaged(room_id, "a message is missing")
    try:
        created, version, length, rest = stored.split(b" ", 3)
        post = decode_post(rest[int(length) :])
        return Place(post, to_position(created.decode()), to_position(version.decode()))
    except (ValueError, msgspec.MsgspecError) as error:
        damaged(room_id, error)


def to_turn(room_id: str, stored: bytes) -> tuple[int, Turn]:
    """A turn and its number among those asked for. Raises DamagedLog."""
    try:
        number, began, body = stored.split(b" ", 2)
        return int(number), replace(_turn_decoder.decode(body), open=began != b"0-0")
    except (ValueError, msgspec.MsgspecError) as error:
        damaged(room_id, error)
