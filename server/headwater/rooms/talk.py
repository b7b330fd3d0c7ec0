"""The use cases of those who are in a room: to say, change, take back, react, read, and stop an answer."""

import asyncio
import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from msgspec import Struct

from headwater.core import commands
from headwater.core.access import Principal, Role
from headwater.core.position import parse_position
from headwater.core.pushes import Member
from headwater.core.room import (
    Deleted,
    Edited,
    Place,
    Reacted,
    RoomKey,
    Said,
    Turn,
    answer_of,
    changed,
    posted,
    run_id_of,
)
from headwater.core.turns import asked_models
from headwater.entropy import new_message_id, new_tag, new_turn_id
from headwater.errors import Conflict, Forbidden, Invalid, TooMany, UnknownMessage, UnknownRun
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.providers.catalog import Catalog
from headwater.rooms.company import Companies
from headwater.rooms.rooms import Rooms, check_role
from headwater.rooms.turns import Turns
from headwater.runs import Runs
from headwater.store.rooms import Change, Changed, Changing, Put, Room, RoomStore

# Kinds of reactions on one message, and reactions in all: each is written with all the others.
REACTIONS_MAX = 50
REACTORS_MAX = 1_000
# Answers that a room waits for: nobody reads more, and each look at them reads all.
WAITING_MAX = 100
# Somebody else changed the message each time: more than ever happens, as each try is one of many that succeeded.
TRIES = 50


class Saying(Struct, frozen=True):
    """What was said, as it stands; `fresh` is False where it had been said before. `asked`: the models that answer."""

    place: Place
    fresh: bool
    asked: tuple[str, ...] = ()


class Talk:
    """What people and services do in rooms."""

    def __init__(
        self,
        store: RoomStore,
        hub: Hub,
        rooms: Rooms,
        runs: Runs,
        turns: Turns,
        companies: Companies,
        catalog: Catalog,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hub = hub
        self._rooms = rooms
        self._runs = runs
        self._turns = turns
        self._companies = companies
        self._catalog = catalog
        self._metrics = metrics
        self._clock = clock
        self._altering: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def say(self, principal: Principal, name: str, member: Member, message: commands.Message) -> Saying:
        """Say something; under the same `client_id` it is said once. Raises Forbidden, UnknownMessage, TooMany, …"""
        self._hub.check_stays()
        room = await self._rooms.ready(principal, name, "write")
        room_id = room.key.id
        replied = None
        if message.reply_to is not None:
            replied = (await self._rooms.message(room_id, message.reply_to, "reply_to")).post
            if replied.deleted:
                raise UnknownMessage("The message that this replies to was deleted.", field="reply_to")
        said = Said(
            new_message_id(),
            member.id,
            member.name,
            message.text,
            self._clock(),
            message.client_id,
            message.reply_to,
            message.mentions,
        )
        models = asked_models(
            room.settings, said.mentions, replied, default=self._catalog.default, is_model=self._catalog.knows
        )
        turns = tuple(
            Turn(
                id=new_turn_id(),
                asked=said.message,
                client_id=said.client_id,
                by=member.id,
                name=member.name,
                caller=principal.id,
                model=model,
                at=said.at,
            )
            for model in models
        )
        change = Change(
            tag=new_tag(),
            events=(said,),
            puts=(Put(posted(said)),),
            once=_once(member.id, said.client_id),
            turns=turns,
        )
        if turns:
            await self._check_waiting(room_id, change.once)
        done = await self._change(principal, room.key, change)
        self._companies.types(room_id, member, False)
        if done.outcome is Changing.SEEN:
            assert done.message is not None
            self._turns.advance(room_id)  # whoever said it first may not have heard that it was stored
            return Saying(await self._rooms.message(room_id, done.message, "client_id"), False, models)
        if turns:
            self._turns.advance(room_id)
        assert done.entry is not None
        return Saying(Place(posted(said), done.entry.position, done.entry.position), True, models)

    async def _check_waiting(self, room_id: str, once: str) -> None:
        """Raises TooMany where more questions would wait than anybody reads answers to, unless this one does."""
        waiting = sum(not turn.open for turn in await self._store.turns(room_id))
        if waiting >= WAITING_MAX and await self._store.sent(room_id, once) is None:
            detail = f"{WAITING_MAX} answers are waited for in this room, as many as may be. Ask again later."
            raise TooMany(detail, limit=WAITING_MAX, retry_after=1)

    async def _change(self, principal: Principal, key: RoomKey, change: Change) -> Changed:
        """Write it, to a room that may have been lost a moment ago, and tell those who are here."""
        while True:
            try:
                done = await self._store.change(key.id, change)
            except BaseException:
                self._hub.look(key.id)  # it may have been stored: then nobody else tells them
                raise
            if done.entry is not None:
                self._hub.publish(key.id, done.entry)
                self._metrics.room_events.labels(_type_of(change)).inc()
            if done.outcome is not Changing.GONE:
                return done
            await self._rooms.make(principal, key)

    async def edit(self, principal: Principal, name: str, member: Member, command: commands.Edit) -> None:
        """Change what one has said. Raises UnknownMessage, Forbidden."""

        def decide(place: Place) -> Edited | None:
            post = place.post
            if post.is_answer or post.by != member.id:
                raise Forbidden("Only who said it may change it.")
            same = post.text == command.text
            return None if same else Edited(post.id, member.id, command.text, self._clock())

        await self._alter(principal, name, "write", command.message, decide)

    async def delete(self, principal: Principal, name: str, member: Member, command: commands.Delete) -> None:
        """Take back what one has said or asked for; a moderator, anything.

        Raises UnknownMessage, Forbidden, Conflict.
        """

        def decide(place: Place) -> Deleted | None:
            post = place.post
            if post.by != member.id and not principal.may_in(name, "moderate"):
                raise Forbidden("Only who said it, or a moderator, may delete it.")
            if post.status == "in_progress":
                raise Conflict("The answer still grows: cancel it, and delete it once it has ended.")
            return Deleted(post.id, member.id, self._clock())

        await self._alter(principal, name, "write", command.message, decide)

    async def react(self, principal: Principal, name: str, member: Member, command: commands.React) -> None:
        """Put a reaction on a message, or take it off. Raises UnknownMessage, TooMany."""

        def decide(place: Place) -> Reacted | None:
            reactions = place.post.reactions
            those = reactions.get(command.reaction, ())
            if (member.id in those) == command.on:
                return None
            if command.on and sum(map(len, reactions.values())) >= REACTORS_MAX:
                raise TooMany(f"A message bears at most {REACTORS_MAX} reactions.", limit=REACTORS_MAX)
            if command.on and not those and len(reactions) >= REACTIONS_MAX:
                raise TooMany(f"A message bears at most {REACTIONS_MAX} kinds of reactions.", limit=REACTIONS_MAX)
            return Reacted(place.post.id, member.id, command.reaction, command.on, self._clock())

        await self._alter(principal, name, "write", command.message, decide)

    async def _alter(
        self,
        principal: Principal,
        name: str,
        role: Role,
        message_id: str,
        decide: Callable[[Place], Edited | Deleted | Reacted | None],
    ) -> None:
        """Change a message as it stands; where that is so already, nothing."""
        room = await self._rooms.ready(principal, name, role)
        turn = self._altering.setdefault((room.key.id, message_id), asyncio.Lock())
        async with turn:  # else a crowd that likes an answer would keep each other, and its end, from being written
            await self._alter_next(principal, room, message_id, decide)

    async def _alter_next(
        self,
        principal: Principal,
        room: Room,
        message_id: str,
        decide: Callable[[Place], Edited | Deleted | Reacted | None],
    ) -> None:
        for _ in range(TRIES):
            place = await self._rooms.message(room.key.id, message_id, "message")
            if place.post.deleted:
                raise UnknownMessage("This message was deleted.", field="message")
            event = decide(place)
            if event is None:
                return
            change = Change(tag=new_tag(), events=(event,), puts=(Put(changed(place.post, event), place.version),))
            done = await self._change(principal, room.key, change)
            if done.outcome is Changing.STORED:
                return
        raise TooMany("Too many people change this message at once. Try again.", retry_after=1)

    async def mark(self, principal: Principal, name: str, member: Member, command: commands.ReadTo) -> None:
        """Note how far a member has read. Raises Invalid for a position that is none, or not yet."""
        room = await self._rooms.ready(principal, name, "read")
        try:
            position = parse_position(command.position)
        except ValueError as error:
            raise Invalid(f"position: {error}.", field="position") from None
        if position.seq > room.top.seq:
            raise Invalid("position: the room's log has not come so far.", field="position")
        seq = await self._store.mark(room.key.id, member.id, position.seq)
        self._companies.reads(room.key.id, member.id, seq)

    async def types(self, principal: Principal, name: str, member: Member, command: commands.Typing) -> None:
        """Tell that a member is typing, or has stopped."""
        check_role(principal, name, "write")
        self._companies.types(RoomKey(principal.tenant, name).id, member, command.on)

    async def cancel(self, principal: Principal, name: str, member: Member, command: commands.Cancel) -> None:
        """Stop an answer, begun or not. Raises UnknownRun, UnknownMessage, Conflict where there is none to stop."""
        room = await self._rooms.ready(principal, name, "write")
        room_id = room.key.id
        if command.run is not None:
            turns = [turn for turn in await self._store.turns(room_id) if run_id_of(room_id, turn.id) == command.run]
            if not turns:
                await self._explain(room_id, command.run)
        else:
            assert command.client_id is not None, "one of them is there"
            asked = await self._store.sent(room_id, _once(member.id, command.client_id))
            if asked is None:
                raise UnknownMessage("You have sent no message with this client_id.", field="client_id")
            turns = [turn for turn in await self._store.turns(room_id) if turn.asked == asked]
            if not turns:
                raise Conflict("No answer to this message is under way.")
        for turn in turns:
            if turn.open or not await self._turns.call_off(room_id, turn):
                await self._runs.stop(run_id_of(room_id, turn.id))
        self._turns.advance(room_id)

    async def _explain(self, room_id: str, run_id: str) -> None:
        message_id = answer_of(run_id)
        (place,) = await self._store.find(room_id, [message_id])
        if place is None or place.post.run != run_id:
            raise UnknownRun(f"There is no run {run_id[:64]} in this room.", field="run")
        raise Conflict(f"The answer has ended already: it is {place.post.status}.")


def _type_of(change: Change) -> str:
    """What a change is, as clients know it."""
    match change.events[0]:
        case Said():
            return "message"
        case event:
            return type(event).__name__.lower()


def _once(member_id: str, client_id: str) -> str:
    """What a message happens but once under. The length keeps two pairs from sharing a name."""
    return f"{len(member_id)}:{member_id}:{client_id}"
