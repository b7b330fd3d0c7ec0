"""Readers of hubs, and a store that can be asked how often it was read and made to forget."""

import asyncio
import sqlite3
from collections.abc import Callable

from headwater.core.position import Position
from headwater.formats.base import After
from headwater.hub import Cursor
from headwater.store.base import Contents, Read
from headwater.store.sqlite import SqliteStore
from tests.support.sse import EventStreamParser, Follower

_DEADLINE_S = 20.0  # only ends a hang


class ForgetfulStore(SqliteStore):
    """A store in memory that counts its reads and can lose what it has acknowledged."""

    def __init__(self) -> None:
        super().__init__(":memory:", run_ttl_s=60.0)
        self.reads = 0
        self.fails: Exception | None = None

    async def read(self, run_id: str, after: Position, max_bytes: int) -> Read | None:
        self.reads += 1
        if self.fails is not None:
            raise self.fails
        return await super().read(run_id, after, max_bytes)

    async def contents(self, run_id: str) -> Contents | None:
        self.reads += 1
        if self.fails is not None:
            raise self.fails
        return await super().contents(run_id)

    async def lose(self, run_id: str, after: Position) -> None:
        """Forget the entries after a position, as a failover to a replica that lags does."""
        await self.in_writer(_lose, run_id, after.seq)


def _lose(db: sqlite3.Connection, now: float, run_id: str, seq: int) -> None:
    (run,) = db.execute("SELECT n FROM runs WHERE id = ?", (run_id,)).fetchone()
    db.execute("DELETE FROM entries WHERE run = ? AND seq > ?", (run, seq))
    db.execute(
        "REPLACE INTO tops (run, newest, seq, tag) "
        "SELECT ?, ifnull(max(n), 0), ifnull(seq, 0), ifnull(tag, 0) FROM entries WHERE run = ?",
        (run, run),
    )


class Reader:
    """A cursor on the native form, and what came out of it, checked."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.follower = Follower()
        if cursor.position is not None:
            self.follower.seq = cursor.position.seq
        self.follower.connected()
        self.frames: list[bytes] = []
        self._parser = EventStreamParser()

    @property
    def text(self) -> str:
        return self.follower.text

    async def until(self, condition: Callable[[Follower], bool]) -> Follower:
        """Read until `condition` holds; raises AssertionError if the reader is let go before that."""
        async with asyncio.timeout(_DEADLINE_S):
            while not condition(self.follower):
                frame = await self.cursor.next()
                assert frame is not None, f"let go: {self.cursor.gone_because}"
                self.frames.append(frame.data)
                for message in self._parser.feed(frame.data):
                    self.follower.take(message)
                if frame.after is After.CLOSE:
                    assert condition(self.follower), "it ended"
        return self.follower

    async def until_let_go(self) -> str | None:
        """Read until the hub has it go; why."""
        async with asyncio.timeout(_DEADLINE_S):
            while await self.cursor.next() is not None:
                pass
        return self.cursor.gone_because

    async def until_text(self, text: str) -> Follower:
        """Read until it holds exactly this."""
        return await self.until(lambda follower: follower.text == text)

    async def until_end(self) -> Follower:
        """Read to the end."""
        return await self.until(lambda follower: follower.end is not None)


async def quiet(cursor: Cursor) -> bool:
    """Whether there is nothing to read now: it waits, and goes on waiting."""
    waiting = asyncio.ensure_future(cursor.next())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return not done
