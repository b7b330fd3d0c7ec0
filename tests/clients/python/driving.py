"""Plays the world to a use case of the Python client: what comes of each step, without any I/O."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headwater_client import Notice, RunEvent
from headwater_client.core.run_view import RunView
from headwater_client.core.steps import Emit, Lost, Open, Read, Reply, Request, Send, Sleep, Steps, Tell, Token
from headwater_client.core.trials import Rules

URL = "http://headwater.test"
MAX_WAIT_S = 60.0
RUN = {"id": "run_1", "status": "completed", "model": "demo", "created_at": 1.0, "position": "9-1", "output": "abc"}
CUT = Lost(ConnectionError("cut"))
SILENCE = Lost(TimeoutError("silence"), silent=True)


def reply(status: int, body: Any = None, kind: str = "application/json", **headers: str) -> Reply:
    """A whole reply."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {"content-type": kind, **headers}, encoded)


def problem(status: int, code: str, **fields: Any) -> Reply:
    """A refusal as Headwater words it."""
    document = {"status": status, "code": code, "detail": f"It is {code}.", **fields}
    return reply(status, document, "application/problem+json")


STREAM = Reply(200, {"content-type": "text/event-stream; charset=utf-8"})


def event(name: str, id: str = "", **data: Any) -> bytes:
    """An event as it stands in a stream."""
    head = f"id: {id}\n" if id else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


TOLD = event("run", id="", **{"status": "in_progress", "model": "demo"}).replace(b'{"', b'{"id": "run_1", "')


def delta(after: int, text: str, seq: int | None = None) -> bytes:
    """A delta of one token, or of several."""
    seq = after + 1 if seq is None else seq
    return event("delta", f"{seq}-1", after=after, seq=seq, text=text)


def end(after: int, status: str = "completed", **fields: Any) -> bytes:
    """The end."""
    return event("end", f"{after + 1}-1", after=after, seq=after + 1, status=status, **fields)


@dataclass
class World:
    """`answers` are what comes of each Send, Open and Read, in order; `tokens` what each Token gives.

    `now` goes on as it is slept; half of what could be waited is waited.
    """

    answers: Iterable[Any]
    tokens: list[str | None] = field(default_factory=list)
    now: float = 0.0
    asked: list[Request] = field(default_factory=list)
    events: list[RunEvent] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    rejected: list[str | None] = field(default_factory=list)
    max_wait_s: float = MAX_WAIT_S

    @property
    def rules(self) -> Rules:
        """The rules of this world."""
        return Rules(URL, self.max_wait_s, lambda: self.now, lambda: 0.5)

    def play(self, steps: Steps[Any]) -> Any:
        """What the use case comes to, once it has used all answers."""
        answers = iter(self.answers)
        given: Any = None
        while True:
            try:
                step = steps.send(given)
            except StopIteration as stop:
                assert next(answers, None) is None, "it ended too early"
                return stop.value
            given = self._perform(step, answers)

    def _perform(self, step: Any, answers: Iterator[Any]) -> Any:
        match step:
            case Send(request) | Open(request):
                self.asked.append(request)
                return next(answers)
            case Read():
                return next(answers)
            case Sleep(seconds):
                self.slept.append(seconds)
                self.now += seconds
            case Tell(notice):
                self.notices.append(notice)
            case Emit(happened):
                self.events.append(happened)
            case Token(rejected):
                self.rejected.append(rejected)
                return self.tokens.pop(0) if self.tokens else None
        return None


def watched(after: str | None = None) -> RunView:
    """What a reader of the run holds before it begins."""
    return RunView("run_1", after)
