"""From a turn to its run, or to an answer that says why there is none."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Literal, TypeVar

from headwater.access import Quotas
from headwater.core.access import Principal
from headwater.core.events import Entry, Failure
from headwater.core.room import (
    Place,
    RunEnded,
    RunStarted,
    Turn,
    answer_of,
    changed,
    posted,
    run_id_of,
)
from headwater.core.run import Run, RunRequest
from headwater.core.turns import conversation, conversation_bytes
from headwater.entropy import full_jitter, new_tag
from headwater.errors import HeadwaterError, StoreUnavailable, TooMany
from headwater.providers.catalog import Catalog
from headwater.rooms.budgets import RoomBudgets
from headwater.store.rooms import Beginning, Change, Changing, Put, Room, RoomStore

log = logging.getLogger("headwater.rooms")

# Messages read at once for a conversation, and how often: a thousand messages are more than a model heeds.
PAGE: Final = 100
PAGES_MAX: Final = 10
# Failures to write before a turn is left to the sweep, a second or two later.
WRITE_TRIES: Final = 5

T = TypeVar("T")

CallOff = Literal["asked_to_stop", "superseded", "question_deleted"]
"""Why an answer was cancelled before it began."""


class Started(Enum):
    """What became of a turn."""

    BEGUN = "begun"
    WAITS = "waits"  # as many answers are open as may be
    OVER = "over"  # there is no answer to wait for: another may begin


class Starter:
    """Opens one turn of a room.

    `publish` tells the room's followers here of an entry, `wake` has a run produced; `clock` is in Unix seconds.
    """

    def __init__(
        self,
        rooms: RoomStore,
        catalog: Catalog,
        quotas: Quotas,
        budgets: RoomBudgets,
        publish: Callable[[str, Entry], None],
        wake: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rooms = rooms
        self._catalog = catalog
        self._quotas = quotas
        self._budgets = budgets
        self._publish = publish
        self._wake = wake
        self._clock = clock

    async def start(self, room: Room, turn: Turn, most: int) -> Started:
        """Begin the answer, unless `most` are open. Raises StoreUnavailable."""
        room_id = room.key.id
        (asked,) = await self._rooms.find(room_id, [turn.asked])
        if asked is None or asked.post.deleted:
            await self.call_off(room_id, turn, "question_deleted")
            return Started.OVER
        run = await self._make_run(room, turn, asked)
        failure = self._check(run) or await self._admit(room, turn, run)
        if failure is not None:
            await self._refuse(room_id, turn, failure)
            return Started.OVER
        return await self._begin(room, turn, run, most)

    async def _make_run(self, room: Room, turn: Turn, asked: Place) -> Run:
        settings = room.settings
        places = await self._read_before(room, turn, asked)
        request = RunRequest(
            input=conversation(places, asked, turn.model, settings.context_bytes),
            model=turn.model,
            conversation=f"room:{room.key.name}",
            instructions=settings.instructions,
        )
        return Run(
            id=run_id_of(room.key.id, turn.id),
            owner=room.key.tenant,
            caller=turn.caller,
            model=turn.model,
            request=request,
            conversation=request.conversation,
            room=room.key.id,
            created_at=0.0,
        )

    async def _read_before(self, room: Room, turn: Turn, asked: Place) -> list[Place]:
        """The newest messages, among which may be answers to what came before the asked one; and before that as many
        as the conversation has room for."""
        places: list[Place] = []
        before = None
        for _ in range(PAGES_MAX):
            page, has_more = await self._rooms.page(room.key.id, before=before, limit=PAGE)
            places = page + places
            if not has_more or conversation_bytes(places, asked, turn.model) > room.settings.context_bytes:
                break
            before = min(page[0].created.seq, asked.created.seq)
        return places

    def _check(self, run: Run) -> Failure | None:
        try:
            self._catalog.get(run.model).provider.check(run.request)
        except HeadwaterError as error:
            return Failure(error.code, error.detail)
        except (
            Exception
        ):  # of a provider of somebody's own: the turn would be tried, and the room stand still, for ever
            log.exception("the provider of %s failed to check a request", run.model)
            return Failure("internal_error", "The model's provider failed to check the request.")
        return None

    async def _admit(self, room: Room, turn: Turn, run: Run) -> Failure | None:
        budgets = room.settings.budgets
        failure = await self._budgets.take(room.key.id, budgets, turn)
        if failure is not None:
            return failure
        try:
            await self._quotas.before_run(_caller(room, turn), run.id)
        except TooMany as error:
            await self._budgets.give_back(room.key.id, budgets, turn)
            return Failure(error.code, error.detail, retry_after_s=error.retry_after)
        return None

    async def _begin(self, room: Room, turn: Turn, run: Run, most: int) -> Started:
        room_id = room.key.id
        started = _started(room_id, turn, self._clock())
        change = Change(tag=new_tag(), events=(started,), puts=(Put(posted(started)),))
        begun = await _insisting(lambda: self._rooms.begin(room_id, turn.id, run, change, most=most))
        if begun.outcome is Beginning.BEGUN:
            self._quotas.run_created(begun.run or run)
            if begun.entry is not None:
                self._publish(room_id, begun.entry)
            self._wake(run.id)
            return Started.BEGUN
        # Its place among the caller's runs comes free by itself: another worker's run may hold it, under the same id.
        if begun.outcome is Beginning.BUSY or await self._rooms.find(room_id, [answer_of(run.id)]) == [None]:
            await self._budgets.give_back(room_id, room.settings.budgets, turn)
        return Started.WAITS if begun.outcome is Beginning.BUSY else Started.OVER

    async def call_off(self, room_id: str, turn: Turn, reason: CallOff) -> bool:
        """Answer a turn that waits with no answer, and why; False if it waits no more. Raises StoreUnavailable."""
        return await self._answer_at_once(room_id, turn, "cancelled", reason)

    async def _refuse(self, room_id: str, turn: Turn, failure: Failure) -> None:
        """Answer with the reason why there is no answer."""
        await self._answer_at_once(room_id, turn, "failed", failure.code, failure)

    async def _answer_at_once(
        self, room_id: str, turn: Turn, status: str, reason: str, failure: Failure | None = None
    ) -> bool:
        at = self._clock()
        started = _started(room_id, turn, at)
        ended = RunEnded(started.message, started.run, status, "", [], at, reason, failure)
        put = Put(changed(posted(started), ended))
        change = Change(tag=new_tag(), events=(started, ended), puts=(put,))
        done = await _insisting(lambda: self._rooms.refuse(room_id, turn.id, change))
        if done.entry is not None:
            self._publish(room_id, done.entry)
        return done.outcome is Changing.STORED


def _started(room_id: str, turn: Turn, at: float) -> RunStarted:
    run_id = run_id_of(room_id, turn.id)
    return RunStarted(answer_of(run_id), run_id, turn.by, turn.model, turn.asked, at)


def _caller(room: Room, turn: Turn) -> Principal:
    """Whose quota it is: the tenant's own, as everybody in a room is."""
    tenant = room.key.tenant
    return Principal(tenant=tenant, subject=turn.caller.removeprefix(f"{tenant}/"), scopes=frozenset())


async def _insisting(write: Callable[[], Awaitable[T]]) -> T:
    """Do a write that may be sent again. Raises StoreUnavailable after some tries."""
    tries = 0
    while True:
        try:
            return await write()
        except StoreUnavailable:
            tries += 1
            if tries > WRITE_TRIES:
                raise
            await asyncio.sleep(full_jitter(tries, base_s=0.05, cap_s=0.5))
