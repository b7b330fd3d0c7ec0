"""The runs of one worker: which it starts, holds, gives up and finds abandoned."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from headwater.config import Config
from headwater.core.events import End, Entry
from headwater.core.lifecycle import end_cancelled
from headwater.core.run import Run
from headwater.entropy import full_jitter, new_tag
from headwater.errors import StoreUnavailable
from headwater.executor.attempts import Attempts
from headwater.executor.committer import Committer
from headwater.executor.failures import Failures
from headwater.executor.healing import Healing
from headwater.executor.holding import Holding
from headwater.executor.production import Production
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.providers.catalog import Catalog
from headwater.store.base import Claim, Lease, Stale, Store
from headwater.tasks import say_why_it_failed

log = logging.getLogger("headwater.executor")

# How often silent upstreams are looked for: no timeout is stated finer than this.
WATCH_S = 0.25
# While the models of a server are changed its workers may know different ones: so long a run is left to those that know
# its model, four of their sweeps. Then whoever finds it says that nobody does.
STRANGE_S = 2.0
# A store that fails over is back after seconds, so a few looks at what ended are enough.
HEAL_EVERY_S = 2.0
# For what a drain stopped to be written.
DRAIN_ENDS_S = 2.0
# A worker that did nothing itself for so long, frozen or starved, blames nobody for it. No timeout is as short.
STANDSTILL_S = 1.0
# Abandoned runs looked at in one sweep; the next comes soon.
SWEEP_MAX = 500


class Executor:
    """Takes leases, lets providers produce, and closes what others left behind."""

    def __init__(
        self,
        worker: str,
        store: Store,
        hub: Hub,
        catalog: Catalog,
        config: Config,
        metrics: Metrics,
        on_ended: Callable[[Run, End], None] = lambda run, end: None,
    ) -> None:
        self.worker = worker
        self.draining = False
        self._store = store
        self._catalog = catalog
        self._hub = hub
        self._config = config
        self._metrics = metrics
        self._on_ended = on_ended
        self._holding = Holding(worker, store, config, hub.publish)
        self._committer = Committer(store, config, metrics, self._holding.take_again, self._on_stored)
        self._productions: dict[str, Production] = {}
        self._starting: set[str] = set()
        self._claims = 0
        self._claimed: dict[str, Lease] = {}
        self._waiting: dict[str, int] = {}
        self._healing = Healing(store, config, self._committer.add, lambda run_id: hub.set_producing(run_id, False))
        self._tasks: set[asyncio.Task[None]] = set()
        self._abandoned: dict[str, int] = {}
        self._strange: dict[str, float] = {}
        self._failures = Failures()
        self._attempts = Attempts(catalog, config, metrics)

    def __repr__(self) -> str:
        return (
            f"<Executor {self.worker} producing={len(self._productions)} starting={len(self._starting)} "
            f"waiting={len(self._waiting)} healing={len(self._healing)}{' draining' if self.draining else ''}>"
        )

    @property
    def loops(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run for as long as this worker does."""
        return (
            self._committer.commit_for_ever,
            self._renew_for_ever,
            self._watch_for_ever,
            self._sweep_for_ever,
            self._heal_for_ever,
        )

    # -- starting

    @property
    def is_full(self) -> bool:
        """Whether a new run would have to wait behind as many as may wait."""
        return len(self._waiting) >= self._config.max_queued

    def claim(self) -> Claim | None:
        """Keep room for a run that is about to be created, if there is room. Whoever asked says what came of it."""
        if self.draining or not self._has_room:
            return None
        self._claims += 1
        return Claim(new_tag(), self.worker, self._config.lease_s)

    def claimed(self, lease: Lease) -> None:
        """A run was created under a claim: produce it when it is woken."""
        self._claims -= 1
        self._starting.add(lease.run.id)
        self._claimed[lease.run.id] = lease
        self._hub.set_producing(lease.run.id, True)

    def doubt(self, run_id: str, claim: Claim) -> None:
        """The store did not say whether it created the run: if it did, produce it for whoever asks again."""
        self._claims -= 1
        self._start(run_id, 0, tag=claim.tag)

    def disclaim(self) -> None:
        """Nothing was created: the room that was kept is free."""
        self._claims -= 1
        self._start_waiting()

    def wake(self, run_id: str, token: int = 0) -> None:
        """Start this run, whose newest lease has `token`, as soon as there is room."""
        lease = self._claimed.pop(run_id, None)
        if lease is not None:
            self._start(run_id, token, lease=lease)
            return
        if self.draining or run_id in self._starting or run_id in self._productions:
            return
        if self._has_room:
            self._start(run_id, token)
        elif not self.is_full:
            self._waiting[run_id] = token
        # else a sweep finds it when there is room: it is in the store.

    @property
    def _has_room(self) -> bool:
        return len(self._productions) + len(self._starting) + self._claims < self._config.max_runs

    def _start(self, run_id: str, token: int, *, lease: Lease | None = None, tag: int | None = None) -> None:
        self._waiting.pop(run_id, None)
        self._starting.add(run_id)
        task = asyncio.create_task(self._produce(run_id, token, lease, tag or new_tag()), name=f"produce {run_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(say_why_it_failed)

    def _start_waiting(self) -> None:
        while self._waiting and self._has_room and not self.draining:
            run_id, token = next(iter(self._waiting.items()))
            del self._waiting[run_id]
            self.wake(run_id, token)

    # -- producing

    async def _produce(self, run_id: str, token: int, lease: Lease | None, tag: int) -> None:
        try:
            lease = lease or await self._holding.take(run_id, token, tag)
            production = self._admit(lease) if lease is not None else None
        finally:
            self._starting.discard(run_id)
        if production is None:
            self._start_waiting()  # the room that was kept for it is free
            return
        try:
            assert lease is not None
            end = await self._answer(production, lease)
            if end is None:
                end = await self._hand_over(production)
            if end is not None:
                production.log.finish(end)
                self._committer.add(production)
                await production.settled.wait()
        finally:
            await self._dismiss(production)

    def _admit(self, lease: Lease) -> Production:
        run = lease.run
        production = Production(lease, self._config, self._metrics, self._committer.add)
        self._productions[run.id] = production
        self._healing.discard(run.id)
        self._hub.set_producing(run.id, True)
        self._hub.publish(run.id, run.status)
        self._metrics.runs_started.labels(run.model).inc()
        self._metrics.runs_producing.set(len(self._productions))
        if run.cancelled:
            production.stop("cancelled")
        return production

    async def _answer(self, production: Production, lease: Lease) -> End | None:
        """Produce until there is an end; None where it was stopped to be handed over."""
        before = await self._holding.read(production) if lease.token > 1 else None
        if before is not None:
            production.go_on_from(before)
        if self._leaves(production):
            production.stop("handed_over")
        return await self._attempts.answer(production, before, leases=lease.token - 1, released=lease.released)

    async def _hand_over(self, production: Production) -> End | None:
        """Let another go on from all that came; the end instead, where none can or it was cancelled meanwhile."""
        attempt = self._attempts.handover(production)
        if attempt is None:
            return production.end_drained()
        production.leave(attempt)
        await production.settled.wait()
        if production.is_cancelled:
            production.settled.clear()
            return end_cancelled(production.log.usage())
        if not production.log.lost:
            await self._holding.let_go(production.run.id, production.token)
        return None

    async def _dismiss(self, production: Production) -> None:
        run_id = production.run.id
        del self._productions[run_id]
        self._metrics.runs_producing.set(len(self._productions))
        if production.log.ended:
            self._healing.add(production)
        else:
            if production.damaged:
                log.error("run %s: its log is damaged", run_id)
                await self._holding.give_up(run_id, production.token, production.tag)
            self._hub.set_producing(run_id, False)
        self._start_waiting()

    def _on_stored(self, production: Production, entry: Entry, first: bool) -> None:
        end = entry.events[-1]
        try:
            self._hub.publish(production.run.id, entry)
        finally:  # what was used is counted, whatever a reader's form makes of it
            if first and isinstance(end, End):
                self._record(production, end)
                self._on_ended(production.run, end)

    def _record(self, production: Production, end: End) -> None:
        model = production.run.model
        self._metrics.runs_ended.labels(model, end.status, end.reason or "").inc()
        if end.usage is not None:
            self._metrics.tokens.labels(model, "input").inc(end.usage.input_tokens)
            self._metrics.tokens.labels(model, "output").inc(end.usage.output_tokens)
        self._failures.note(model, end, asyncio.get_running_loop().time())

    # -- stopping

    def stop_cancelled(self, run_id: str) -> None:
        """The store has accepted a cancel of this run: if it is produced here, stop at once; it waits for no room."""
        self._waiting.pop(run_id, None)
        production = self._productions.get(run_id)
        if production is not None:
            production.stop("cancelled")

    async def drain(self, within_s: float) -> None:
        """Start nothing more, and hand over what others can go on with; the rest may finish within so many seconds.

        Where the store is ours alone nobody is there to take over but our successor, so all may finish. What has not
        is handed over to it, or ends.
        """
        self.draining = True
        self._waiting.clear()
        deadline = asyncio.get_running_loop().time() + within_s
        for production in tuple(self._productions.values()):
            if self._leaves(production):
                production.stop("handed_over")
            await asyncio.sleep(0)  # each looks at a whole answer, and leases must be renewed meanwhile
        if not await self._all_done(deadline):
            for production in tuple(self._productions.values()):
                production.stop("handed_over")
            await self._all_done(deadline + DRAIN_ENDS_S)

    def _leaves(self, production: Production) -> bool:
        """Whether to hand it over at once."""
        if not (self.draining and self._store.shared):
            return False
        attempt = self._attempts.handover(production)
        return attempt is not None and attempt.how == "continued"

    async def close(self) -> None:
        """Drain without waiting for answers, and leave no task behind."""
        await self.drain(0.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _all_done(self, deadline: float) -> bool:
        if self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(tuple(self._tasks), timeout=max(0.0, left))
        return not self._tasks

    # -- looking after

    async def _renew_for_ever(self) -> None:
        tries = 0
        while True:
            # After a failure soon again: once the store is back, a renewal must come before others' sweeps.
            await asyncio.sleep(full_jitter(tries, base_s=0.05, cap_s=0.2) if tries else self._config.renew_s)
            held = [production for production in self._productions.values() if not production.settled.is_set()]
            if not held:
                continue
            try:
                results = await self._holding.renew(held)
            except StoreUnavailable:
                self._metrics.store_failures.inc()
                tries += 1
                continue
            tries = 0
            for production, result in zip(held, results, strict=True):
                if result.cancelled:
                    production.stop("cancelled")
                elif not result.held and not production.log.ended:
                    production.stop("lost")

    async def _watch_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(WATCH_S)
            now = loop.time()
            stood_still_s, before = now - before - WATCH_S, now
            since = self._committer.unanswered_since
            store_lost = since is not None and now - since > self._config.store_patience_s
            for production in tuple(self._productions.values()):
                if store_lost:
                    production.stop("store_unavailable")
                elif stood_still_s > STANDSTILL_S:
                    production.wait_longer(stood_still_s)  # we have heard nothing, whatever was said
                elif production.overdue(now):
                    production.stop("too_late")

    async def _sweep_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        not_before = 0.0
        while True:
            await asyncio.sleep(self._config.sweep_s)
            try:
                await self._sweep(take=loop.time() >= not_before)
            except StoreUnavailable:
                # An outage starts the count again, and from its end on living producers are given time to come back.
                self._abandoned.clear()
                not_before = loop.time() + self._config.lease_s

    async def _heal_for_ever(self) -> None:
        tries = 0
        while True:
            # After a failure soon again: what a failover has lost must be there before others' sweeps.
            await asyncio.sleep(full_jitter(tries, base_s=0.05, cap_s=0.2) if tries else HEAL_EVERY_S)
            try:
                await self._healing.compare()
                tries = 0
            except StoreUnavailable:
                tries += 1

    async def _sweep(self, *, take: bool) -> None:
        """Take what was let go of, and, where it is time, what two answered sweeps in a row showed to be nobody's."""
        stale = [s for s in await self._store.stale(SWEEP_MAX) if not self._is_here(s)]
        now = asyncio.get_running_loop().time()
        self._strange = {one.run_id: self._strange.get(one.run_id, now) for one in stale if not self._knows(one)}
        found = [
            one
            for one in stale
            if (one.released or (take and self._abandoned.get(one.run_id) == one.token))
            and now - self._strange.get(one.run_id, -math.inf) >= STRANGE_S
        ]
        if (begun := sum(one.token > 0 for one in found)) and not self.draining:
            log.info("%d runs have lost their worker, and go on here if nobody else is faster", begun)
        for one in found:
            self.wake(one.run_id, one.token)
        self._abandoned = {one.run_id: one.token for one in stale}

    def _knows(self, one: Stale) -> bool:
        return self._catalog.serves(one.model)

    def _is_here(self, one: Stale) -> bool:
        here = one.run_id in self._productions or one.run_id in self._starting
        return here or self._healing.heals(one.run_id, one.token)
