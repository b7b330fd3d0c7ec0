"""The client for programs without an event loop."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Self, TypeVar, Unpack

import httpx

from headwater_client import transport
from headwater_client.async_room import AsyncRoom
from headwater_client.core import calls, following
from headwater_client.core.address import address
from headwater_client.core.run_view import BEGINNING, RunView
from headwater_client.core.steps import Emit, Open, Read, Send, Steps
from headwater_client.core.trials import Rules
from headwater_client.runs import End, Input, Page, Run, RunEvent, RunFields, Status
from headwater_client.sync_room import InThread, Room
from headwater_client.sync_wire import OnStatus, Tokens, Wire
from headwater_client.watched import Streamed, Watched

T = TypeVar("T")


class Client:
    """A client of the Headwater at `url`, to be used as a context manager, from any number of threads.

    `token` is an API key or a token, or a function that gives one: it is asked first, and again for a newer one when
    the server refuses what it gave. Failures that may pass are retried, with random waits, for `max_wait_s` seconds;
    `on_status` is told of each retry, and when it works again. A stream in which nothing comes for `silence_s` is
    taken for dead, and resumed. `http` is an httpx client of your own, for proxies and certificates; you close it.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str] | None = None,
        *,
        max_wait_s: float = transport.MAX_WAIT_S,
        silence_s: float = transport.SILENCE_S,
        on_status: OnStatus | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self.url = address(url)
        self._rules = Rules(self.url, max_wait_s, time.monotonic, random.random)
        self._http = http or httpx.Client(limits=transport.LIMITS)
        self._owns_http = http is None
        self._tokens = Tokens(token)
        self._silence_s = silence_s
        self._on_status = on_status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every connection. What is under way breaks off."""
        if self._owns_http:
            self._http.close()

    # -- runs

    def create(self, input: Input, *, idempotency_key: str | None = None, **fields: Unpack[RunFields]) -> Run:
        """Start a run, once, however often it has to be asked for."""
        return self._do(calls.create(self._rules, input, fields, idempotency_key or transport.new_key()))

    def get(self, run_id: str) -> Run:
        """The run now, with its output so far."""
        return self._do(calls.get(self._rules, run_id))

    def cancel(self, run_id: str) -> Run:
        """Stop the run for good; the run then. One that has ended stays as it is."""
        return self._do(calls.cancel(self._rules, run_id))

    def delete(self, run_id: str) -> None:
        """Remove an ended run."""
        self._do(calls.delete(self._rules, run_id))

    def runs(
        self,
        *,
        conversation: str | None = None,
        status: Status | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> Page:
        """Runs, newest first; `before` is the id of the last one of the page before."""
        query = {"conversation": conversation, "status": status, "limit": limit, "before": before}
        return self._do(calls.runs(self._rules, query))

    def watch(self, run: str | Run, *, after: str | None = None, on_status: OnStatus | None = None) -> "Watch":
        """Follow a run to its end, from its beginning or from the position `after`."""
        view = RunView(run.id if isinstance(run, Run) else run, after)
        return Watch(self._wire(on_status), view, following.follow(self._rules, view))

    def stream(
        self,
        input: Input,
        *,
        idempotency_key: str | None = None,
        on_status: OnStatus | None = None,
        **fields: Unpack[RunFields],
    ) -> "TextStream":
        """Start a run, and give its text as it comes."""
        view = RunView("", BEGINNING)
        key = idempotency_key or transport.new_key()
        steps = following.stream(self._rules, view, input, fields, key)
        return TextStream(Watch(self._wire(on_status), view, steps))

    # -- rooms

    def room(
        self,
        room: str,
        *,
        name: str | None = None,
        since: str | None = None,
        on_status: OnStatus | None = None,
    ) -> Room:
        """A room, to be entered with `with`. `name` is how others see you, where no token says it.

        `since` is the position of an earlier visit: what came after it is told.
        """
        told, tokens = on_status or self._on_status, InThread(self._tokens)
        return Room(lambda: AsyncRoom(self._rules, room, tokens, name=name, since=since, on_status=told))

    # -- steps

    def _wire(self, on_status: OnStatus | None = None) -> Wire:
        return Wire(self.url, self._http, self._tokens, self._silence_s, on_status or self._on_status)

    def _do(self, steps: Steps[T]) -> T:
        wire, answer = self._wire(), None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer = wire.perform(step)


class Watch(Watched, Iterator[RunEvent]):
    """The events of a run, each once and in order, and what they come to.

    It may be left at any time, also by an exception, and iterated again: it goes on where it was.
    """

    def __init__(self, wire: Wire, view: RunView, steps: Steps[None]) -> None:
        super().__init__(view)
        self._wire = wire
        self._steps = steps
        self._answer: object = None

    def result(self) -> End:
        """Follow it to its end."""
        for _ in self:
            pass
        return self._its_end()

    def close(self) -> None:
        """Follow it no longer. The run goes on."""
        self._steps.close()
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> RunEvent:
        while True:
            try:
                answer, self._answer = self._answer, None
                step = self._steps.send(answer)
            except BaseException:
                self._wire.close()
                raise
            if isinstance(step, Emit):
                return step.event
            try:
                self._answer = self._wire.perform(step)
            except BaseException:
                self._wire.close()
                self._answer = transport.interrupted() if isinstance(step, Send | Open | Read) else None
                raise


class TextStream(Streamed, Iterator[str]):
    """The text of a run as it comes, from its first word. Raises NotCompleted if it ends before it is whole."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._watch = watch

    def close(self) -> None:
        """Follow it no longer. The run goes on; `client.cancel(stream.run.id)` stops it."""
        self._watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> str:
        while True:
            if text := self._text_of(next(self._watch)):
                return text
