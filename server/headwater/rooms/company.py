"""Who is in each room, over all workers, and what they do that is kept nowhere.

A connection holds a place under its room's name, which expires unless its worker keeps it: so those of a worker that
was killed are gone by themselves. Every worker reads the places of the rooms that are followed on it, and tells what
has changed since it last did, all of a moment at once.
"""

import asyncio
import heapq
import logging
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

import msgspec
from msgspec import Struct

from headwater.core.pushes import HasRead, Member, Presence, TypingNow
from headwater.errors import StoreUnavailable, TooMany
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.store.limits import CONNECTIONS, Limits

log = logging.getLogger("headwater.rooms")

# How often a place is kept before it would expire: two of them may be lost.
KEPT: Final = 3
# Of one room, by far more than talk with each other.
MEMBERS_MAX: Final = 10_000
# Between two looks at who is there: what comes meanwhile is told together.
TOGETHER_S: Final = 0.25
# Between looks where nobody said that something changed: a whisper may be lost.
LOOK_S: Final = 5.0
# Clients say again that somebody is typing every few seconds.
TYPING_S: Final = 6.0
# After a failure: the store is away.
PAUSE_S: Final = 0.5


class Came(Struct, tag="p", frozen=True):
    """Who is there has changed."""


class Types(Struct, tag="t", frozen=True):
    """Somebody is typing, or has stopped."""

    member: Member
    on: bool


class Reads(Struct, tag="r", frozen=True):
    """Somebody has read so far."""

    by: str
    seq: int


Whisper = Came | Types | Reads

_encode = msgspec.json.Encoder().encode
_whisper_decoder = msgspec.json.Decoder(Whisper)
_member_decoder = msgspec.json.Decoder(Member)


class Company:
    """One room's, as its members here were told."""

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.users = 0
        self.shown: dict[str, Member] = {}
        self.typing: dict[str, tuple[Member, float]] = {}
        """Who, and on the loop's clock until when."""
        self.look_at = 0.0
        self.looked_at = 0.0
        self.known = False
        """Whether it was ever looked at."""
        self.looking = asyncio.Lock()
        self.awaited_at = math.inf
        """When it is to be seen to, as the row of all rooms has it."""

    @property
    def due(self) -> float:
        """When it is to be seen to."""
        return min([self.look_at, *(until for _, until in self.typing.values())])

    def poke(self, now: float) -> None:
        """Who is there may have changed: look soon."""
        self.look_at = min(self.look_at, max(now, self.looked_at + TOGETHER_S))


class Companies:
    """All rooms' that are followed on this worker. A place that is not kept expires after `presence_s`."""

    def __init__(self, worker: str, limits: Limits, hub: Hub, metrics: Metrics, presence_s: float) -> None:
        self._worker = worker
        self._limits = limits
        self._hub = hub
        self._metrics = metrics
        self._presence_s = presence_s
        self._numbers = count(1)
        self._rooms: dict[str, Company] = {}
        self._row: list[tuple[float, int, Company]] = []
        """Rooms by when they are to be seen to, a heap: one that is to be sooner is in it twice."""
        self._places: set[tuple[str, str]] = set()
        self._leaving: list[tuple[str, str]] = []
        self._something = asyncio.Event()
        hub.on_whisper = self._on_whisper

    def __repr__(self) -> str:
        return f"<Companies rooms={len(self._rooms)} here={len(self._places)}>"

    # -- coming and leaving

    def watch(self, room_id: str) -> Callable[[], None]:
        """Know who is in a room from now on, until what is returned is called."""
        company = self._rooms.get(room_id)
        if company is None:
            company = self._rooms[room_id] = Company(room_id)
            self._await(company)
        company.users += 1

        def stop() -> None:
            company.users -= 1
            if company.users == 0:
                del self._rooms[room_id]

        return stop

    async def come(self, room_id: str, member: Member) -> tuple[str, str]:
        """Take a place for a connection of this member; `leave` it. Raises TooMany, StoreUnavailable."""
        place = _places(room_id), f"{self._worker}:{next(self._numbers)} {_encode(member).decode()}"
        try:
            if not await self._limits.hold(*place, MEMBERS_MAX, self._presence_s):
                raise TooMany(f"{MEMBERS_MAX} connections are in this room, as many as may be.", limit=MEMBERS_MAX)
        except BaseException:
            self._leaving.append(place)  # a lost answer may have taken it
            raise
        self._places.add(place)
        self._metrics.room_members.set(len(self._places))
        self._changed(room_id)
        return place

    def leave(self, place: tuple[str, str]) -> None:
        """The connection is over."""
        self._places.discard(place)
        self._metrics.room_members.set(len(self._places))
        self._leaving.append(place)
        self._something.set()

    async def know(self, room_id: str) -> None:
        """Return once it is known who is in a room that is watched. Raises StoreUnavailable."""
        company = self._rooms[room_id]
        async with company.looking:
            if not company.known:
                await self._look(company)

    def members(self, room_id: str) -> list[Member]:
        """Who is in the room, as those who follow it here were told."""
        return list(self._rooms[room_id].shown.values())

    # -- what they do

    def types(self, room_id: str, member: Member, on: bool) -> None:
        """A member is typing, or has stopped."""
        if self._note_typing(room_id, member, on) or on:
            self._hub.whisper(room_id, _encode(Types(member, on)))

    def reads(self, room_id: str, by: str, seq: int) -> None:
        """A member has read so far."""
        self._hub.note(room_id, HasRead(by=by, seq=seq))
        self._hub.whisper(room_id, _encode(Reads(by, seq)))

    def _on_whisper(self, room_id: str, data: bytes) -> None:
        try:
            whisper = _whisper_decoder.decode(data)
        except msgspec.MsgspecError as error:
            log.warning("what was whispered about %s is no whisper: %s", room_id, error)
            return
        match whisper:
            case Came():
                self._poke(room_id)
            case Types(member, on):
                self._note_typing(room_id, member, on)
            case Reads(by, seq):
                self._hub.note(room_id, HasRead(by=by, seq=seq))

    def _note_typing(self, room_id: str, member: Member, on: bool) -> bool:
        """Whether that is news."""
        company = self._rooms.get(room_id)
        if company is None:
            return False
        known = member.id in company.typing
        if on:
            company.typing[member.id] = member, asyncio.get_running_loop().time() + TYPING_S
            self._await(company)
        else:
            company.typing.pop(member.id, None)
        if known != on:
            self._tell_typing(company)
        return known != on

    def _tell_typing(self, company: Company) -> None:
        self._hub.note(company.room_id, TypingNow(members=[member for member, _ in company.typing.values()]))

    def _changed(self, room_id: str) -> None:
        self._poke(room_id)
        self._hub.whisper(room_id, _encode(Came()))

    def _poke(self, room_id: str) -> None:
        company = self._rooms.get(room_id)
        if company is not None:
            company.poke(asyncio.get_running_loop().time())
            self._await(company)

    # -- looking after them

    async def look_after(self) -> None:
        """For ever: give places up and keep them, see who is there, and let typing wear off."""
        loop = asyncio.get_running_loop()
        keep_every_s = self._presence_s / KEPT
        keep_at = loop.time() + keep_every_s
        while True:
            await self._wait(min(keep_at, self._row[0][0]) if self._row else keep_at)
            try:
                await self._let_go()
                now = loop.time()
                if now >= keep_at:
                    await self._limits.keep(list(self._places), self._presence_s)
                    keep_at = now + keep_every_s
                for company in self._due(now):
                    try:
                        await self._see_to(company, now)
                    finally:
                        self._await(company)
            except StoreUnavailable:
                keep_at = 0.0  # what it lost, or what expired meanwhile, is to be there again before anybody looks
                for room_id in self._rooms:
                    self._poke(room_id)
                await asyncio.sleep(PAUSE_S)

    async def _wait(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._something.wait()
        except TimeoutError:
            pass
        self._something.clear()

    def _await(self, company: Company) -> None:
        """Have a room seen to when it is due."""
        due = company.due
        if due < company.awaited_at:
            company.awaited_at = due
            heapq.heappush(self._row, (due, next(self._numbers), company))
            self._something.set()

    def _due(self, now: float) -> Iterator[Company]:
        """The rooms that are to be seen to by now: of thousands that are followed, a few."""
        while self._row and self._row[0][0] <= now:
            due, _, company = heapq.heappop(self._row)
            if due == company.awaited_at and company.users:
                company.awaited_at = math.inf
                yield company

    async def _see_to(self, company: Company, now: float) -> None:
        self._wear_off(company, now)
        if now >= company.look_at:
            async with company.looking:
                await self._look(company)

    async def _let_go(self) -> None:
        if not self._leaving:
            return
        leaving, self._leaving = self._leaving, []  # lost if this fails: they expire by themselves
        await self._limits.let_go(leaving)
        for room_id in {_room_of(name) for name, _ in leaving}:
            self._changed(room_id)

    def _wear_off(self, company: Company, now: float) -> None:
        over = [member_id for member_id, (_, until) in company.typing.items() if until <= now]
        for member_id in over:
            del company.typing[member_id]
        if over:
            self._tell_typing(company)

    async def _look(self, company: Company) -> None:
        loop = asyncio.get_running_loop()
        company.looked_at = loop.time()
        company.look_at = company.looked_at + LOOK_S
        holders = await self._limits.holders(_places(company.room_id))
        company.known = True
        people: dict[str, Member] = {}
        for holder in holders:
            member = _member(holder)
            if member is not None:
                people[member.id] = member
        if holders:  # one that expires is gone then, whoever else says nothing
            company.look_at = min(company.look_at, loop.time() + max(TOGETHER_S, next(iter(holders.values()))))
        joined = [member for member in people.values() if company.shown.get(member.id) != member]
        left = [member for member in company.shown.values() if member.id not in people]
        company.shown = people
        if joined or left:
            self._hub.note(company.room_id, Presence(joined=joined, left=left))


def _places(room_id: str) -> str:
    return f"{CONNECTIONS}room:{room_id}"


def _room_of(name: str) -> str:
    return name.removeprefix(f"{CONNECTIONS}room:")


def _member(holder: str) -> Member | None:
    """The member in the name of a place; None of what is none of ours."""
    try:
        return _member_decoder.decode(holder.partition(" ")[2])
    except msgspec.MsgspecError:
        return None
