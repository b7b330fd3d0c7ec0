"""How a worker that stops lets go of its readers: spread over time, and last those who cannot come back elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from headwater.errors import Draining
from headwater.hub.cursor import Cursor
from headwater.metrics import Metrics

# Those whose turn comes within this are let go in one step: their reconnects arrive elsewhere together.
TOGETHER_S = 0.01


class Farewell:
    """Who is let go by now.

    `readers` gives those who follow something here, `users` counts them and those who wait for an end.
    """

    def __init__(self, readers: Callable[[], list[Cursor]], users: Callable[[], int], metrics: Metrics) -> None:
        self.begun = False
        """Those who can come back to another worker are sent there."""
        self.for_all = False
        """Nobody stays."""
        self._readers = readers
        self._users = users
        self._metrics = metrics
        self._waits: set[asyncio.Timeout] = set()
        self._left = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Farewell {'for all' if self.for_all else 'begun' if self.begun else 'not begun'}>"

    # -- newcomers

    def check_stays(self) -> None:
        """Raises Draining where nobody stays."""
        if self.for_all:
            raise _draining()

    def check_enters(self) -> None:
        """Raises Draining where only those stay who could not as well come to another worker."""
        if self.begun:
            raise _draining()

    # -- those who are here

    async def send_elsewhere(self, spread_s: float) -> None:
        """Let go, spread over so many seconds, of those who come back to where they were: to another worker."""
        self.begun = True
        await self._let_go([cursor for cursor in self._readers() if cursor.format.says_its_end], spread_s)

    async def let_everyone_go(self, spread_s: float) -> None:
        """End all connections, spread over so many seconds, so that they do not come back at once."""
        self.begun = self.for_all = True
        for limit in self._waits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        await self._let_go(self._readers(), spread_s)

    async def deserted(self) -> None:
        """Return once nobody follows anything here, or waits for an end."""
        while self._users():
            self._left.clear()
            await self._left.wait()

    def one_left(self) -> None:
        """One of the users is gone."""
        self._left.set()

    async def _let_go(self, cursors: Sequence[Cursor], spread_s: float) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for index, cursor in enumerate(cursors):
            wait_s = started + spread_s * index / len(cursors) - loop.time()
            if wait_s > TOGETHER_S:
                await asyncio.sleep(wait_s)
            self.send_away(cursor)

    def send_away(self, cursor: Cursor) -> None:
        """End one reader's connection."""
        if cursor.gone_because is None:
            cursor.let_go("draining")
            self._metrics.subscribers_let_go.labels("draining").inc()

    # -- what may take long

    async def within(self, within_s: float | None, wait: Awaitable[object]) -> bool:
        """Whether it was over within so many seconds, and before everyone was let go."""
        limit = asyncio.timeout(0 if self.for_all else within_s)
        try:
            async with limit:
                self._waits.add(limit)
                await wait
            return True
        except TimeoutError:
            return False
        finally:
            self._waits.discard(limit)


def _draining() -> Draining:
    return Draining("This worker is shutting down. Connect again.", retry_after=1)
