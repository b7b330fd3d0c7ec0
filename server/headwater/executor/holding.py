"""Holding runs by their leases: taking one, reading what others made of it, renewing, letting go, giving up."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from headwater.config import Config
from headwater.core.events import Entry
from headwater.core.lifecycle import end_failed
from headwater.entropy import full_jitter
from headwater.errors import DamagedLog, HeadwaterError, StoreUnavailable
from headwater.executor.production import Production
from headwater.store.base import Contents, Lease, RenewResult, Store

log = logging.getLogger("headwater.executor")

# Failures to take a lease before the run is left to the sweep, a second or two later.
TAKE_TRIES = 5


class Holding:
    """A worker's leases. `on_ended` is told of the end of a run that was given up."""

    def __init__(self, worker: str, store: Store, config: Config, on_ended: Callable[[str, Entry], None]) -> None:
        self._worker = worker
        self._store = store
        self._config = config
        self._on_ended = on_ended
        self._renewing = asyncio.Lock()

    async def take(self, run_id: str, token: int, tag: int) -> Lease | None:
        """Take a run whose newest lease has `token`; None where somebody else has it, or the store does not answer."""
        tries = 0
        while True:
            try:
                return await self._store.take_lease(
                    run_id, seen=token, tag=tag, holder=self._worker, lease_s=self._config.lease_s
                )
            except DamagedLog as error:
                log.error("run %s cannot be produced: %s", run_id, error.detail)
                await self.give_up(run_id, token, tag)
                return None
            except StoreUnavailable:
                tries += 1
                if tries > TAKE_TRIES:
                    return None  # a sweep comes back to it
                await asyncio.sleep(full_jitter(tries, base_s=0.05, cap_s=0.5))

    async def read(self, production: Production) -> Contents | None:
        """What others made of a run before it was taken; None where this worker is to write nothing of it."""
        tries = 0
        while not production.is_lost:
            try:
                contents = await self._store.contents(production.run.id)
            except DamagedLog:
                production.damaged = True
                contents = None
            except StoreUnavailable:
                tries += 1
                await asyncio.sleep(full_jitter(tries, base_s=0.05, cap_s=0.5))
                continue
            if contents is not None and contents.position == production.log.top:
                return contents
            production.abandon()  # the store has lost what it had when the run was taken: whoever takes it next sees
        return None

    async def take_again(self, production: Production) -> Lease | None:
        """Take a run whose taking the store has lost with its last writes; None where it is not ours any more."""
        return await self._store.take_lease(
            production.run.id,
            seen=production.token - 1,
            tag=production.tag,
            holder=self._worker,
            lease_s=self._config.lease_s,
        )

    async def renew(self, productions: Sequence[Production]) -> list[RenewResult]:
        """Extend their leases. Raises StoreUnavailable."""
        async with self._renewing:
            held = [(production.run.id, production.token) for production in productions]
            results = await self._store.renew_leases(held, self._config.lease_s)
            for n, (production, result) in enumerate(zip(productions, results, strict=True)):
                if not result.held and not production.settled.is_set():
                    lease = await self.take_again(production)
                    if lease is not None:
                        results[n] = RenewResult(True, lease.run.cancelled)
            return results

    async def let_go(self, run_id: str, token: int) -> None:
        """Let another take the run at once; where the store does not answer, as soon as the lease runs out."""
        async with self._renewing:  # a renewal that is under way would hold it again
            with suppress(StoreUnavailable):
                await self._store.release_lease(run_id, token)

    async def give_up(self, run_id: str, token: int, tag: int) -> None:
        """End a run of which too little is left to produce it."""
        end = end_failed("internal_error", "What is stored of this run is damaged.")
        try:
            entry = await self._store.give_up(run_id, seen=token, tag=tag, end=end)
        except HeadwaterError as error:
            log.error("run %s cannot be ended either: %s", run_id, error.detail)
            return
        if entry is not None:
            self._on_ended(run_id, entry)
