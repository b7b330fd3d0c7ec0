"""One run in production on this worker: from its lease to its stored end, or until it is handed over."""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import aclosing
from typing import Literal, TypedDict

from headwater.config import Config
from headwater.core.calls import CallIds
from headwater.core.events import Attempt, End, ToolCall, Usage
from headwater.core.lifecycle import end_cancelled, end_failed, end_finished, end_incomplete
from headwater.core.producer import ProducerLog
from headwater.core.recovery import Shown
from headwater.core.run import Run
from headwater.metrics import Metrics
from headwater.providers.base import Finish, Provider, ProviderError, Step, Written
from headwater.providers.catalog import Model
from headwater.store.base import Append, Contents, Lease

log = logging.getLogger("headwater.executor")

Stop = Literal["cancelled", "lost", "too_late", "store_unavailable", "handed_over"]

# Output of one run that may wait for the store: beyond, its upstream is no longer read.
BACKLOG_BYTES = 1024 * 1024
# JavaScript's largest whole number: no answer has as many tokens.
COUNT_MAX = 2**53


class Production:
    """Turns a provider's stream into the run's log and an honest end.

    `on_more` is called when there is something to append.
    """

    def __init__(self, lease: Lease, config: Config, metrics: Metrics, on_more: Callable[["Production"], None]) -> None:
        self.run: Run = lease.run
        self.token = lease.token
        self.tag = lease.tag
        self.damaged = False
        """The store cannot write its log."""
        self.log = ProducerLog(lease.run.position, lease.tag, config.append_bytes)
        self.frozen: Append | None = None
        """The append that the store has not answered for."""
        self.deadline: float | None = None
        """On the loop's clock: when the upstream is given up. None while it is not its turn."""
        self.settled = asyncio.Event()
        """The end is stored, or the run is another's, or all is stored of one that is handed over."""
        self.settled_at: float | None = None
        self._config = config
        self._metrics = metrics
        self._on_more = on_more
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._before: Contents | None = None
        self._first_seen = False
        self._began = False
        """A delta of this attempt came."""
        self._calls = CallIds(f"call_{lease.run.id.removeprefix('run_')}")
        self._attempt: Attempt | None = None
        self._finish: Finish | None = None
        self._stop: Stop | None = None
        self._leaving = False
        self._generating: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._waits_for_room = False
        self._first_timeout = config.first_token_timeout_s
        self._idle_timeout = config.idle_timeout_s

    def __repr__(self) -> str:
        return f"<Production {self.run.id} token={self.token} stop={self._stop} {self.log!r}>"

    # -- attempts

    @property
    def number(self) -> int:
        """Of the attempt that is under way."""
        attempts = self._before.attempts if self._before is not None else []
        number = attempts[-1].number if attempts else 1
        return self._attempt.number if self._attempt is not None else number

    def go_on_from(self, before: Contents) -> None:
        """Another began it: this is what there is of it, and was paid for."""
        self._before = before
        self.log.output_bytes = len(before.text.encode())
        for attempt in before.attempts:
            self.log.charge(attempt.usage)
        if before.tries[-1]:  # of the last one only the deltas are known
            self.log.reported = Usage(output_tokens=before.tries[-1], estimated=True)

    def shown(self) -> Shown:
        """What there is of the answer."""
        before = self._before
        if before is None:
            shown = Shown()
        else:
            since = max((n for n, one in enumerate(before.attempts, 1) if one.how == "restarted"), default=0)
            shown = Shown(before.parts, sum(before.tries[since:]))
        for event in self.log.events():
            shown.add(event)
        return shown

    def begin_attempt(self, attempt: Attempt) -> None:
        """What comes from now on is of this attempt."""
        self._attempt = attempt
        self.log.add_attempt(attempt)
        self._metrics.attempts.labels(self.run.model, attempt.reason, attempt.how).inc()
        if attempt.how == "restarted":
            self._calls = CallIds(f"call_{self.run.id.removeprefix('run_')}_{attempt.number}")
        self._on_more(self)

    async def generate(self, model: Model, written: Written | None = None, wait_s: float = 0.0) -> End | None:
        """Ask the model, after a pause, for the answer or the rest of it; append what comes, and say how it ended.

        Does not append the end. None if it was stopped to be handed over.
        """
        self._first_timeout = model.first_token_timeout_s or self._config.first_token_timeout_s
        self._idle_timeout = model.idle_timeout_s or self._config.idle_timeout_s
        self._began, self._finish = False, None
        if self._stop == "too_late":  # the attempt before was
            self._stop = None
        self._generating = asyncio.current_task()
        try:
            if self._stop is None:
                if wait_s:
                    await asyncio.sleep(wait_s)
                await self._read(model.provider, written)
            return self._end()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._stop is None or task is None:
                raise
            task.uncancel()
            return self._end_stopped(self._stop)
        except ProviderError as error:
            return self._end_broken(error)
        except Exception:
            log.exception("run %s: the provider of %s failed", self.run.id, model.name)
            return end_failed("internal_error", "The provider failed; the server's log says how.", self.log.usage())
        finally:
            self._generating = None
            self.deadline = None

    async def _read(self, provider: Provider, written: Written | None) -> None:
        self.deadline = self._loop.time() + self._first_timeout
        request = self.run.request
        answer = provider.generate(request) if written is None else provider.generate_from(request, written)
        async with aclosing(answer) as stream:
            async for steps in stream:
                came = self._take(steps)
                if self._finish is not None and self._finish.final:
                    return
                if came:
                    if self.log.waiting_bytes > BACKLOG_BYTES:
                        await self._wait_for_room()
                    self.deadline = self._loop.time() + self._idle_timeout

    def _take(self, steps: list[Step]) -> bool:
        """Whether there was output among them."""
        before = self.log.deltas
        for step in steps:
            if isinstance(step, Finish):
                self._finish = step
                self._report(step.usage)
            elif isinstance(step, Usage):
                self._report(step)
            else:
                self.log.add(self._calls.identified(step) if type(step) is ToolCall else step)
        if self.log.output_bytes > self._config.max_output_bytes:
            raise ProviderError(
                "length", f"The output passed the limit of {self._config.max_output_bytes} bytes for one run."
            )
        if self.log.deltas == before:
            return False
        self._began = True
        if not self._first_seen:
            self._first_seen = True
            self._metrics.first_token_s.labels(self.run.model).observe(self._loop.time() - self._started_at)
        self._on_more(self)
        return True

    def _report(self, usage: Usage | None) -> None:
        """What the provider counted last stands."""
        if usage is not None:
            self.log.reported = _sane(usage)

    async def _wait_for_room(self) -> None:
        """Let the store catch up; the upstream is not at fault meanwhile."""
        self.deadline = None
        self._waits_for_room = True
        while self.log.waiting_bytes > BACKLOG_BYTES and not self.log.lost:
            self._room.clear()
            await self._room.wait()
        self._waits_for_room = False

    def _end(self) -> End | None:
        if self._stop is not None:
            return self._end_stopped(self._stop)
        if self._finish is None:
            return end_incomplete("upstream_cut", "The stream ended before its protocol said so.", self.log.usage())
        return self._end_known(self._finish)

    def _end_known(self, finish: Finish) -> End:
        # The provider's own word is taken as it is, an estimate too: it saw the whole answer.
        return end_finished(finish.reason, self.log.usage(final=finish.usage is not None))

    def _end_broken(self, error: ProviderError) -> End:
        self._report(error.usage)
        usage = self.log.usage()
        detail = error.detail.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        refusal = _refusal(error)
        match error.reason:
            case "upstream_error" | "upstream_unreachable" | "first_token_timeout":
                return end_failed(error.reason, detail, usage, **refusal)
            case "bad_upstream_data" | "internal_error":
                return end_failed(error.reason, detail, usage, **refusal)
            case reason:
                return end_incomplete(reason, detail, usage, **refusal)

    def _end_stopped(self, stop: Stop) -> End | None:
        if self._finish is not None and stop in ("handed_over", "too_late"):
            return self._end_known(self._finish)
        match stop:
            case "handed_over":
                return None
            case "cancelled":
                return end_cancelled(self.log.usage())
            case "lost":
                self.abandon()  # no end is ours to write, not even if the store should take it again
                return end_cancelled(self.log.usage())
            case "store_unavailable":
                detail = f"The store did not answer for {self._config.store_patience_s:g} s."
                return end_incomplete("producer_lost", detail, self.log.usage())
            case "too_late" if not self._began:
                detail = f"The upstream sent nothing for {self._first_timeout:g} s."
                return end_failed("first_token_timeout", detail, self.log.usage())
            case "too_late":
                detail = f"The upstream sent nothing more for {self._idle_timeout:g} s."
                return end_incomplete("idle_timeout", detail, self.log.usage())

    # -- for the executor

    def stop(self, why: Stop) -> None:
        """Close the upstream at once. The first reason stands, but silence is the least, and a cancel the strongest."""
        if self._stop in (None, "too_late") or why == "cancelled":
            self._stop = why
        if why == "cancelled":
            self.log.drop_pending()
            if self._leaving:
                self._settle()
        if self._generating is not None:
            self._generating.cancel()
            self._generating = None

    def end_drained(self) -> End:
        """The end of one that was stopped to be handed over, and that nobody can go on with."""
        detail = "The server was shut down before the answer was finished."
        return end_incomplete("drained", detail, self.log.usage())

    def abandon(self) -> None:
        """Write nothing more: whoever takes the run next finds it as the store has it."""
        self.stop("lost")
        self.log.lose()
        self._settle()

    def leave(self, attempt: Attempt | None) -> None:
        """It was stopped to be handed over: `settled` once all that came is stored, and this after it."""
        self._leaving = True
        if attempt is not None:
            self.begin_attempt(attempt)
        if not self.log.has_more:
            self._settle()

    @property
    def is_cancelled(self) -> bool:
        """Whether a cancel was accepted, as far as is known here."""
        return self._stop == "cancelled"

    @property
    def is_lost(self) -> bool:
        """Whether nothing more of it is written here."""
        return self.log.lost or self._stop in ("lost", "store_unavailable")

    @property
    def is_stopped(self) -> bool:
        """Whether its upstream is asked no more."""
        return self._stop is not None

    @property
    def brought_something(self) -> bool:
        """Whether a delta came in the attempt that is under way, or was last."""
        return self._began

    def wait_longer(self, seconds: float) -> None:
        """The upstream has so much more time: it may have spoken when nobody listened."""
        if self.deadline is not None:
            self.deadline += seconds

    def overdue(self, now: float) -> bool:
        """Whether the upstream has been silent for too long."""
        return self.deadline is not None and now > self.deadline

    def answered(self) -> None:
        """The store has answered for an append: look whether there is room, or nothing left to do."""
        log = self.log
        if self._waits_for_room and (log.waiting_bytes <= BACKLOG_BYTES or log.lost):
            self._room.set()
        if log.lost:
            self.stop("lost")
        elif log.cancelled:
            self.stop("cancelled")
        if log.ended or log.lost or (self._leaving and not log.has_more):
            self._settle()

    def _settle(self) -> None:
        if not self.settled.is_set():
            self.settled_at = self._loop.time()
            self.settled.set()


def _sane(usage: Usage) -> Usage:
    """The same with every count within what counters, SQL and JSON can hold."""
    counts = (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens, usage.cached_tokens)
    sane = [min(max(0, count), COUNT_MAX) for count in counts]
    return Usage(sane[0], sane[1], sane[2], sane[3], usage.estimated)


class _Refusal(TypedDict):
    upstream_status: int | None
    retry_after_s: float | None


def _refusal(error: ProviderError) -> _Refusal:
    """How the upstream refused; whoever writes a provider may put anything there."""
    status, wait_s = error.status, error.retry_after_s
    return {
        "upstream_status": status if isinstance(status, int) and 100 <= status <= 599 else None,
        "retry_after_s": wait_s if isinstance(wait_s, int | float) and 0 <= wait_s < math.inf else None,
    }
