"""An open database as asynchronous code sees it: what runs in which thread, and until when."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, ParamSpec, TypeVar

from headwater.errors import StoreUnavailable
from headwater.store.sqlite import faults
from headwater.store.sqlite.file import DatabaseFile

P = ParamSpec("P")
T = TypeVar("T")

# Some 0.5 s of work. More means that the disk hangs, and then an answer is better than a longer queue.
_WAITING_MAX: Final = 10_000


class Database:
    """A file, the thread that writes it, and those that read it meanwhile.

    `clock`: Unix seconds; every piece of work is given the connection and the time.
    """

    def __init__(self, file: DatabaseFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._waiting = 0
        self._is_open = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        # In memory there is one connection, which the writing thread has.
        self._reader = self._writer if file.in_memory else ThreadPoolExecutor(file.reader_count, "sqlite-reader")

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<{type(self).__name__} {self._file.name} {state}, {self._waiting} waiting>"

    async def open(self) -> None:
        """Make ready. Raises ConfigError."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._file.open)
        self._is_open = True

    async def close(self) -> None:
        """Finish what was accepted and let go."""
        self._is_open = False
        await asyncio.shield(asyncio.to_thread(self._finish))

    def _finish(self) -> None:
        """What was accepted runs to its end, and only then the file is closed."""
        self._reader.shutdown()
        self._writer.shutdown()
        self._file.close()

    async def in_writer(
        self, work: Callable[Concatenate[sqlite3.Connection, float, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` in the writing thread. Once accepted it runs to its end, whatever becomes of the caller."""

        def job() -> T:
            with faults.translated():
                return work(self._file.writer, self._clock(), *args, **kwargs)

        return await self._submit(self._writer, job)

    async def in_reader(
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
