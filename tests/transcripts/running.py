"""The parts of a stage that are the server's: a model that is led, and the server itself, in this process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Iterator
from typing import cast

import uvicorn

from headwater.cli.serve import Server
from headwater.core.run import RunRequest
from headwater.providers.base import Provider, ProviderError, Step


class Puppet(Provider):
    """A model that says what its lines have it say, to whoever asked last."""

    def __init__(self) -> None:
        self.asked = 0
        self.lines: asyncio.Queue[Step | ProviderError] = asyncio.Queue()

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        lines = self.lines = asyncio.Queue()
        self.asked += 1
        while True:
            step = await lines.get()
            if isinstance(step, ProviderError):
                raise step
            yield [step]


class RunningServer(Server):
    """The command's server, without its signals and its welcome, with a goodbye when it is told."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state.update(cast(dict[str, object], self._state))
        await uvicorn.Server.startup(self, sockets)

    async def leave(self) -> None:
        """Drain, and stop."""
        await self._drain()
