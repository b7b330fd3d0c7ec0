"""The use cases of rooms: make them, find them, look back, come in, each as a principal who may."""

from collections.abc import Sequence

import msgspec

from headwater.config import Config
from headwater.core import commands
from headwater.core.access import Principal, Role
from headwater.core.members import member_of
from headwater.core.news import Removed
from headwater.core.position import Position, parse_position
from headwater.core.pushes import Joined, Member, Presence, You, encode_push, view
from headwater.core.room import Place, RoomKey, RoomSettings, encode_post, run_id_of
from headwater.errors import Forbidden, Invalid, UnknownMessage, UnknownModel, UnknownRoom
from headwater.formats.room import RoomForm, RoomOverEvents, pushes_of
from headwater.hub import Hub, RoomCursor
from headwater.hub.replays import without_deleted
from headwater.providers.catalog import Catalog
from headwater.rooms.company import Companies
from headwater.store.rooms import Entered, Room, RoomStore

Places = list[Place]


class Visit:
    """One connection's stay in a room: its cursor, and what it is told first. Close it."""

    def __init__(self, cursor: RoomCursor, joined: Joined) -> None:
        self.cursor = cursor
        self.joined = joined

    def close(self) -> None:
        """It is over."""
        self.cursor.close()


class Rooms:
    """The rooms of all tenants."""

    def __init__(self, store: RoomStore, hub: Hub, companies: Companies, catalog: Catalog, config: Config) -> None:
        self._store = store
        self._hub = hub
        self._companies = companies
        self._catalog = catalog
        self._config = config

    # -- rooms

    async def put(self, principal: Principal, name: str, settings: RoomSettings) -> tuple[Room, bool]:
        """Make a room, or set one that is there, which only a moderator may. Raises Forbidden, Invalid."""
        key = RoomKey(principal.tenant, name)
        if settings.model is not None:
            try:
                self._catalog.get(settings.model)
            except UnknownModel as error:
                raise Invalid(error.detail, field="model") from None
        is_new = await self._store.get(key.id) is None
        check_role(principal, name, "write" if is_new else "moderate")
        room, made = await self._store.put(key, settings, replace=not is_new)
        if is_new and not made:  # somebody else made it meanwhile
            return await self.put(principal, name, settings)
        return room, made

    async def find(self, principal: Principal, name: str) -> Room:
        """The room. Raises UnknownRoom, Forbidden."""
        check_role(principal, name, "read")
        room = await self._store.get(RoomKey(principal.tenant, name).id)
        if room is None:
            raise UnknownRoom(f"There is no room {name}.")
        return room

    async def remove(self, principal: Principal, name: str) -> None:
        """Remove the room, which only a moderator may. Raises Forbidden, UnknownRoom, Conflict."""
        check_role(principal, name, "moderate")
        room_id = RoomKey(principal.tenant, name).id
        try:
            removed = await self._store.remove(room_id)
        except BaseException:
            self._hub.look(room_id)  # it may be gone: then nobody else tells those who are here
            raise
        if not removed:
            raise UnknownRoom(f"There is no room {name}.")
        self._hub.publish(room_id, Removed())

    async def list(self, principal: Principal, before: str | None, limit: int) -> tuple[list[Room], bool]:
        """The rooms of the principal's tenant, newest first. Raises UnknownRoom for `before`, Forbidden."""
        if principal.rooms is not None or not principal.has("rooms:read"):
            raise Forbidden("This credential is for rooms that were shared with it; it cannot list others.")
        return await self._store.list_rooms(principal.tenant, before=before, limit=limit)

    async def history(self, principal: Principal, name: str, before: str | None, limit: int) -> tuple[Places, bool]:
        """A page of messages, oldest first, from before a message or a position. Raises UnknownMessage."""
        room = await self.find(principal, name)
        seq = None if before is None else await self._seq_of(room.key.id, before)
        page, has_more = await self._store.page(room.key.id, before=seq, limit=limit)
        newest = _newest(page, self._config.read_bytes)
        return newest, has_more or len(newest) < len(page)

    async def _seq_of(self, room_id: str, before: str) -> int:
        try:
            return parse_position(before).seq
        except ValueError:
            return (await self.message(room_id, before, "before")).created.seq

    async def message(self, room_id: str, message_id: str, field: str) -> Place:
        """A message of a room. Raises UnknownMessage, which names the `field` that named it."""
        (place,) = await self._store.find(room_id, [message_id])
        if place is None:
            raise UnknownMessage(f"There is no message {message_id[:64]} in this room.", field=field)
        return place

    async def ready(self, principal: Principal, name: str, role: Role) -> Room:
        """The room, made now where rooms are made on the fly. Raises UnknownRoom, Forbidden."""
        check_role(principal, name, role)
        key = RoomKey(principal.tenant, name)
        room = await self._store.get(key.id)
        return room or await self.make(principal, key)

    async def make(self, principal: Principal, key: RoomKey) -> Room:
        """The room that is not there. Raises UnknownRoom where somebody must make it first."""
        if not self._config.rooms_on_the_fly or not principal.may_in(key.name, "write"):
            raise UnknownRoom(f"There is no room {key.name}. Make it first: PUT /v1/rooms/{key.name}.")
        room, _ = await self._store.put(key, RoomSettings(), replace=False)
        return room

    # -- coming in

    async def enter(
        self, principal: Principal, name: str, member: Member, since: Position | None, form: type[RoomForm]
    ) -> Visit:
        """Come in, or come back after a position.

        Raises Forbidden, UnknownRoom, TooMany, Draining, StoreUnavailable.
        """
        self._hub.check_enters()
        room = await self.ready(principal, name, "read")
        room_id = room.key.id
        leave = self._companies.watch(room_id)
        try:
            place = await self._companies.come(room_id, member)
        except BaseException:
            leave()
            raise
        try:
            await self._companies.know(room_id)
            entered = await self._enter(principal, room.key, since)
            at = entered.entries[-1].position if entered.entries else _standing(entered, since)
            cursor = await self._cursor(room_id, form, at, entered)
        except BaseException:
            self._companies.leave(place)
            leave()
            raise

        def out() -> None:
            self._companies.leave(place)
            leave()

        cursor.on_closed = out
        members = {each.id: each for each in (*self._companies.members(room_id), member)}
        you = You(member.id, member.name, principal.role_in(name) or "read")
        return Visit(cursor, _joined(entered, at, you, list(members.values())))

    async def follow(self, principal: Principal, name: str, position: Position | None) -> RoomCursor:
        """A cursor on the room, as events, for one who only watches; close it. Raises as `enter` does."""
        self._hub.check_enters()
        room = await self.ready(principal, name, "read")
        room_id = room.key.id
        leave = self._companies.watch(room_id)
        try:
            await self._companies.know(room_id)
            entered = await self._enter(principal, room.key, position)
            at = _standing(entered, position)
            cursor = await self._cursor(room_id, RoomOverEvents, at, entered)
        except BaseException:
            leave()
            raise
        cursor.on_closed = leave
        members = self._companies.members(room_id)
        if entered.joined:
            cursor.say_first(RoomOverEvents.push(Presence(joined=members, left=[])))
        else:
            watcher = member_of(principal, None)
            you = You(watcher.id, watcher.name, principal.role_in(name) or "read")
            cursor.say_first(RoomOverEvents.push(_joined(entered, at, you, members), at))
        return cursor

    async def _enter(self, principal: Principal, key: RoomKey, since: Position | None) -> Entered:
        while True:
            entered = await self._store.enter(key.id, since, max_bytes=self._config.read_bytes, page=commands.PAGE)
            if entered is not None:
                page = tuple(_newest(entered.page, self._config.read_bytes))
                entries = await without_deleted(self._store, key.id, entered.entries)
                return msgspec.structs.replace(entered, page=page, entries=entries)
            await self.make(principal, key)

    async def _cursor(self, room_id: str, form: type[RoomForm], position: Position, entered: Entered) -> RoomCursor:
        cursor = await self._hub.enter(room_id, form, position)
        try:
            for turn, place in entered.open:
                if place.created.seq <= position.seq:
                    await cursor.open(run_id_of(room_id, turn.id), None)
        except BaseException:
            cursor.close()
            raise
        return cursor


def _newest(page: Sequence[Place], max_bytes: int) -> Places:
    """The newest messages of a page, oldest first: at least one, and no more than a slow line takes in a frame."""
    newest: Places = []
    for place in reversed(page):
        max_bytes -= len(encode_post(place.post))
        if max_bytes < 0 and newest:
            break
        newest.append(place)
    return newest[::-1]


def _standing(entered: Entered, since: Position | None) -> Position:
    """Where one stands who came in, and was told nothing of the log yet."""
    return since if entered.joined and since is not None else entered.room.top


def _joined(entered: Entered, at: Position, you: You, members: list[Member]) -> Joined:
    there = {you.id, *(member.id for member in members)}
    marks = {member: seq for member, seq in entered.marks.items() if member in there}
    if entered.joined:
        events = [msgspec.Raw(encode_push(push)) for push, _ in pushes_of(entered.entries)]
        return Joined(position=str(at), recovered=True, you=you, members=members, events=events, marks=marks)
    places = {place.post.id: place for place in (*(place for _, place in entered.open), *entered.page)}
    messages = [view(place) for place in sorted(places.values(), key=lambda place: place.created.seq)]
    return Joined(position=str(at), recovered=False, you=you, members=members, messages=messages, marks=marks)


def check_role(principal: Principal, name: str, role: Role) -> None:
    """Raises Forbidden where it may not."""
    if not principal.may_in(name, role):
        raise Forbidden(f"This takes the role {role} in the room {name}.")
