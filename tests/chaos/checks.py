"""What must be true of every run and of everybody who followed it, once all is calm."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headwater.config import Config
from headwater.core.events import Usage
from headwater.core.recovery import DEATHS_MAX
from tests.chaos.continuing import waits
from tests.chaos.faults import FREEZE_S, Havoc
from tests.chaos.load import Asked
from tests.chaos.questions import Question
from tests.chaos.report import Failing, Tally
from tests.chaos.stored import Stored, stored_from
from tests.chaos.subscribers import Subscriber
from tests.chaos.world import World
from tests.support.sse import Disjoint
from tests.support.upstream import Exchange, Script

# Attempts at the end of a log that brought nothing, after which the next takeover gives a run up: it kills its workers.
FRUITLESS = DEATHS_MAX - 1
ATTEMPTS_MAX = Config().max_attempts
# What was acknowledged before a primary died reaches a slow subscriber up to so long after, and of a worker that stood
# still when it has woken.
UNDER_WAY_S = 3.0 + FREEZE_S[1]

Failure = tuple[Failing, str]


@dataclass
class Checks:
    """Reads what the load and the havoc left, and tells the tally what is wrong with it."""

    havoc: Havoc

    @property
    def world(self) -> World:
        """Where all of it was."""
        return self.havoc.world

    @property
    def tally(self) -> Tally:
        """Where it is told."""
        return self.havoc.tally

    async def all_of(self, asked: Sequence[Asked]) -> None:
        """Check each run, some at a time."""
        slots = asyncio.Semaphore(8)  # a log is some kilobytes

        async def one(run: Asked) -> None:
            async with slots:
                await self._check(run)

        await asyncio.gather(*(one(run) for run in asked))

    async def _check(self, asked: Asked) -> None:
        where = self.world.where(self.world.chance(f"check/{asked.id}"))
        response = await self.world.ask(where, "GET", f"/v1/runs/{asked.id}")
        bereft = any(window.holds(asked.started_at, _last_seen(asked)) for window in self.havoc.windows)
        if response.status_code == 404:
            if any(window.holds(asked.started_at, asked.created_at) for window in self.havoc.windows):
                self.tally.lost_runs += 1
            else:
                self.tally.fail("runs without an end", f"{asked.id} is gone: {response.text}")
            return
        run = response.json()
        if run["status"] in ("queued", "in_progress"):
            self._fail(asked, [("runs without an end", f"it is {run['status']} at {run['position']}")])
            return
        log = await self.world.ask(where, "GET", f"/v1/runs/{asked.id}/events?format=ndjson&after=0-0")
        try:
            stored = stored_from(run, log.text, lost=asked.question.text if bereft else None)
        except AssertionError as error:
            self._fail(asked, [("wrong texts", f"its log: {error}")])
            return
        self.tally.tokens += run["usage"]["output_tokens"] if run["usage"] else 0
        self.tally.outcomes[f"{run['status']} {run['reason'] or ''}".strip()] += 1
        for attempt in stored.attempts:
            self.tally.attempts[f"{attempt['reason']} {attempt['how']}"] += 1
        self._fail(asked, judge_run(asked, stored, self._calls(asked.question)))
        self._fail(asked, self._subscribers(asked, stored))
        self._fail(asked, self._waits(asked, stored))

    def _fail(self, asked: Asked, failures: Iterator[Failure] | Sequence[Failure]) -> None:
        for kind, what in failures:
            fault = f", whose upstream had {asked.question.fault!r}" if asked.question.fault else ""
            self.tally.fail(kind, f"{asked.id} of {asked.question.model}{fault}: {what}")

    def _calls(self, question: Question) -> list[Exchange]:
        """What the upstream was asked for this run."""
        asked = question.body["input"]
        return [one for one in self.world.upstream.exchanges if one.body and _question_of(one) == asked]

    def _subscribers(self, asked: Asked, stored: Stored) -> Iterator[Failure]:
        for subscriber, error in asked.problems:
            what = f"{subscriber!r}: {type(error).__name__}: {error}"
            yield kind_of(error), what
        failed = {id(subscriber) for subscriber, _ in asked.problems}
        for subscriber in asked.subscribers:
            pauses_s, form = self.tally.pauses_s, subscriber.kind
            pauses_s[form] = max(pauses_s.get(form, 0.0), subscriber.pause_s)
            if id(subscriber) in failed:
                continue
            wrong = list(subscriber.judge(stored))
            if wrong and self._saw_another_end(subscriber, stored):
                self.tally.told_anew += 1
            else:
                yield from (("wrong texts", f"{subscriber!r} {what}") for what in wrong)

    def _saw_another_end(self, subscriber: Subscriber, stored: Stored) -> bool:
        """Whether it was told the end of a history that was lost afterwards: nobody can tell it any more."""
        if not subscriber.done or stored.lost is None or subscriber.place == stored.end_position:
            return False
        ended_at = subscriber.ended_at
        return any(window.holds(ended_at - UNDER_WAY_S, ended_at) for window in self.havoc.windows)

    def _waits(self, asked: Asked, stored: Stored) -> Iterator[Failure]:
        for wait in waits(asked, stored, self.havoc):
            self.tally.continued_s.append(wait.took_s)
            self.tally.bounded += wait.bounded
            if wait.late and wait.bounded:
                promised = f"{wait.took_s:.2f} s after a kill, and {wait.within_s:g} s are promised"
                yield "continued too late", f"{wait.subscriber!r} heard {promised}"
            self.tally.excused += wait.late and not wait.bounded


def judge_run(asked: Asked, stored: Stored, calls: Sequence[Exchange]) -> Iterator[Failure]:
    """What is wrong with a run, given what its upstream was asked."""
    question, run = asked.question, stored.run
    status, reason = run["status"], run["reason"]
    if (run["output"], status) != (stored.text, stored.end["status"]):
        yield "wrong texts", f"read, it is {status} {run['output']!r}; its log ends with {stored.end}, {stored.text!r}"
    if status == "completed" and stored.text != question.text:
        yield "false completed", f"{stored.text!r}, where the whole is {question.text!r}"
    if not question.text.startswith(stored.text):
        yield "wrong texts", f"{stored.text!r} is no beginning of {question.text!r}"
    if status == "completed" and question.script is not None and not finished(calls, question.script):
        yield "false completed", f"no answer of {len(calls)} of the upstream came to its end"
    if asked.cancel_owed and status != "cancelled" and stored.lost is None:
        yield "false completed", f"a cancel was accepted, and it ended as {status} {reason}"
    if status == "cancelled" and not asked.cancelled_at:
        yield "wrong texts", "nobody cancelled it"
    if question.whole and status not in ("completed", "cancelled") and not _given_up(stored):
        yield "not whole", f"it should be, and ended as {status} {reason}: {run['error']}"
    yield from _attempts(question, stored)


def _attempts(question: Question, stored: Stored) -> Iterator[Failure]:
    numbers = [attempt["number"] for attempt in stored.attempts]
    if numbers != list(range(2, len(numbers) + 2)):
        yield "wrong attempts", f"numbered {numbers}"
    for attempt, shown in zip(stored.attempts, stored.shown, strict=True):
        withdrawn = bool(shown) and not question.promise.continues
        if withdrawn and not question.promise.restarts:
            yield "wrong attempts", f"{attempt} after {shown!r}, which it cannot continue and may not withdraw"
        elif (attempt["how"] == "restarted") != withdrawn:
            yield "wrong attempts", f"{attempt} after {shown!r}"
        if attempt["reason"] not in ("takeover", "failover", "drain"):
            yield "wrong attempts", f"{attempt}"
    if len(set(stored.tags)) != len(stored.tags):
        yield "wrong attempts", f"the writers took turns: {stored.tags}"
    yield from _usage(stored)


def _usage(stored: Stored) -> Iterator[Failure]:
    total = stored.end.get("usage")
    parts = [attempt["usage"] for attempt in stored.run["attempts"] if attempt["usage"]]
    if total is None or not parts:
        return
    names = [name for name in Usage.__struct_fields__ if name != "estimated"]
    sums = {name: sum(part.get(name, 0) for part in parts) for name in names}
    if any(sums[name] != total.get(name, 0) for name in names):
        yield "wrong attempts", f"usage {total}, and of its attempts {parts}"


def _given_up(stored: Stored) -> bool:
    """Whether it had as many tries as there may be, or too many in a row that brought nothing."""
    if len(stored.attempts) + 1 >= ATTEMPTS_MAX:
        return True
    return stored.run["reason"] == "producer_lost" and stored.shown[-FRUITLESS:] == [stored.text] * FRUITLESS


def finished(calls: Sequence[Exchange], script: Script) -> bool:
    """Whether the upstream said of any of its answers that it is finished."""
    return any(
        call.status == 200
        and call.answered_at is not None
        and script.at(number).fault in (None, "malformed")
        and number >= len(script.refusals)
        for number, call in enumerate(calls)
    )


def _question_of(exchange: Exchange) -> object:
    messages = [message for message in exchange.body.get("messages", ()) if message["role"] == "user"]
    return messages[-1]["content"] if messages else None


def _last_seen(asked: Asked) -> float:
    return max((subscriber.ended_at for subscriber in asked.subscribers), default=0.0) or float("inf")


def kind_of(error: BaseException) -> Failing:
    """A gap and an overlap are told apart by where the reader was."""
    if isinstance(error, Disjoint):
        return "gaps" if error.after > error.at else "repeats"
    if isinstance(error, TimeoutError):
        return "runs without an end"
    return "errors seen"
