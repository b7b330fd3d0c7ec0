"""The store: each method is a piece of work for one of the database's threads."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from headwater.core.events import End, Entry, Status
from headwater.core.position import Position
from headwater.core.run import Run
from headwater.errors import StoreUnavailable
from headwater.store.base import (
    Append,
    AppendResult,
    Cancelled,
    Claim,
    Contents,
    Created,
    IdempotencyKey,
    Lease,
    Page,
    Read,
    RenewResult,
    Stale,
    Store,
    Top,
)
from headwater.store.sqlite import leases, places, reads, schema, writes
from headwater.store.sqlite.file import DatabaseFile
from headwater.store.sqlite.threads import Database

# So that one long read does not hold up the short ones; more would only contend for the interpreter.
_READERS: Final = 4


class SqliteStore(Database, Store):
    """One file on a local disk, or `:memory:`, for one process.

    One thread writes, a transaction a call; readers read beside it. What is acknowledged survives
    the death of the process, and with `synchronous="FULL"` (an fsync a commit) that of the machine.

    `run_ttl_s`: seconds an ended run is kept. `clock`: Unix seconds; it may be set back, but
    leases and expiry follow it. `max_bytes`: of the file, so that it cannot take the disk from others.
    """

    shared = False

    def __init__(
        self,
        path: str,
        *,
        run_ttl_s: float,
        clock: Callable[[], float] = time.time,
        synchronous: str = "NORMAL",
        max_bytes: int | None = None,
    ) -> None:
        super().__init__(DatabaseFile(path, synchronous=synchronous, max_bytes=max_bytes, readers=_READERS), clock)
        self._run_ttl_s = run_ttl_s

    async def open(self) -> None:
        await super().open()
        with suppress(StoreUnavailable):  # they expire by themselves, and whoever works with the file is told
            await self.in_writer(places.give_up_connections)
            await self.in_writer(leases.expire_all)

    async def ping(self) -> None:
        await self.in_writer(_ping)

    async def create(self, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
        return await self.in_writer(writes.create, run, key, claim)

    async def reserved(self, key: IdempotencyKey) -> Run | None:
        return await self.in_reader(writes.reserved, key)

    async def get(self, run_id: str) -> Run | None:
        return await self.in_reader(reads.get, run_id)

    async def list_runs(
        self, owner: str, *, conversation: str | None, status: Status | None, before: str | None, limit: int
    ) -> Page:
        return await self.in_reader(reads.list_runs, owner, conversation, status, before, limit)

    async def delete(self, run_id: str) -> None:
        await self.in_writer(writes.hide, run_id)
        await self.expire(1)

    async def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        """See the contract. Raises ValueError for two entries of one run, and for one that does not fill its range."""
        if len({item.run_id for item in batch}) < len(batch):
            raise ValueError("a batch holds at most one entry of a run")
        for item in batch:
            entry = item.entry
            if not 0 < len(entry.events) == entry.seq - entry.after.seq:
                raise ValueError(f"{len(entry.events)} events cannot cover ({entry.after.seq}, {entry.seq}]")
        return await self.in_writer(writes.append, batch, self._run_ttl_s) if batch else []

    async def read(self, run_id: str, after: Position, max_bytes: int) -> Read | None:
        return await self.in_reader(reads.read, run_id, after, max_bytes)

    async def contents(self, run_id: str) -> Contents | None:
        return await self.in_reader(reads.contents, run_id)

    async def tops(self, run_ids: Sequence[str]) -> list[Top | None]:
        return await self.in_reader(reads.tops, run_ids)

    async def take_lease(self, run_id: str, *, seen: int, tag: int, holder: str, lease_s: float) -> Lease | None:
        return await self.in_writer(leases.take, run_id, seen, tag, holder, lease_s)

    async def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        return await self.in_writer(leases.renew, held, lease_s)

    async def release_lease(self, run_id: str, token: int) -> None:
        await self.in_writer(leases.release, run_id, token)

    async def stale(self, limit: int) -> list[Stale]:
        return await self.in_reader(reads.stale, limit)

    async def cancel(self, run_id: str, tag: int) -> Cancelled | None:
        return await self.in_writer(leases.cancel, run_id, tag, self._run_ttl_s)

    async def give_up(self, run_id: str, *, seen: int, tag: int, end: End) -> Entry | None:
        return await self.in_writer(leases.give_up, run_id, seen, tag, end, self._run_ttl_s)

    async def expire(self, limit: int) -> int:
        removed, more = 0, True
        while more and removed < limit:
            count, more = await self.in_writer(writes.sweep, limit - removed)
            removed += count
        return removed


def _ping(db: sqlite3.Connection, _: float) -> None:
    schema.touch(db)
