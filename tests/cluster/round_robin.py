"""The plainest of balancers: it shows that any worker will do, for a run that any other started."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Self

PIECE_BYTES = 65_536  # of one read; a token is far smaller
CONNECT_S = 1.0  # a worker of this machine that does not accept by then is taken for gone


class RoundRobin:
    """Each new connection to `sock`, which is bound, goes to the next of the workers' `ports` that accepts.

    It passes on bytes, and ends of streams, either way, no faster than they are taken; who finds no worker is
    closed at once. As an async context manager it listens, and aborts what is open at its end.
    """

    def __init__(self, sock: socket.socket, ports: Sequence[int]) -> None:
        self.port: int = sock.getsockname()[1]
        self._sock = sock
        self._ports = list(ports)
        self._next = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, sock=self._sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)

        def over(_: asyncio.Task[None]) -> None:
            self._connections.discard(connection)
            writer.transport.abort()

        connection.add_done_callback(over)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        worker = await self._connect()
        if worker is None:
            return
        worker_reader, worker_writer = worker
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pass_on(reader, worker_writer))
                ways.create_task(_pass_on(worker_reader, writer))
            writer.close()
            await writer.wait_closed()  # until the client has taken the rest
        except* OSError:  # one of the two broke it off
            pass
        finally:
            worker_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the next worker that accepts; None if all are away."""
        for _ in self._ports:
            port = self._ports[self._next]
            self._next = (self._next + 1) % len(self._ports)
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await asyncio.open_connection("127.0.0.1", port, limit=PIECE_BYTES)
            except OSError:  # a TimeoutError is one
                continue
        return None


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """What comes from one to the other, and its end."""
    while piece := await source.read(PIECE_BYTES):
        sink.write(piece)
        await sink.drain()
    if not sink.is_closing():
        sink.write_eof()
