"""What goes wrong between a worker and the store, and when."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TypeVar

from headwater.errors import HeadwaterError, StoreUnavailable
from tests.simulation.loop import Process, VirtualLoop

T = TypeVar("T")

# In which whatever waited in a stall arrives after it: less than there is between two sweeps.
STALLED_S = 0.12


class Fault(Enum):
    """What becomes of a request."""

    NONE = "none"
    LOST = "lost"  # it never arrives
    UNANSWERED = "unanswered"  # it takes effect, and the answer is lost
    LATE = "late"  # it takes effect when its sender has given up long ago


class Weather:
    """The state of the network. Times are on the loop's clock."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        self.loop = loop
        self.chance = chance
        self.failing = 0.0
        """The part of all requests that fail."""
        self.out_until = 0.0
        """No request is answered before."""
        self.cut_off: dict[Process, float] = {}
        """Nor any of this one's."""
        self.stalled_until = 0.0
        """Every request waits till then, and nobody is told that it fails."""
        self.news_lost = 0.0
        self.news_doubled = 0.0
        self.news_late_s = 0.0
        self.disturbed: dict[Process, float] = {}
        """When a process last had reason to miss something."""

    def disturb(self, process: Process) -> None:
        """It failed, slept or was refused just now."""
        self.disturbed[process] = self.loop.time()

    def travel_s(self) -> float:
        """How long a message is under way."""
        draw = self.chance.random()
        return 0.0 if draw < 0.3 else 0.005 * draw if draw < 0.8 else 0.5 * (draw - 0.8)

    def fault(self, process: Process) -> Fault:
        """What becomes of the request that this process sends now."""
        now = self.loop.time()
        if now < self.out_until or now < self.cut_off.get(process, 0.0):
            return self.chance.choice((Fault.LOST, Fault.LOST, Fault.UNANSWERED))
        if self.failing and self.chance.random() < self.failing:
            return self.chance.choice((Fault.LOST, Fault.UNANSWERED, Fault.LATE))
        return Fault.NONE


class Link:
    """One process's way to the store."""

    def __init__(self, process: Process, weather: Weather) -> None:
        self.process = process
        self._weather = weather
        self._loop = weather.loop
        self._lost: list[object] = []
        """What is waited for is held by somebody."""

    async def ask(self, apply: Callable[[], T]) -> T:
        """What `apply` gives once it is done at the store. Raises StoreUnavailable, and then it may be done or not."""
        weather = self._weather
        if self.process.dead:
            raise StoreUnavailable("this process is dead")
        fault = weather.fault(self.process)
        if fault is not Fault.NONE:
            await self._fail(fault, apply)
        answer: asyncio.Future[T] = self._loop.create_future()
        there_s = weather.travel_s()
        if there_s:
            self._loop.call_later(there_s, self._arrive, apply, answer, context=self._loop.world)
        else:
            self._arrive(apply, answer)
        return await answer

    def _arrive(self, apply: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        stalled_s = self._weather.stalled_until - self._loop.time()
        if stalled_s > 0:  # then all come within a moment, in any order
            stalled_s += STALLED_S * self._weather.chance.random()
            self._loop.call_later(stalled_s, self._arrive, apply, answer, context=self._loop.world)
            return
        if self.process.dead and self._weather.chance.random() < 0.5:
            self._lost.append(answer)  # only what was under way as it died may still arrive
            return
        done: T | HeadwaterError
        try:
            done = apply()
        except HeadwaterError as error:
            done = error
        self._loop.call_later(self._weather.travel_s(), _answer, answer, done, context=self._loop.world)

    async def _fail(self, fault: Fault, apply: Callable[[], T]) -> None:
        weather = self._weather
        patience_s = weather.chance.choice((0.001, 0.05, 0.5))
        if fault is not Fault.LOST:
            after_s = patience_s * weather.chance.random()
            if fault is Fault.LATE:
                after_s = patience_s + weather.chance.random()
            self._loop.call_later(after_s, self._take_effect, apply, context=self._loop.world)
        await self._loop.pause(patience_s)
        weather.disturb(self.process)
        raise StoreUnavailable("the store did not answer")

    def _take_effect(self, apply: Callable[[], T]) -> None:
        self._weather.disturb(self.process)
        with suppress(HeadwaterError):  # nobody hears of it
            apply()


def _answer(answer: "asyncio.Future[T]", done: "T | HeadwaterError") -> None:
    if answer.done():
        return
    if isinstance(done, HeadwaterError):
        answer.set_exception(done)
    else:
        answer.set_result(done)
