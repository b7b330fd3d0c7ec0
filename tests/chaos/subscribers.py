"""Those who follow a run, each by the rules of its format, and come back as its real clients do.

`follow` returns once a subscriber has seen the end; it raises what was wrong on the way: an AssertionError where the
protocol was broken. `judge` says what it holds then, against what is stored.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

from headwater_client import AsyncClient
from headwater_client.core.trials import LONGEST_S
from headwater_client.core.trouble import Broken
from headwater_client.runs import Attempt, Delta, Resumed, Retrying, Snapshot
from tests.chaos.stored import Stored
from tests.support.event_source import EventSource, Over
from tests.support.sse import Message
from tests.support.waiting import lasting

Where = Callable[[], str]
"""An address for each connection."""

DEADLINE_S = 120.0  # only ends a hang: an answer takes some seconds, and so does each failover
SLOW_S = 0.05  # between two reads of a slow one, of
SLOW_BYTES = 4_096  # of its socket's buffer


class Subscriber(ABC):
    """One of them. `done`: it has seen the end."""

    kind: ClassVar[str]
    back_s: ClassVar[float] = 2.0
    """How long it may take to be back once it has lost its connection, beside what keeps it out."""

    def __init__(self, where: Where, run_id: str) -> None:
        self.where = where
        self.run_id = run_id
        self.done = False
        self.opened: list[float] = []
        """When it asked for each connection."""
        self.error: str | None = None
        """The code of the error that ended its stream, in a format that has such."""
        self.ended_at = 0.0
        self.pause_s = 0.0
        """The longest time between two events."""
        self.resumed_at: dict[int, float] = {}
        """When it heard of each attempt, by number."""
        self._heard_at = 0.0

    @property
    def connections(self) -> int:
        """How many it had."""
        return len(self.opened)

    def __repr__(self) -> str:
        state = "done" if self.done else "not done"
        return f"<{self.kind} of {self.run_id}, {self.connections} connections, {len(self.text)} characters, {state}>"

    @property
    @abstractmethod
    def text(self) -> str:
        """What it holds."""

    @property
    def place(self) -> str:
        """The position where it ended, as far as its format tells."""
        return ""

    @abstractmethod
    async def follow(self) -> None:
        """Read to the end."""

    def open_another(self) -> None:
        """It asks for a connection."""
        self.opened.append(time.monotonic())

    def went_on_at(self, attempt: dict[str, Any], shown: str) -> float | None:
        """When it noticed this attempt at an answer of which so much had been shown; None if it never did."""
        return self.resumed_at.get(attempt["number"])

    def heard(self) -> None:
        """An event came."""
        now = time.monotonic()
        if self._heard_at:
            self.pause_s = max(self.pause_s, now - self._heard_at)
        self._heard_at = now

    def over(self) -> None:
        """It has seen the end."""
        self.done = True
        self.ended_at = time.monotonic()

    def judge(self, stored: Stored) -> Iterator[str]:
        """What is wrong with what it holds."""
        if self.done and self.text != stored.text:
            yield f"holds {_between(self.text, stored.text)}"
        elif not self.done and not stored.had(self.text):
            yield f"left with {_between(self.text, stored.text)}"


class Native(Subscriber):
    """An EventSource, which its page closes at the end."""

    kind = "native"
    receive_buffer: ClassVar[int | None] = None

    def __init__(self, where: Where, run_id: str) -> None:
        super().__init__(where, run_id)
        self._source = _Wanderer(self, f"/v1/runs/{run_id}/events", self.receive_buffer)

    @property
    def text(self) -> str:
        return self._source.text

    @property
    def place(self) -> str:
        return self._source.last_id

    async def follow(self) -> None:
        source = self._source
        async with asyncio.timeout(DEADLINE_S):
            while source.follower.end is None:
                over = await source.read(until=lambda follower: follower.end is not None)
                assert over is not Over.STOPPED, "it was stopped before the end"
        self.over()

    def on_message(self, message: Message) -> None:
        """Before it is checked."""
        if message.event == "run":
            return
        self.heard()
        if message.event == "attempt":
            self.resumed_at[message.json["number"]] = time.monotonic()

    def judge(self, stored: Stored) -> Iterator[str]:
        yield from super().judge(stored)
        end = self._source.follower.end
        if end is not None and end != stored.end:
            yield f"was told the end {end}, and stored is {stored.end}"


class Slow(Native):
    """One that takes its time between any two reads."""

    kind = "slow"
    receive_buffer = SLOW_BYTES


class _Wanderer(EventSource):
    """It comes back to any address, as one does behind a balancer."""

    def __init__(self, subscriber: Native, path: str, receive_buffer: int | None) -> None:
        super().__init__(subscriber.where() + path, on_message=subscriber.on_message, receive_buffer=receive_buffer)
        self._subscriber = subscriber
        self._path = path

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self.url = urlsplit(self._subscriber.where() + self._path)
        opened = await super()._open()
        if opened is not None:
            self._subscriber.open_another()
        return opened

    async def _body(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut_after: int | None
    ) -> AsyncGenerator[bytes, None]:
        async for piece in super()._body(reader, writer, cut_after):
            if self.receive_buffer is not None:
                await lasting(SLOW_S)
            yield piece


class Client(Subscriber):
    """The Python client."""

    kind = "client"
    back_s = LONGEST_S

    def __init__(self, where: Where, run_id: str) -> None:
        super().__init__(where, run_id)
        self._text = ""
        self._place = ""
        self._end: dict[str, Any] = {}
        self._broken: list[str] = []

    @property
    def text(self) -> str:
        return self._text

    @property
    def place(self) -> str:
        return self._place

    async def follow(self) -> None:
        self.open_another()
        async with AsyncClient(self.where(), max_wait_s=DEADLINE_S, on_status=self._on_status) as client:
            watch = client.watch(self.run_id)
            async for event in watch:
                if isinstance(event, Delta | Snapshot):
                    self.heard()
                elif isinstance(event, Attempt):
                    self.resumed_at[event.number] = time.monotonic()
                self._text, self._place = watch.text, watch.position
            assert watch.end is not None, "it stopped before the end"
            self._end = {"status": watch.end.status, "reason": watch.end.reason}
        self.over()

    def _on_status(self, status: Retrying | Resumed) -> None:
        if isinstance(status, Resumed):
            self.open_another()
        elif isinstance(status.error, Broken):  # which it heals, so that nobody would know
            self._broken.append(str(status.error))

    def judge(self, stored: Stored) -> Iterator[str]:
        yield from super().judge(stored)
        yield from (f"was sent {what}" for what in self._broken)
        if self._end and any(stored.end.get(name) != value for name, value in self._end.items()):
            yield f"was told the end {self._end}, and stored is {stored.end}"


def _between(text: str, stored: str) -> str:
    """Where two texts part."""
    at = next((n for n, (a, b) in enumerate(zip(text, stored, strict=False)) if a != b), min(len(text), len(stored)))
    ours, theirs = text[max(0, at - 20) : at + 30], stored[max(0, at - 20) : at + 30]
    return f"{len(text)} characters, stored are {len(stored)}; from {at} on {ours!r}, stored {theirs!r}"
