"""The answers of rooms: which begin, which are stopped for others, and that none is forgotten."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from headwater.core.events import End
from headwater.core.room import Turn, answer_of, run_id_of
from headwater.core.run import Run
from headwater.core.turns import next_turns
from headwater.errors import StoreUnavailable
from headwater.executor import Executor
from headwater.rooms.budgets import RoomBudgets
from headwater.rooms.starter import Started, Starter
from headwater.store.rooms import RoomStore
from headwater.tasks import say_why_it_failed

log = logging.getLogger("headwater.rooms")

# Between looks at rooms where turns wait: one question to the store for all of them.
SWEEP_S: Final = 1.0
# What waits for longer than this may have been left by a worker that died; until then it is its own worker's.
LEFT_S: Final = 2.0
# Rooms looked after in one sweep; the next comes soon, and goes on with others.
SWEEP_MAX: Final = 500
# When a room was first seen waiting is remembered for so long: within it, sweeps come by 30,000 rooms.
SEEN_S: Final = 60.0
# Turns of a room that are refused in one go; others must have theirs, and the next sweep comes soon.
LOOKS_MAX: Final = 100


class Turns:
    """Carries out what a room's policy says about its answers, one room's at a time.

    `cancel` accepts a run's cancel on nobody's behalf. `shared`: others may produce what this one begins.
    """

    def __init__(
        self,
        rooms: RoomStore,
        starter: Starter,
        budgets: RoomBudgets,
        executor: Executor,
        cancel: Callable[[str], Awaitable[object]],
        *,
        shared: bool,
        sweep_s: float = SWEEP_S,
        left_s: float = LEFT_S,
    ) -> None:
        self._rooms = rooms
        self._starter = starter
        self._budgets = budgets
        self._executor = executor
        self._cancel = cancel
        self._shared = shared
        self._sweep_s = sweep_s
        self._left_s = left_s
        self._advancing: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._counting: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Turns advancing={len(self._advancing)} counting={len(self._counting)}>"

    # -- one room's turns

    def advance(self, room_id: str) -> None:
        """Something has changed for the room's turns: see to them, soon."""
        if room_id in self._advancing:
            self._again.add(room_id)
        elif self._may_begin:
            task = asyncio.create_task(self._advance(room_id), name=f"turns of {room_id}")
            self._advancing[room_id] = task
            task.add_done_callback(say_why_it_failed)

    @property
    def _may_begin(self) -> bool:
        """A worker that has no room for runs leaves them to another, or to a later sweep."""
        stops = self._executor.draining and not self._shared
        return not (stops or self._executor.is_full)

    async def _advance(self, room_id: str) -> None:
        try:
            for _ in range(LOOKS_MAX):
                self._again.discard(room_id)
                if not await self._look(room_id) and room_id not in self._again:
                    return
        except StoreUnavailable as error:
            log.warning("room %s: its turns wait for a sweep: %s", room_id, error.detail)
        finally:
            self._again.discard(room_id)
            del self._advancing[room_id]

    async def _look(self, room_id: str) -> bool:
        """Do what is to be done now; whether there is more."""
        room = await self._rooms.get(room_id)
        if room is None:
            return False
        decision = next_turns(await self._rooms.turns(room_id), room.settings.concurrency)
        for turn in decision.cancel:
            await self._cancel(run_id_of(room_id, turn.id))
        called_off = [await self._starter.call_off(room_id, turn, "superseded") for turn in decision.drop]
        if not all(called_off):
            return True  # one has begun meanwhile
        started = []
        for turn in decision.begin:
            if not self._may_begin:
                return False
            started.append(await self._starter.start(room, turn, decision.most))
        return Started.OVER in started

    async def call_off(self, room_id: str, turn: Turn) -> bool:
        """Cancel a turn that waits; False if it waits no more. Raises StoreUnavailable."""
        return await self._starter.call_off(room_id, turn, "asked_to_stop")

    # -- ends

    def ended(self, run: Run, end: End | None = None) -> None:
        """A run has ended, and its end is in the room's log, if it is a room's: count it and see to the next."""
        if run.room is None:
            return
        output_tokens = end.usage.output_tokens if end is not None and end.usage is not None else 0
        if not output_tokens:
            self.advance(run.room)
            return
        task = asyncio.create_task(self._count(run.room, run.id, output_tokens), name=f"count {run.id}")
        self._counting.add(task)
        task.add_done_callback(self._counting.discard)
        task.add_done_callback(say_why_it_failed)

    async def _count(self, room_id: str, run_id: str, output_tokens: int) -> None:
        """First what was used, for the next answer may be too much."""
        try:
            await self._spend(room_id, run_id, output_tokens)
        except StoreUnavailable as error:
            log.warning("room %s: %d output tokens were not counted: %s", room_id, output_tokens, error.detail)
        self.advance(room_id)

    async def _spend(self, room_id: str, run_id: str, output_tokens: int) -> None:
        room = await self._rooms.get(room_id)
        if room is None:
            return
        (answer,) = await self._rooms.find(room_id, [answer_of(run_id)])
        by = answer.post.by if answer is not None else ""
        await self._budgets.spend(room_id, room.settings.budgets, by, output_tokens)

    # -- looking after

    async def sweep_for_ever(self) -> None:
        """See to turns that wait although nothing is under way for them here, as after the death of their worker."""
        loop = asyncio.get_running_loop()
        since: dict[str, float] = {}
        while True:
            await asyncio.sleep(self._sweep_s)
            if not self._may_begin:
                continue
            try:
                waiting = await self._rooms.waiting(SWEEP_MAX)
            except StoreUnavailable:
                since = {}  # those whose worker is there come first after an outage, too
                continue
            now = loop.time()
            since = {room_id: first for room_id, first in since.items() if now - first < SEEN_S}
            for room_id in waiting:
                if now - since.setdefault(room_id, now) >= self._left_s:
                    self.advance(room_id)

    async def close(self) -> None:
        """Begin nothing more; finish counting."""
        advancing = list(self._advancing.values())
        for task in advancing:
            task.cancel()
        await asyncio.gather(*advancing, *self._counting, return_exceptions=True)
