"""The store's contract: what every engine promises, whatever it is made of.

All times are judged by the store's own clock. Every write carries ids made before its first
try, so it can be sent again after a lost answer: *already there with its tag* is success.
Any method raises `StoreUnavailable` when the store could not answer, and then nothing is known
about whether a write took place.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import ClassVar

from msgspec import Struct

from headwater.core.content import Part
from headwater.core.events import Attempt, End, Entry, Status
from headwater.core.position import Position
from headwater.core.run import Run


class IdempotencyKey(Struct, frozen=True):
    """A caller's reservation: the same key starts one run. Kept `ttl_s` from its first use."""

    owner: str
    key: str
    body_hash: str
    ttl_s: float


class Claim(Struct, frozen=True):
    """The wish to hold a run's first lease from its creation on, for a caller that waits for its first token."""

    tag: int
    holder: str
    lease_s: float


class Created(Struct, frozen=True):
    """`fresh` is False where the key, or this very run id, had been used: then `run` is the first one."""

    run: Run
    fresh: bool


class Append(Struct, frozen=True, gc=False):
    """A frozen batch: one entry for one run's log, by the holder of the lease `token`.

    `payload` is `encode_events(entry.events)`, encoded once and stored as it is.
    """

    run_id: str
    token: int
    entry: Entry
    payload: bytes


class Outcome(Enum):
    """What the store did with an append. Only STORED changed anything, or found it done before."""

    STORED = "stored"
    CANCELLED = "cancelled"  # a cancel was accepted: only End("cancelled"), alone, is taken now
    BEHIND = "behind"  # `after` is not the top: the store lost acknowledged writes, or it is a stranger's log
    FENCED = "fenced"  # the lease is another's now
    ENDED = "ended"  # the log has its end
    GONE = "gone"  # there is no such run
    DAMAGED = "damaged"  # something foreign lies where its log should be


class AppendResult(Struct, frozen=True, gc=False):
    """`top` is where the log stands now (START if GONE)."""

    outcome: Outcome
    top: Position
    cancelled: bool = False


class Lease(Struct, frozen=True):
    """The right to produce `run`, until `lease_s` after the request that was answered with it.

    `released`: who held it before let go of it, and has said so in the log.
    """

    run: Run
    token: int
    tag: int
    released: bool = False


class RenewResult(Struct, frozen=True):
    """`held` is False once the lease is another's or the run has ended or gone."""

    held: bool
    cancelled: bool = False


class Stale(Struct, frozen=True):
    """An unfinished run that nobody holds; `token` is that of its last lease, 0 if it never had one.

    `released`: who held that lease let go of it.
    """

    run_id: str
    token: int
    status: Status
    released: bool = False
    model: str = ""


class Top(Struct, frozen=True):
    """Where a log stands."""

    position: Position
    status: Status


class Read(Struct, frozen=True):
    """Entries after a position, in order, the first cut to begin there.

    `joined` is False where the position does not join the log; then `entries` is empty.
    `top` is the log's top when it was read, so `entries` reach it unless `max_bytes` cut them short.
    """

    joined: bool
    entries: tuple[Entry, ...]
    top: Top


class Contents(Struct, frozen=True):
    """The whole output of a run, merged, as it stood at `position`, which never covers the end.

    `tries` says how many deltas each attempt brought, the first one too, which no event marks.
    """

    position: Position
    parts: list[Part]
    text: str
    attempts: list[Attempt]
    tries: list[int]
    end: End | None
    top: Top


class Cancelled(Struct, frozen=True):
    """`entry` is the end that the cancel itself wrote, where nobody held a live lease."""

    run: Run
    entry: Entry | None


class Page(Struct, frozen=True):
    """Runs, newest first."""

    runs: list[Run]
    has_more: bool


class Logs(ABC):
    """What can be followed: logs by their ids, of one kind."""

    @abstractmethod
    async def read(self, log_id: str, after: Position, max_bytes: int) -> Read | None:
        """The log after a position; at least one entry if there is any, and about `max_bytes`.

        None if there is no such log.
        """

    @abstractmethod
    async def tops(self, log_ids: Sequence[str]) -> list[Top | None]:
        """Where each log stands, in the order asked."""

    async def contents(self, log_id: str) -> Contents | None:
        """Everything so far in one piece, or None if there is no such log: of runs only."""
        raise NotImplementedError


class Store(Logs):
    """The contract. `tests/store/contract.py` holds every engine to it."""

    shared: ClassVar[bool]
    """Whether other workers may have it open at the same time: they can take a run that this one leaves."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready. Raises `ConfigError` where this store may not be used, saying why."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was accepted and let go."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the store answers and can write."""

    @abstractmethod
    async def create(self, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
        """Write a queued run and reserve its key, both or neither; idempotent by the run's id.

        With a `claim` a fresh run begins at once: it is in_progress, under lease 1 with the claim's tag.
        `run.created_at` and everything after `request` are set by the store.
        Raises `IdempotencyConflict` if the key was used with another body.
        """

    @abstractmethod
    async def reserved(self, key: IdempotencyKey) -> Run | None:
        """The run that the key was used for, if it is still there. Raises `IdempotencyConflict` as `create` does."""

    @abstractmethod
    async def get(self, run_id: str) -> Run | None:
        """The run, or None if there is none or it has expired."""

    @abstractmethod
    async def list_runs(
        self, owner: str, *, conversation: str | None, status: Status | None, before: str | None, limit: int
    ) -> Page:
        """The owner's runs, newest first, those older than the run `before`.

        Raises `UnknownRun` if the owner has no run `before`.
        """

    @abstractmethod
    async def delete(self, run_id: str) -> None:
        """Remove an ended run, its log and its key. Raises `UnknownRun`, or `RunNotEnded`."""

    @abstractmethod
    async def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        """Append each entry to its run's log: one group commit, a result for each in order.

        At most one append of a run is in a batch, and one refused fails no other. In this order:
        no such run → GONE; the entry is in the log already → STORED; the log has an end → ENDED;
        the token is not the newest → FENCED; cancelled, and the entry is not a lone
        `End("cancelled")` → CANCELLED; `after` is not the top → BEHIND; else it is STORED.
        An end ends the run and its lease and sets its expiry, `run_ttl_s` from then.
        """

    @abstractmethod
    async def take_lease(self, run_id: str, *, seen: int, tag: int, holder: str, lease_s: float) -> Lease | None:
        """Take the right to produce a run whose newest token is still `seen` and which nobody holds.

        The token grows by one; a queued run becomes in_progress. Idempotent by `tag`: a taker
        asking again gets the lease it has. None if it was taken, has ended, or is gone.
        """

    @abstractmethod
    async def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        """Extend leases given as (run id, token), in order. One that expired and nobody took is held again."""

    @abstractmethod
    async def release_lease(self, run_id: str, token: int) -> None:
        """Let go of a lease at once, so another may take the run, and knows why. Nothing if it is not held."""

    @abstractmethod
    async def stale(self, limit: int) -> list[Stale]:
        """Unfinished runs without a live lease, oldest first."""

    @abstractmethod
    async def cancel(self, run_id: str, tag: int) -> Cancelled | None:
        """Accept a cancel: from now on the run can end in no other way. Idempotent.

        Where no live lease is held, the end is written here, under `tag`. An ended run comes
        unchanged. None if there is no such run.
        """

    @abstractmethod
    async def give_up(self, run_id: str, *, seen: int, tag: int, end: End) -> Entry | None:
        """End a run that cannot be produced, as what is stored of it is damaged; the end's entry bears `tag`.

        That may do whoever holds its lease, under the lease's tag, and where nobody does whoever has `seen` its newest
        token. None, and nothing is changed, for anybody else, and where it has ended or is gone.
        The run ends even where its log can take no entry. Idempotent by `tag`.
        """

    @abstractmethod
    async def expire(self, limit: int) -> int:
        """Remove up to `limit` expired runs and keys; how many."""
