"""A network that loses lines: a TCP proxy before servers, in the test's own loop, that cuts at random bytes.

In a test:

    async with CuttingProxy([server.port], Random(seed), within=4_000) as proxy:
        client = AsyncClient(proxy.url)
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Self, cast

from tests.support.waiting import eventually


class CuttingProxy:
    """Each connection goes to any of the servers, and is aborted once so many bytes of answers have passed.

    How many is drawn for each connection, up to `within`; in `spared` of them, none is cut. `cuts` counts, `limit`
    is how many there may be, and `refuse` closes new connections at once. `targets` may change as it runs.
    """

    def __init__(
        self, targets: Sequence[int], random: Random, *, within: int, spared: float = 0.0, limit: int | None = None
    ) -> None:
        self.targets = list(targets)
        self.random = random
        self.within = within
        self.spared = spared
        self.limit = limit
        self.refuse = False
        self.cuts = 0
        self.connections = 0
        self.port = 0
        self._open: set[_End] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<CuttingProxy {self.port}, {self.connections} connections, {self.cuts} cuts>"

    @property
    def url(self) -> str:
        """Where clients find the servers."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Abort every connection that there is."""
        self.cuts += len(self._open) // 2
        for end in list(self._open):
            end.abort()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._client, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await eventually(lambda: not self._open and not self._connecting, what="every connection is gone")
        await self._server.wait_closed()

    def _client(self) -> "_End":
        return _End(self._open, self._accepted)

    def _accepted(self, client: "_End") -> None:
        if self.refuse:
            return client.abort()
        self.connections += 1
        task = asyncio.create_task(self._connect(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: "_End") -> None:
        server = _End(self._open, client.join, self._budget(client))
        try:
            target = self.random.choice(self.targets)
            await asyncio.get_running_loop().create_connection(lambda: server, "127.0.0.1", target)
        except OSError:  # the server is away
            client.abort()

    def _budget(self, client: "_End") -> Callable[[bytes], bytes] | None:
        """Lets so many bytes through, and cuts."""
        if self.random.random() < self.spared:
            return None
        left = self.random.randrange(1, self.within)

        def take(piece: bytes) -> bytes:
            nonlocal left
            if self.limit is not None and self.cuts >= self.limit:
                return piece
            passed = piece[:left]
            left -= len(passed)
            if left == 0:
                self.cuts += 1
                asyncio.get_running_loop().call_soon(client.close)
            return passed

        return take


class _End(asyncio.Protocol):
    """One of the two connections of a line. What it receives goes to the other."""

    def __init__(
        self, among: set["_End"], made: Callable[["_End"], None], budget: Callable[[bytes], bytes] | None = None
    ) -> None:
        self._among = among
        self._made = made
        self._budget = budget
        self._transport: asyncio.Transport | None = None
        self._other: _End | None = None
        self._early: list[bytes] = []

    def join(self, other: "_End") -> None:
        """The other is there."""
        self._other, other._other = other, self
        if self._transport is None:
            return other.abort()
        for piece in self._early:
            other.write(piece)

    def write(self, piece: bytes) -> None:
        if self._transport is not None:
            self._transport.write(piece)

    def close(self) -> None:
        """Once what was written has left; the other with it."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """At once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent
        self._among.add(self)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        passed = self._budget(data) if self._budget is not None else data
        if self._other is None:
            self._early.append(passed)
        elif passed:
            self._other.write(passed)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._among.discard(self)
        if self._other is not None:
            self._other.close()

    def pause_writing(self) -> None:
        """What this one is sent comes from the other."""
        if self._other is not None and self._other._transport is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.resume_reading()
