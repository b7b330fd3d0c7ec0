"""Group commit: the new events of all of a worker's runs, one store request at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from headwater.config import Config
from headwater.core.events import Entry, encode_events
from headwater.core.position import START
from headwater.core.producer import Answer
from headwater.entropy import full_jitter
from headwater.errors import StoreUnavailable
from headwater.executor.production import Production
from headwater.metrics import Metrics
from headwater.store.base import Append, AppendResult, Lease, Outcome, Store

log = logging.getLogger("headwater.executor")

_REFUSALS = {
    Outcome.CANCELLED: Answer.CANCELLED,
    Outcome.BEHIND: Answer.BEHIND,
    Outcome.FENCED: Answer.LOST,
    Outcome.ENDED: Answer.LOST,
    Outcome.GONE: Answer.LOST,
    Outcome.DAMAGED: Answer.LOST,
}
# Entries that would come within the longer wait, from which on it is taken: the hand-over is else most of the cost.
BUSY_ENTRIES = 16
# Entries in one store request: a full worker's, without holding the store's one writer for long.
COMMIT_MAX = 2_000


class Committer:
    """While one commit is under way the next is collected.

    `on_stored` hears of each entry once it is durable, and whether that is the first time. Those that joined a log
    while its store had lost an entry know it only from the second.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        metrics: Metrics,
        take_again: Callable[[Production], Awaitable[Lease | None]],
        on_stored: Callable[[Production, Entry, bool], None],
    ) -> None:
        self.unanswered_since: float | None = None
        """On the loop's clock: since when the store has not answered."""
        self._store = store
        self._config = config
        self._metrics = metrics
        self._take_again = take_again
        self._on_stored = on_stored
        self._waiting: dict[str, Production] = {}
        self._more = asyncio.Event()
        self._first = asyncio.Event()

    def add(self, production: Production) -> None:
        """This run has something to append. What an older lease would heal never displaces a newer one's."""
        waiting = self._waiting.get(production.run.id)
        if waiting is None or waiting.token <= production.token:
            self._waiting[production.run.id] = production
        self._more.set()
        if not production.log.begun:
            self._first.set()

    async def commit_for_ever(self) -> None:
        """Commit at once when it was quiet, after that at most once per `commit_ms`, when busy per `commit_busy_ms`."""
        loop = asyncio.get_running_loop()
        tries, before = 0, 0.0
        while True:
            await self._more.wait()
            started, since = loop.time(), before
            before = started
            batch = _frozen(self._collect())
            productions = list(batch)
            if not batch:
                continue
            if self.unanswered_since is None:
                self.unanswered_since = started
            try:
                results = await self._append(list(batch.values()))
                await self._lease_again(productions, results)
            except StoreUnavailable as error:
                tries += 1
                self._note_failure(error, tries)
                for production in productions:
                    self._waiting.setdefault(production.run.id, production)
                self._more.set()
                await asyncio.sleep(full_jitter(tries, base_s=0.05, cap_s=1.0))
                continue
            tries, self.unanswered_since = 0, None
            self._settle(batch, results)
            self._metrics.commits.observe(loop.time() - started)
            self._metrics.appends.inc(len(results))
            self._metrics.events.inc(sum(len(append.entry.events) for append in batch.values()))
            passed_ms = 1000 * (started - since) or 1.0  # what uvloop's clock can tell apart
            expected = len(results) / passed_ms * self._config.commit_busy_ms
            await self._let_more_come(started, busy=expected >= BUSY_ENTRIES)

    async def _let_more_come(self, since: float, *, busy: bool) -> None:
        """Wait for what the next commit shall hold; when busy for longer, but not with an answer's beginning."""
        loop = asyncio.get_running_loop()
        left = since + self._config.commit_ms / 1000 - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        if busy:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(since + self._config.commit_busy_ms / 1000):
                    await self._first.wait()

    def _collect(self) -> list[Production]:
        """The runs of the next commit, those that waited longest first."""
        self._first.clear()
        waiting, self._waiting = self._waiting, {}
        if len(waiting) > COMMIT_MAX:
            rest = list(waiting)[COMMIT_MAX:]
            self._waiting = {run_id: waiting.pop(run_id) for run_id in rest}
        else:
            self._more.clear()
        return [production for production in waiting.values() if production.log.has_more]

    async def _append(self, batch: Sequence[Append]) -> list[AppendResult]:
        """One group commit; where the store chokes on one run, each alone, so that it fails no other."""
        try:
            return await self._store.append(batch)
        except StoreUnavailable:
            raise
        except Exception:
            if len(batch) == 1:
                log.exception("run %s: its log cannot be written", batch[0].run_id)
                return [AppendResult(Outcome.FENCED, START)]
            return [result for item in batch for result in await self._append([item])]

    async def _lease_again(self, productions: Sequence[Production], results: list[AppendResult]) -> None:
        """Where the store lost the taking of a lease with its last writes, nobody has it, and it can be had again."""
        for n, (production, result) in enumerate(zip(productions, results, strict=True)):
            if result.outcome is Outcome.FENCED and not production.log.lost:
                lease = await self._take_again(production)
                if lease is not None:
                    results[n] = AppendResult(Outcome.BEHIND, lease.run.position, lease.run.cancelled)

    def _settle(self, batch: Mapping[Production, Append], results: Sequence[AppendResult]) -> None:
        for (production, append), result in zip(batch.items(), results, strict=True):
            outcome = result.outcome
            if outcome is Outcome.STORED:
                first = production.log.answered(Answer.STORED, result.top) is not None
                self._tell(production, append.entry, first)
            else:
                log.info("run %s: an append was refused: %s", production.run.id, outcome.value)
                production.damaged = outcome is Outcome.DAMAGED
                production.log.answered(_REFUSALS[outcome], result.top)
            if result.cancelled:
                production.stop("cancelled")
            production.answered()
            if production.log.has_more:
                self.add(production)

    def _tell(self, production: Production, entry: Entry, first: bool) -> None:
        """Whoever listens may fail; the runs behind it in this commit may not."""
        try:
            self._on_stored(production, entry, first)
        except Exception:
            log.exception("run %s: its readers were not told of %s", production.run.id, entry.position)

    def _note_failure(self, error: StoreUnavailable, tries: int) -> None:
        self._metrics.store_failures.inc()
        if tries == 1:
            why = error.__cause__ or error.detail
            log.warning("the store does not answer; output is kept and sent again: %s", why)


def _frozen(productions: Sequence[Production]) -> dict[Production, Append]:
    """What each run appends next. One that cannot be written, as text that is no Unicode, is given up alone."""
    batch = {}
    for production in productions:
        try:
            batch[production] = _freeze(production)
        except Exception:
            log.exception("run %s: its output cannot be written", production.run.id)
            production.log.lose()
            production.answered()
    return batch


def _freeze(production: Production) -> Append:
    """The run's next append, the same object until the store has answered for it."""
    entry = production.log.next_entry()
    assert entry is not None, "only runs with something to append are collected"
    frozen = production.frozen
    if frozen is None or frozen.entry is not entry:
        frozen = production.frozen = Append(production.run.id, production.token, entry, encode_events(entry.events))
    return frozen
