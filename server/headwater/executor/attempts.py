"""The attempts at one run: which upstream is asked, and who goes on where one broke off."""

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from msgspec.structs import replace

from headwater.config import Config
from headwater.core.events import Attempt, End, How, Reason
from headwater.core.lifecycle import end_failed, end_incomplete
from headwater.core.recovery import DEATHS_MAX, Shown, deaths_in_a_row, is_refusal, may_pass
from headwater.core.run import Run
from headwater.entropy import full_jitter
from headwater.errors import HeadwaterError, UnknownModel
from headwater.executor.production import Production
from headwater.executor.upstreams import Upstreams
from headwater.metrics import Metrics
from headwater.providers.base import Written
from headwater.providers.catalog import Catalog, Model
from headwater.store.base import Contents

log = logging.getLogger("headwater.executor")

# Failures of one model, in one run, without a token that stays: once may be chance.
FRUITLESS_MAX = 2
# Before a model is asked again that has just failed so.
PAUSE_S = 0.2
PAUSE_MAX_S = 1.0


class Attempts:
    """Leads runs through their attempts. One for all of a worker's runs, as they share what is known of upstreams."""

    def __init__(self, catalog: Catalog, config: Config, metrics: Metrics) -> None:
        self._catalog = catalog
        self._config = config
        self._upstreams = Upstreams(config, metrics)

    async def answer(
        self, production: Production, before: Contents | None, *, leases: int, released: bool
    ) -> End | None:
        """Produce until there is an end; None where it was stopped to be handed over.

        `before` is what others made of it, under `leases` leases, the last of them `released` or not.
        """
        try:
            candidates = self._candidates(production.run)
        except UnknownModel as error:
            if production.shown().began:
                return end_incomplete(
                    "producer_lost", f"Nobody can go on with it. {error.detail}", production.log.usage()
                )
            return end_failed("upstream_unreachable", error.detail, production.log.usage())
        tries = _Tries(production, candidates, self._config, self._upstreams)
        if production.is_stopped:
            pass  # which its end, or whoever goes on, will say
        elif before is None:
            tries.begin()
        elif (end := tries.take_over(before, leases, released)) is not None:
            return end
        while True:
            end = await tries.ask()
            if end is None:
                return None
            if not tries.go_on_after(end):
                return tries.last_word(end)

    def handover(self, production: Production) -> Attempt | None:
        """What to write where another worker is to go on with this run; None if none can."""
        run, shown = production.run, production.shown()
        if production.number >= self._config.max_attempts:
            return None
        try:
            candidates = self._candidates(run)
        except UnknownModel:
            return None
        if not shown.began or _able(candidates, shown, run, self._config):
            return Attempt(production.number + 1, "drain", "continued")
        return Attempt(production.number + 1, "drain", "restarted") if _may_restart(run, candidates) else None

    def _candidates(self, run: Run) -> list[Model]:
        """Who may answer, in order. Raises UnknownModel for the run's own.

        Fallbacks that are gone, or to which the request cannot be put, are left out.
        """
        candidates = [self._catalog.get(run.model)]
        for name in candidates[0].fallbacks if run.request.failover else ():
            with suppress(HeadwaterError):
                fallback = self._catalog.get(name)
                fallback.provider.check(run.request)
                candidates.append(fallback)
        return candidates


def _able(candidates: Sequence[Model], shown: Shown, run: Run, config: Config) -> list[Model]:
    """Those that can go on from what there is of an answer."""
    if not shown.may_be_continued(run.request, config.continue_bytes):
        return []
    return [model for model in candidates if model.provider.continues(run.request)]


def _may_restart(run: Run, candidates: Sequence[Model]) -> bool:
    """Whether the answer may begin anew, which withdraws what was shown."""
    return candidates[0].restart if run.request.restart is None else run.request.restart


class _Tries:
    """What was tried for one run on this worker, and what comes next."""

    def __init__(
        self, production: Production, candidates: Sequence[Model], config: Config, upstreams: Upstreams
    ) -> None:
        self._production = production
        self._run = production.run
        self._candidates = candidates
        self._config = config
        self._upstreams = upstreams
        self._fruitless: Counter[str] = Counter()
        self._unable: set[str] = set()
        """Those that said that they cannot continue this one."""
        self._asked_enough: set[str] = set()
        """Those that refused, or were silent, since the last token came."""
        self._model = candidates[0]
        """Who is asked."""
        self._broken_off: End | None = None
        """How the last attempt ended that brought something."""
        self._taken_over = False
        self._written: Written | None = None
        self._pause_s = 0.0

    def begin(self) -> None:
        """Nobody was asked yet."""
        if self._upstreams.prefer(self._candidates) is not self._model:
            self._begin("failover", self._candidates)

    def take_over(self, before: Contents, leases: int, released: bool) -> End | None:
        """Others have begun: the end, if nobody may go on."""
        self._taken_over = True
        last = next((attempt.model for attempt in reversed(before.attempts) if attempt.model is not None), None)
        self._model = next((model for model in self._candidates if model.name == last), self._model)
        if deaths_in_a_row(before.attempts, before.tries, leases, released=released) >= DEATHS_MAX:
            return self._lost(f"{DEATHS_MAX} workers in a row died over it before a token came")
        order = [self._model, *self._others()]
        if released and self._is_told(before) and self._choose(order) == "continued":
            return None
        if self._begin("takeover", order):
            return None
        return self._lost("what it had written cannot be continued")

    def _is_told(self, before: Contents) -> bool:
        """Whether the log says already that somebody goes on from here, or nothing was ever asked."""
        return not before.tries[-1] and (not before.attempts or before.attempts[-1].reason == "drain")

    async def ask(self) -> End | None:
        """One attempt."""
        self._upstreams.asked(self._model)
        end = await self._production.generate(self._model, self._written, self._pause_s)
        if end is not None:
            self._upstreams.answered(self._model, end)
        return end

    def go_on_after(self, end: End) -> bool:
        """Whether there is another attempt after one that ended so; it has begun then."""
        production, model, continuing = self._production, self._model, self._written is not None
        if not self._run.request.failover or not may_pass(end, continuing=continuing):
            return False
        if continuing and is_refusal(end):
            self._unable.add(model.name)
        if production.brought_something:
            self._broken_off = end
        if production.brought_something and self._left_who_can_continue(self._candidates):
            self._fruitless[model.name] = 0
            self._asked_enough.clear()
            order = [model, *self._others()]
        else:
            self._fruitless[model.name] += 1
            if not self._is_worth_asking_again(end):
                self._asked_enough.add(model.name)
            order = [*self._others(), model]
        if not self._begin("failover", order):
            return False
        log.info("run %s: model %r failed (%s); next is %r", self._run.id, model.name, end.reason, self._model.name)
        return True

    def last_word(self, end: End) -> End:
        """How the run ends: what broke the answer off is the reason, and not that nobody could go on with it."""
        production = self._production
        if production.brought_something or not may_pass(end, continuing=True) or not production.shown().began:
            return end
        if self._broken_off is None:
            return self._lost("nobody could go on with it") if self._taken_over else end
        return replace(self._broken_off, usage=production.log.usage())

    def _is_worth_asking_again(self, end: End) -> bool:
        """Not one that was asked several times already, or for which was waited as long as anybody may."""
        asked_enough = end.error is not None and end.error.upstream_status is not None
        return not asked_enough and end.reason not in ("upstream_unreachable", "first_token_timeout", "internal_error")

    def _others(self) -> list[Model]:
        """The other candidates: those after the one that was asked first."""
        at = self._candidates.index(self._model)
        return [*self._candidates[at + 1 :], *self._candidates[:at]]

    def _begin(self, reason: Reason, order: Sequence[Model]) -> bool:
        """Choose who is asked next, and write that an attempt begins; False if there is nobody, or enough was tried."""
        production, model = self._production, self._model
        if production.number >= self._config.max_attempts:
            return False
        how = self._choose(order)
        if how is None:
            return False
        name = None if self._model is model else self._model.name
        production.begin_attempt(Attempt(production.number + 1, reason, how, name))
        return True

    def _choose(self, order: Sequence[Model]) -> How | None:
        """Who is asked next, with what, and what that means for readers; None if there is nobody."""
        shown = self._production.shown()
        able = self._left_who_can_continue(order) if shown.began else []
        if able:
            self._ask_next(able, Written(shown.text, shown.tokens))
            return "continued"
        left = self._left(order)
        if not left or (shown.began and not _may_restart(self._run, self._candidates)):
            return None
        self._ask_next(left, None)
        return "restarted" if shown.began else "continued"

    def _left(self, order: Sequence[Model]) -> list[Model]:
        return [
            model
            for model in order
            if self._fruitless[model.name] < FRUITLESS_MAX and model.name not in self._asked_enough
        ]

    def _left_who_can_continue(self, order: Sequence[Model]) -> list[Model]:
        able = _able(self._left(order), self._production.shown(), self._run, self._config)
        return [model for model in able if model.name not in self._unable]

    def _ask_next(self, models: Sequence[Model], written: Written | None) -> None:
        self._model = self._upstreams.prefer(models)
        self._written = written
        failures = self._fruitless[self._model.name]
        self._pause_s = full_jitter(failures, base_s=PAUSE_S, cap_s=PAUSE_MAX_S) if failures else 0.0

    def _lost(self, why: str) -> End:
        detail = f"The worker that produced this answer stopped before it was finished, and {why}."
        return end_incomplete("producer_lost", detail, self._production.log.usage())
