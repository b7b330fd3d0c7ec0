"""Rooms, what is said in them, and answers, for the tests of stores."""

from typing import Any

from headwater.core.events import Entry
from headwater.core.position import START, Position
from headwater.core.room import (
    Deleted,
    Edited,
    Place,
    Reacted,
    RoomEvent,
    RoomKey,
    RoomSettings,
    RunStarted,
    Said,
    Turn,
    answer_of,
    changed,
    posted,
    room_events,
    room_key,
    run_id_of,
)
from headwater.core.run import Run
from headwater.entropy import new_message_id, new_tag, new_turn_id
from headwater.store.base import Store
from headwater.store.rooms import Beginning, Change, Changed, Changing, Put, RoomStore
from tests.store.producing import Producer, a_run, take

EVERYTHING = 100_000_000
"""Bytes."""


async def a_room(rooms: RoomStore, name: str = "lobby", tenant: str = "acme", **settings: Any) -> str:
    """A new room's id."""
    room, fresh = await rooms.put(RoomKey(tenant, name), RoomSettings(**settings), replace=False)
    assert fresh
    return room.key.id


def said(text: str = "hello", *, by: str = "user:ann", at: float = 1_700_000_000.25, **fields: Any) -> Said:
    """What somebody says, under an id and a name of its own."""
    fields = {"client_id": new_turn_id(), "name": "Ann", **fields}
    return Said(new_message_id(), by, fields.pop("name"), text, at, **fields)


def once(event: Said) -> str:
    """What must happen but once."""
    return f"{event.by}\n{event.client_id}"


def saying(*events: Said, tag: int | None = None, turns: tuple[Turn, ...] = ()) -> Change:
    """The change that says it all at once."""
    puts = tuple(Put(posted(event)) for event in events)
    return Change(tag=tag or new_tag(), events=events, puts=puts, once=once(events[0]), turns=turns)


def about(place: Place, event: Edited | Deleted | Reacted, tag: int | None = None) -> Change:
    """The change that does this to a message, as it was seen."""
    return Change(tag=tag or new_tag(), events=(event,), puts=(Put(changed(place.post, event), place.version),))


def editing(place: Place, text: str, tag: int | None = None) -> Change:
    """Another text for a message."""
    return about(place, Edited(place.post.id, place.post.by, text, 1_700_000_001.5), tag)


def reacting(place: Place, reaction: str = "👍", by: str = "user:bob") -> Change:
    """A reaction put on a message."""
    return about(place, Reacted(place.post.id, by, reaction, True, 1_700_000_002.0))


async def store_change(rooms: RoomStore, room_id: str, change: Change) -> Entry:
    """Make a change; it must be stored, and as it was asked for."""
    done = await rooms.change(room_id, change)
    assert done.outcome is Changing.STORED and done.entry is not None
    assert (done.entry.tag, room_events(done.entry)) == (change.tag, change.events)
    return done.entry


async def find(rooms: RoomStore, room_id: str, message: str) -> Place:
    """A message that must be there."""
    (place,) = await rooms.find(room_id, [message])
    assert place is not None
    return place


async def say(rooms: RoomStore, room_id: str, text: str = "hello", **fields: Any) -> Place:
    """Say something."""
    event = said(text, **fields)
    entry = await store_change(rooms, room_id, saying(event))
    return Place(posted(event), entry.position, entry.position)


async def say_all(rooms: RoomStore, room_id: str, *texts: str) -> list[Place]:
    """Say one thing after another."""
    return [await say(rooms, room_id, text) for text in texts]


async def log_of(rooms: RoomStore, room_id: str, after: Position = START) -> list[Entry]:
    """The log after a position, each entry seen to follow the one before."""
    read = await rooms.read(room_id, after, EVERYTHING)
    assert read is not None and read.joined
    at = after
    for entry in read.entries:
        assert entry.after == at
        assert entry.seq - at.seq == len(entry.events) > 0
        at = entry.position
    assert at == read.top.position
    return list(read.entries)


async def events_of(rooms: RoomStore, room_id: str, after: Position = START) -> list[RoomEvent]:
    """The events after a position."""
    return [event for entry in await log_of(rooms, room_id, after) for event in room_events(entry)]


async def joins(rooms: RoomStore, room_id: str, position: Position) -> bool:
    """Whether a position joins the log; where it does not, nothing is read."""
    read = await rooms.read(room_id, position, EVERYTHING)
    assert read is not None and (read.joined or not read.entries)
    return read.joined


# -- answers


def a_turn(event: Said, model: str = "demo") -> Turn:
    """An answer to it."""
    return Turn(
        id=new_turn_id(),
        asked=event.message,
        client_id=event.client_id,
        by=event.by,
        name=event.name,
        caller="acme/user:ann",
        model=model,
        at=event.at,
    )


async def ask(rooms: RoomStore, room_id: str, text: str = "what is it?") -> Turn:
    """Say something that asks for an answer."""
    event = said(text)
    turn = a_turn(event)
    await store_change(rooms, room_id, saying(event, turns=(turn,)))
    return turn


def beginning(room_id: str, turn: Turn, tag: int | None = None) -> tuple[Run, Change]:
    """The run of a turn, and what the room is told when it begins."""
    run = a_run(room_key(room_id).tenant, id=run_id_of(room_id, turn.id), room=room_id, caller=turn.caller)
    event = RunStarted(answer_of(run.id), run.id, turn.by, turn.model, turn.asked, 1_700_000_003.0)
    return run, Change(tag=tag or new_tag(), events=(event,), puts=(Put(posted(event)),))


async def begin(rooms: RoomStore, room_id: str, turn: Turn) -> Run:
    """Open a turn; it must begin."""
    begun = await rooms.begin(room_id, turn.id, *beginning(room_id, turn), most=100)
    assert begun.outcome is Beginning.BEGUN and begun.run is not None
    return begun.run


async def an_open_answer(rooms: RoomStore, room_id: str) -> Run:
    """Ask, and let the answer begin."""
    return await begin(rooms, room_id, await ask(rooms, room_id))


async def answering(store: Store, rooms: RoomStore, room_id: str, *, lease_s: float = 3.0) -> Producer:
    """Ask, and take the run of the answer."""
    return await take(store, (await an_open_answer(rooms, room_id)).id, lease_s=lease_s)


def assert_nothing_done(done: Changed, outcome: Changing, message: str | None = None) -> None:
    """A change that was not made, and why."""
    assert done == Changed(outcome, None, message)
