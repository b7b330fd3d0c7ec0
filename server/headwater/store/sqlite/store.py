"""The store's asynchronous face: what runs in which thread, and until when."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, ParamSpec, TypeVar

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
from headwater.store.sqlite import faults, leases, reads, schema, writes
from headwater.store.sqlite.file import DatabaseFile

P = ParamSpec("P")
T = TypeVar("T")

# So that one long read does not hold up the short ones; more would only contend for the interpreter.
_READERS: Final = 4
# Some 0.5 s of work. More means that the disk hangs, and then an answer is better than a longer queue.
_WAITING_MAX: Final = 10_000


class SqliteStore(Store):
    """One file on a local disk, or `:memory:`, for one process.

    One thread writes, a transaction a call; readers read beside it. What is acknowledged survives
    the death of the process, and with `synchronous="FULL"` (an fsync a commit) that of the machine.

    `run_ttl_s`: seconds an ended run is kept. `clock`: Unix seconds; it may be set back, but
    leases and expiry follow it. `max_bytes`: of the file, so that it cannot take the disk from others.
    """

    def __init__(
        self,
        path: str,
        *,
        run_ttl_s: float,
        clock: Callable[[], float] = time.time,
        synchronous: str = "NORMAL",
        max_bytes: int | None = None,
    ) -> None:
        self._file = DatabaseFile(path, synchronous=synchronous, max_bytes=max_bytes, readers=_READERS)
        self._run_ttl_s = run_ttl_s
        self._clock = clock
        self._waiting = 0
        self._is_open = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        # In memory there is one connection, which the writing thread has.
        self._reader = self._writer if self._file.in_memory else ThreadPoolExecutor(_READERS, "sqlite-reader")

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<SqliteStore {self._file.name} {state}, {self._waiting} waiting>"

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._file.open)
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        await asyncio.shield(asyncio.to_thread(self._finish))

    def _finish(self) -> None:
        """What was accepted runs to its end, and only then the file is closed."""
        self._reader.shutdown()
        self._writer.shutdown()
        self._file.close()

    async def ping(self) -> None:
        await self._write(_ping)

    async def create(self, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
        return await self._write(writes.create, run, key, claim)

    async def get(self, run_id: str) -> Run | None:
        return await self._read(reads.get, run_id)

    async def list_runs(
        self, owner: str, *, conversation: str | None, status: Status | None, before: str | None, limit: int
    ) -> Page:
        return await self._read(reads.list_runs, owner, conversation, status, before, limit)

    async def delete(self, run_id: str) -> None:
        await self._write(writes.hide, run_id)
        await self.expire(1)

    async def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        """See the contract. Raises ValueError for two entries of one run, and for one that does not fill its range."""
        if len({item.run_id for item in batch}) < len(batch):
            raise ValueError("a batch holds at most one entry of a run")
        for item in batch:
            entry = item.entry
            if not 0 < len(entry.events) == entry.seq - entry.after.seq:
                raise ValueError(f"{len(entry.events)} events cannot cover ({entry.after.seq}, {entry.seq}]")
        return await self._write(writes.append, batch, self._run_ttl_s) if batch else []

    async def read(self, run_id: str, after: Position, max_bytes: int) -> Read | None:
        return await self._read(reads.read, run_id, after, max_bytes)

    async def contents(self, run_id: str) -> Contents | None:
        return await self._read(reads.contents, run_id)

    async def tops(self, run_ids: Sequence[str]) -> list[Top | None]:
        return await self._read(reads.tops, run_ids)

    async def take_lease(self, run_id: str, *, seen: int, tag: int, holder: str, lease_s: float) -> Lease | None:
        return await self._write(leases.take, run_id, seen, tag, holder, lease_s)

    async def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        return await self._write(leases.renew, held, lease_s)

    async def release_lease(self, run_id: str, token: int) -> None:
        await self._write(leases.release, run_id, token)

    async def stale(self, limit: int) -> list[Stale]:
        return await self._read(reads.stale, limit)

    async def cancel(self, run_id: str, tag: int) -> Cancelled | None:
        return await self._write(leases.cancel, run_id, tag, self._run_ttl_s)

    async def give_up(self, run_id: str, *, seen: int, tag: int, end: End) -> Entry | None:
        return await self._write(leases.give_up, run_id, seen, tag, end, self._run_ttl_s)

    async def expire(self, limit: int) -> int:
        removed, more = 0, True
        while more and removed < limit:
            count, more = await self._write(writes.sweep, limit - removed)
            removed += count
        return removed

    async def _write(
        self, work: Callable[Concatenate[sqlite3.Connection, float, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` in the writing thread. Once accepted it runs to its end, whatever becomes of the caller."""

        def job() -> T:
            with faults.translated():
                return work(self._file.writer, self._clock(), *args, **kwargs)

        return await self._submit(self._writer, job)

    async def _read(
        self, work: Callable[Concatenate[sqlite3.Connection, float, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` on an idle reading connection."""

        def job() -> T:
            db = self._file.readers.get()
            try:
                with faults.translated():
                    return work(db, self._clock(), *args, **kwargs)
            finally:
                self._file.readers.put(db)

        return await self._submit(self._reader, job)

    def _submit(self, executor: ThreadPoolExecutor, job: Callable[[], T]) -> asyncio.Future[T]:
        if not self._is_open:
            raise StoreUnavailable("The store is closed.")
        if self._waiting >= _WAITING_MAX:
            raise StoreUnavailable(f"{self._waiting} operations are waiting for the disk.", limit=_WAITING_MAX)
        self._waiting += 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            # Straight to our future: the two that `run_in_executor` chains cost as much as a small commit.
            try:
                result = job()
            except BaseException as error:
                loop.call_soon_threadsafe(self._failed, future, error)
            else:
                loop.call_soon_threadsafe(self._answered, future, result)

        executor.submit(run)
        return future

    def _answered(self, future: asyncio.Future[T], result: T) -> None:
        self._waiting -= 1
        if not future.done():  # whoever waited may have been cancelled; the work was done all the same
            future.set_result(result)

    def _failed(self, future: asyncio.Future[T], error: BaseException) -> None:
        self._waiting -= 1
        if not future.done():
            future.set_exception(error)


def _ping(db: sqlite3.Connection, _: float) -> None:
    schema.touch(db)
