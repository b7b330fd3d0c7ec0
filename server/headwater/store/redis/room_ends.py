"""The end of a room's run, which enters the room's log in the step in which it enters the run's.

Lua cannot join what a run said, so it is joined here and given to the script together with what it was made of: the top
of the run's log, and the version of the answer's message. Where those are no more so, the script writes nothing and
says that they have moved.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from redis.exceptions import ResponseError

from headwater.core.content import Content
from headwater.core.events import End, Event
from headwater.core.news import news_channel
from headwater.core.room import (
    Post,
    answer_of,
    changed,
    decode_post,
    encode_post,
    encode_room_events,
    run_ended,
    slot_of_run,
    turn_of,
)
from headwater.errors import DamagedLog
from headwater.redis_client import Command, Script
from headwater.store.redis import reads, scripts
from headwater.store.redis.place import Place, value_of

Told = tuple[str | bytes, ...]
"""What a script is told of the end of a room's run, as store/lua/room_end.lua has it."""

# Nothing was looked at yet: should an end be written, the script asks for more.
UNKNOWN: Final[Told] = ("",) * 8
MOVED: Final = b"moved"

_IN_ROOM: Final = {
    scripts.APPEND: scripts.APPEND_IN_ROOM,
    scripts.CANCEL: scripts.CANCEL_IN_ROOM,
    scripts.GIVE_UP: scripts.GIVE_UP_IN_ROOM,
}


def in_room(place: Place, run_id: str, script: Script, told: Told) -> tuple[Script, list[str], Told]:
    """The script that writes an end, its keys, and what it is told besides: more, where the run is a room's."""
    slot = slot_of_run(run_id)
    if slot is None:
        return script, place.keys.of_run(run_id), ()
    return _IN_ROOM[script], place.keys.of_run_in_room(run_id, slot), told


async def end(place: Place, run_id: str, script: Script, last: End, *args: str | bytes | int) -> Any:
    """The reply to a script that may write `last` as the end of a run. Raises DamagedLog."""

    def command(told: Told) -> Command:
        which, keys, more = in_room(place, run_id, script, told)
        return place.run_script(which, keys, *args, *more)

    reply = await place.ask(command(UNKNOWN))
    if reply == MOVED:
        reply = await tell(place, run_id, (last,), command)
    return value_of(run_id, reply)


async def tell(place: Place, run_id: str, events: Sequence[Event], command: Callable[[Told], Command]) -> Any:
    """The reply to a command that ends a room's run with these events.

    Tried again as often as something else was written in between.
    """
    while True:
        looked = await place.ask(_look(place, run_id))
        if isinstance(looked, ResponseError):
            return looked
        told = await _told(place, run_id, events, looked)
        (reply,) = await place.client.pipeline([command(told)], urgent=True)
        if reply != MOVED:
            return reply


def _look(place: Place, run_id: str) -> Command:
    _, keys, _ = in_room(place, run_id, scripts.APPEND, UNKNOWN)
    return place.run_script(scripts.ROOM_LOOK, keys, answer_of(run_id))


async def _told(place: Place, run_id: str, events: Sequence[Event], looked: Sequence[bytes]) -> Told:
    now, top, room_id, version, body = looked
    last = events[-1]
    assert isinstance(last, End), "they end a run"
    content = Content()
    try:
        so_far = await reads.output(place, run_id)
    except DamagedLog:
        so_far = None
    if so_far is not None:
        content, top = so_far[0], str(so_far[2].position).encode()
        for event in events:
            content.add(event)
    ended = run_ended(run_id, last, content.text, content.parts(), int(now) / 1000)
    post = _post(body)
    return (
        top,
        answer_of(run_id),
        version,
        b"" if post is None else encode_post(changed(post, ended)),
        turn_of(run_id),
        encode_room_events((ended,)),
        place.worker,
        news_channel(place.keys.prefix, room_id.decode()),
    )


def _post(body: bytes) -> Post | None:
    """The answer's message, if there is one that can be read."""
    try:
        return decode_post(body)
    except msgspec.MsgspecError:
        return None
