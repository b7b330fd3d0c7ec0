"""The load of a round: runs that are started, and those who follow, cancel and leave."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import httpx2

from tests.chaos.questions import Question, draw
from tests.chaos.report import Tally
from tests.chaos.streams import Chat, Completion, Ndjson, PlainText, Responses
from tests.chaos.subscribers import Client, Native, Slow, Subscriber, Where
from tests.chaos.world import World
from tests.support.waiting import eventually, lasting

IN_FLIGHT = 24  # runs at once: with their subscribers about what two cores carry without falling behind
LONGEST_S = 7.0  # of an answer, were there no fault
EVERY_S = 0.12  # between two starts, on average
SUBSCRIBERS = 4  # of a run, at most; one at least
# Shares of runs that are cancelled, and of subscribers that come late, and that leave.
CANCELLED, LATE, LEAVING = 0.12, 0.3, 0.12
LATE_S = 8.0  # at most: also after the end
STREAM_S = 30.0  # of silence, at most
ASKED_S = 90.0  # for a run to be taken: the store may fail over meanwhile

KINDS: Final = ("native", "native", "ndjson", "text", "chat", "responses", "client", "slow")


class Kill(NamedTuple):
    """The death of the worker that produced a run."""

    at: float
    seq: int
    """The top of the run's log shortly before."""


@dataclass
class Asked:
    """A run, and what happened to it from outside."""

    question: Question
    id: str
    started_at: float
    """When it was begun to be asked for."""
    created_at: float
    """When that was answered."""
    subscribers: list[Subscriber] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    cancelled_at: float = 0.0
    cancel_owed: bool = False
    """A cancel was accepted, so that it can end in no other way."""
    problems: list[tuple[Subscriber, BaseException]] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)


class Load:
    """Starts runs and subscribers, by the chance of the round."""

    def __init__(
        self, world: World, name: str, tally: Tally, *, in_flight: int = IN_FLIGHT, longest_s: float = LONGEST_S
    ) -> None:
        self.world = world
        self.at_once = in_flight
        self.longest_s = longest_s
        self.name = name
        self.tally = tally
        self.asked: list[Asked] = []
        self._chance = world.chance(f"{name}/load")
        self._tasks: set[asyncio.Task[None]] = set()
        self._http = httpx2.AsyncClient(timeout=STREAM_S, limits=httpx2.Limits(max_connections=None))
        # Where a request cannot be sent again it is not sent on a connection that may be about to be closed.
        once = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._http_once = httpx2.AsyncClient(timeout=STREAM_S, limits=once)

    @property
    def in_flight(self) -> list[Asked]:
        """The runs of which somebody has not seen the end."""
        return [one for one in self.asked if not all(task.done() for task in one.tasks)]

    async def press(self, until: float, *, faulty: float = 0.3) -> None:
        """Start runs until then, on the loop's clock, never too many at once."""
        loop, number = asyncio.get_running_loop(), 0
        while loop.time() < until:
            await lasting(self._chance.expovariate(1 / EVERY_S))
            if len(self.in_flight) + len(self._tasks) < self.at_once:
                number += 1
                question = draw(self._chance, f"{self.name}/{number}", longest_s=self.longest_s, faulty=faulty)
                task = asyncio.create_task(self._live(question, self.world.chance(f"{self.name}/{number}")))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _live(self, question: Question, chance: random.Random) -> None:
        """One run, and whoever has to do with it."""
        asked = await self.ask(question, chance)
        for kind in chance.choices(KINDS, k=chance.randint(1, SUBSCRIBERS)):
            late = chance.uniform(0, LATE_S) if chance.random() < LATE else 0.0
            leaving = chance.uniform(0.1, 4.0) if chance.random() < LEAVING else None
            self.follow(asked, kind, chance, late_s=late, leave_s=leaving)
        if chance.random() < CANCELLED:
            asked.tasks.append(asyncio.create_task(self._cancel(asked, chance, chance.uniform(0.0, 5.0))))

    async def ask(self, question: Question, chance: random.Random, *, where: Where | None = None) -> Asked:
        """Start it, once, however often it takes."""
        began = time.monotonic()
        headers = {"Idempotency-Key": f"{self.name}/{question.body['input']}"}
        response = await self.world.ask(
            where or self.world.where(chance),
            "POST",
            "/v1/runs",
            deadline_s=ASKED_S,
            json=question.body,
            headers=headers,
        )
        assert response.status_code == 202, f"{question.body} was answered with {response.status_code} {response.text}"
        return self._note(Asked(question, response.json()["id"], began, time.monotonic()))

    async def complete(self, question: Question, where: Where) -> Asked | None:
        """Start it as OpenAI's clients do, whose stream is the answer; None if it was refused, which must not be."""
        began = time.monotonic()
        subscriber = Completion(where, question.chat, self._http_once)
        try:
            await subscriber.open()
        except Exception as error:
            self.tally.fail("errors seen", f"{subscriber!r}: {type(error).__name__}: {error}")
            return None
        asked = self._note(Asked(question, subscriber.run_id, began, time.monotonic()))
        self._add(asked, subscriber)
        return asked

    def _note(self, asked: Asked) -> Asked:
        self.asked.append(asked)
        self.tally.runs += 1
        self.tally.faults["upstream faults"] += bool(asked.question.fault)
        return asked

    def follow(
        self, asked: Asked, kind: str, chance: random.Random, *, late_s: float = 0.0, leave_s: float | None = None
    ) -> Subscriber:
        """One more subscriber, in a task of its own."""
        own = random.Random(chance.random())
        return self._add(asked, self._make(kind, asked.id, own), late_s, leave_s)

    def _add(
        self, asked: Asked, subscriber: Subscriber, late_s: float = 0.0, leave_s: float | None = None
    ) -> Subscriber:
        asked.subscribers.append(subscriber)
        asked.tasks.append(asyncio.create_task(self._follow(asked, subscriber, late_s, leave_s)))
        self.tally.subscribers += 1
        return subscriber

    def _make(self, kind: str, run_id: str, chance: random.Random) -> Subscriber:
        where: Where = self.world.where(chance, cut=True)
        match kind:
            case "native":
                return Native(where, run_id)
            case "slow":
                return Slow(where, run_id)
            case "ndjson":
                return Ndjson(where, run_id, self._http)
            case "text":
                return PlainText(where, run_id, self._http)
            case "chat":
                return Chat(where, run_id, self._http)
            case "responses":
                # A number says nothing of who wrote what it stands for: where writes may be lost it is no mark.
                by_place = self.world.kind == "sentinel" or chance.random() < 0.5
                return Responses(where, run_id, self._http, by_place=by_place)
            case _:
                return Client(lambda: self.world.network.url, run_id)

    async def _follow(self, asked: Asked, subscriber: Subscriber, late_s: float, leave_s: float | None) -> None:
        await lasting(late_s)
        try:
            with contextlib.suppress(TimeoutError) if leave_s else contextlib.nullcontext():
                async with asyncio.timeout(leave_s):
                    await subscriber.follow()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # it is told at the end, with the run as it is stored then
            asked.problems.append((subscriber, error))

    async def _cancel(self, asked: Asked, chance: random.Random, after_s: float) -> None:
        await lasting(after_s)
        path = f"/v1/runs/{asked.id}/cancel"
        response = await self.world.ask(self.world.where(chance), "POST", path)
        if response.status_code == 200:
            asked.cancelled_at = time.monotonic()
            run = response.json()
            asked.cancel_owed = run["status"] == "cancelled" or run["cancel_requested"]

    async def settled(self, within_s: float) -> None:
        """Return once every run has been asked for and everybody has seen the end, or after so long."""

        def nobody_left() -> bool:
            return not self._tasks and not self.in_flight

        with contextlib.suppress(AssertionError):
            await eventually(nobody_left, within_s)
        for task in self._tasks:
            self.tally.fail("errors seen", f"a run could not be asked for: {task}")
        for asked in self.in_flight:
            for subscriber, task in zip(asked.subscribers, asked.tasks, strict=False):
                if not task.done():
                    asked.problems.append((subscriber, TimeoutError("it has not seen the end")))

    async def close(self) -> None:
        """Send everybody away."""
        tasks: Sequence[asyncio.Task[None]] = [*self._tasks, *(task for one in self.asked for task in one.tasks)]
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                self.tally.fail("errors seen", f"{type(result).__name__}: {result}")
        await self._http.aclose()
        await self._http_once.aclose()
