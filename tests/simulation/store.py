"""The store of a simulated world: the plain model of the contract, which can also forget."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

from msgspec.structs import replace

from headwater.core.events import End, Entry, Status, entry_bytes
from headwater.core.lifecycle import ENDED
from headwater.core.position import START, Position
from headwater.core.run import Run
from headwater.store.appends import judge
from headwater.store.base import (
    Append,
    AppendResult,
    Cancelled,
    Claim,
    Contents,
    Created,
    IdempotencyKey,
    Lease,
    Outcome,
    Page,
    Read,
    RenewResult,
    Stale,
    Store,
    Top,
)
from tests.simulation.history import History, Writer
from tests.simulation.weather import Link
from tests.store.model import Model, Row

# As far as a replica may lag: a failover forgets at most this.
LAG_WRITES, LAG_S = 12, 2.0

Announce = Callable[[str, Entry | Status, str], None]
"""A log's id, what happened to it, and the worker that wrote it."""
TellHolder = Callable[[str, str], None]
"""A worker, and the run of it that was cancelled."""
OnTaken = Callable[[str, str, str], None]
"""A run, who held its lease before, and who took it from them."""


class Books(Model):
    """What the store knows. `forget` undoes the last writes, as a failover to a replica that lags does.

    A creation is never forgotten: of a run that is not there nothing is promised.
    """

    def __init__(self, clock: Callable[[], float], say: Callable[[str], None], blame: Callable[[str], None]) -> None:
        super().__init__(clock(), run_ttl_s=1e6)
        self.histories: dict[str, History] = {}
        self.announce: Announce = lambda log_id, news, writer: None
        self.tell_holder: TellHolder = lambda worker, run_id: None
        self.on_taken: OnTaken = lambda run_id, before, after: None
        self.holders: dict[str, str] = {}
        self.cancelled: set[str] = set()
        """Runs that somebody wanted to end, whether or not that was forgotten."""
        self.off_s = 0.0
        """How far its clock is off."""
        self._clock = clock
        self._say = say
        self._blame = blame
        self._undo: deque[tuple[float, Row, Row]] = deque(maxlen=LAG_WRITES)
        self._writer = Writer("", 0)

    def find(self, run_id: str) -> Row | None:
        self.now = self._clock() + self.off_s
        return next((row for row in self.rows if row.run.id == run_id), None)  # nothing expires in so short a time

    def forget(self, writes: int) -> None:
        """Lose the last so many writes."""
        since = self._clock() - LAG_S
        for _ in range(writes):
            if not self._undo or self._undo[-1][0] < since:
                return
            _, row, before = self._undo.pop()
            history = self.histories[row.run.id]
            for event_position in {position for _, position in row.events} - {at for _, at in before.events}:
                history.forgotten.add(event_position)
            row.__dict__.update(before.__dict__)
            self._say(f"forgot {row.run.id} after {row.top}, token {row.run.token}")

    def _remember(self, run_id: str) -> None:
        row = self.find(run_id)
        if row is not None:
            before = Row(**row.__dict__)
            before.log = list(row.log)
            self._undo.append((self._clock(), row, before))

    def read_some(self, run_id: str, after: Position, max_bytes: int) -> Read | None:
        """`read`, of about so many bytes."""
        read = self.read(run_id, after)
        if read is None or not read.entries:
            return read
        sizes = accumulate(entry_bytes(entry) for entry in read.entries)
        few = [
            entry for n, (entry, size) in enumerate(zip(read.entries, sizes, strict=True)) if not n or size <= max_bytes
        ]
        return Read(True, tuple(few), read.top)

    # -- writes, by whom

    def create_by(self, run: Run, claim: Claim | None) -> Created:
        """`create`, whose run has a history from then on."""
        self.now = self._clock() + self.off_s
        created = self.create(run, None, claim)
        if created.fresh:
            self.histories[run.id] = History(run.id, self._blame)
            if claim is not None:
                self.holders[run.id] = claim.holder
        return created

    def append_by(self, worker: str, batch: Sequence[Append]) -> list[AppendResult]:
        """`append` as this worker does it."""
        results = []
        for item in batch:
            self._remember(item.run_id)
            self._writer = Writer(worker, item.token)
            results.append(self._append(item))
        return results

    def _append(self, item: Append) -> AppendResult:
        row, entry = self.find(item.run_id), item.entry
        if row is None:
            return AppendResult(Outcome.GONE, START)
        events = row.events

        def tag_at(seq: int) -> int | None:
            return events[seq - 1][1].tag if 0 < seq <= len(events) else None

        outcome = judge(_Standing(row), item, tag_at)
        if outcome is None:
            outcome = Outcome.STORED
            self._check(row, item)
            self._write(row, entry)
        return AppendResult(outcome, row.top, row.run.cancelled)

    def _check(self, row: Row, item: Append) -> None:
        """What must be true of every entry that a producer writes."""
        run, events = row.run, item.entry.events
        if item.token != run.token:
            self._blame(f"{run.id}: {self._writer} writes though lease {run.token} was given")
        if run.cancelled and events != (End("cancelled", usage=getattr(events[0], "usage", None)),):
            self._blame(f"{run.id}: {self._writer} writes {events} though it was cancelled")
        if run.status in ENDED:
            self._blame(f"{run.id}: {self._writer} writes {events} after its end")

    def _write(self, row: Row, entry: Entry) -> None:
        super()._write(row, entry)
        self._say(f"stored {row.run.id} {entry.after}..{entry.position} {entry.events} by {self._writer.name}")
        self.histories[row.run.id].write(entry, self._writer)
        self.announce(row.run.id, entry, self._writer.name)

    def take_lease_by(self, worker: str, run_id: str, seen: int, tag: int, lease_s: float) -> Lease | None:
        """`take_lease` as this worker does it."""
        self._remember(run_id)
        row = self.find(run_id)
        before = None if row is None else (row.run.token, row.lease_tag)
        released = row is not None and row.released
        lease = self.take_lease(run_id, seen, tag, lease_s)
        if lease is not None and before != (lease.token, tag):
            if seen and not released:
                self.on_taken(run_id, self.holders.get(run_id, ""), worker)
            self.holders[run_id] = worker
            self._say(f"{worker} holds {run_id} under {lease.token}, tag {tag}")
            self.announce(run_id, "in_progress", worker)
        return lease

    def renew(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        """`renew_leases`, which may be forgotten like every other write."""
        for run_id, _ in held:
            self._remember(run_id)
        return self.renew_leases(held, lease_s)

    def release(self, run_id: str, token: int) -> None:
        """`release_lease`, the same."""
        self._remember(run_id)
        self.release_lease(run_id, token)

    def stale_now(self, limit: int) -> list[Stale]:
        """`stale`, by the clock as it is."""
        self.now = self._clock() + self.off_s
        return self.stale(limit)

    def cancel_by(self, worker: str, run_id: str, tag: int) -> Cancelled | None:
        """`cancel` as this worker does it."""
        self._remember(run_id)
        self._writer = Writer(worker, 0)
        cancelled = self.cancel(run_id, tag)
        self.cancelled.add(run_id)
        if cancelled is not None and cancelled.run.status not in ENDED:
            self.tell_holder(self.holders.get(run_id, ""), run_id)
        return cancelled

    def give_up_by(self, worker: str, run_id: str, seen: int, tag: int, end: End) -> Entry | None:
        """`give_up` as this worker does it."""
        self._remember(run_id)
        self._writer = Writer(worker, 0)
        return self.give_up(run_id, seen, tag, end)


class _Standing:
    """A row as the judgement of appends looks at it."""

    def __init__(self, row: Row) -> None:
        self.top: Position = row.top
        self.status: Status = row.run.status
        self.token = row.run.token
        self.cancelled = row.run.cancelled


class SimulatedStore(Store):
    """One worker's way to the books."""

    shared = True

    def __init__(self, books: Books, link: Link) -> None:
        self._books = books
        self._ask = link.ask
        self._worker = link.process.name

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> None:
        await self._ask(lambda: None)

    async def create(self, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
        assert key is None
        return await self._ask(partial(self._books.create_by, replace(run), claim))

    async def reserved(self, key: IdempotencyKey) -> Run | None:
        raise NotImplementedError

    async def get(self, run_id: str) -> Run | None:
        return await self._ask(partial(self._books.get, run_id))

    async def list_runs(
        self, owner: str, *, conversation: str | None, status: Status | None, before: str | None, limit: int
    ) -> Page:
        raise NotImplementedError

    async def delete(self, run_id: str) -> None:
        raise NotImplementedError

    async def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        return await self._ask(partial(self._books.append_by, self._worker, batch))

    async def read(self, log_id: str, after: Position, max_bytes: int) -> Read | None:
        return await self._ask(partial(self._books.read_some, log_id, after, max_bytes))

    async def contents(self, log_id: str) -> Contents | None:
        return await self._ask(partial(self._books.contents, log_id))

    async def tops(self, log_ids: Sequence[str]) -> list[Top | None]:
        return await self._ask(partial(self._books.tops, log_ids))

    async def take_lease(self, run_id: str, *, seen: int, tag: int, holder: str, lease_s: float) -> Lease | None:
        assert holder == self._worker
        return await self._ask(partial(self._books.take_lease_by, self._worker, run_id, seen, tag, lease_s))

    async def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        return await self._ask(partial(self._books.renew, held, lease_s))

    async def release_lease(self, run_id: str, token: int) -> None:
        await self._ask(partial(self._books.release, run_id, token))

    async def stale(self, limit: int) -> list[Stale]:
        return await self._ask(partial(self._books.stale_now, limit))

    async def cancel(self, run_id: str, tag: int) -> Cancelled | None:
        return await self._ask(partial(self._books.cancel_by, self._worker, run_id, tag))

    async def give_up(self, run_id: str, *, seen: int, tag: int, end: End) -> Entry | None:
        return await self._ask(partial(self._books.give_up_by, self._worker, run_id, seen, tag, end))

    async def expire(self, limit: int) -> int:
        return 0
