"""A stand-in for Redis that answers a subscription when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis

Command = tuple[str, ...]


class ScriptedRedis:
    """Greets and answers probes by itself; whatever else comes is in `asked`, in order, and waits for `say`."""

    def __init__(self) -> None:
        self.asked: list[Command] = []
        self.connections = 0
        self.deaf = 0
        """So many of the oldest connections are open and hear nothing, as a firewall may leave them."""
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writer = writer
        commands = hiredis.Reader(encoding="utf-8")
        while data := await reader.read(65536):
            if number <= self.deaf:
                continue
            commands.feed(data)
            while (command := commands.gets()) is not False:
                match command:
                    case ["CLIENT", *_]:
                        writer.write(b"+OK\r\n")
                    case ["PING", *_]:
                        writer.write(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
                    case _:
                        self.asked.append(tuple(command))
        writer.close()

    def say(self, data: bytes) -> None:
        """Write this on the newest connection."""
        assert self._writer is not None, "nobody has connected"
        self._writer.write(data)

    def confirm(self, *channels: str) -> None:
        """Say that these are subscribed to."""
        for channel in channels:
            self.say(b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(channel), channel.encode()))

    def cut(self) -> None:
        """Close the newest connection."""
        assert self._writer is not None, "nobody has connected"
        self._writer.close()


@asynccontextmanager
async def scripted_redis() -> AsyncIterator[tuple[ScriptedRedis, str]]:
    """It and its address."""
    redis = ScriptedRedis()
    server = await asyncio.start_server(redis.serve, "127.0.0.1", 0)
    try:
        yield redis, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
