"""Those who ask for an answer on a socket of their own, and hang up when a test says so."""

import asyncio
import json
import secrets
import socket
from typing import Any, Self
from urllib.parse import urlsplit

from tests.streaming.stage import DEADLINE_S, SCRIPTED
from tests.support.upstream import Exchange, Script, Upstream
from tests.support.waiting import eventually

CHAT = "/v1/chat/completions"
RUNS = "/v1/runs"

_SAID = {CHAT: b'"content"', RUNS: b"event: delta"}

LONG = Script(tokens=10_000, interval_s=0.005, usage="none")
SILENT = Script(fault="stall", after=3)
"""Says three words and nothing more."""
MUTE = Script(start_s=600)
"""Says nothing at all."""


class Caller:
    """One question, like no other's, and what has come of it: `received` is the raw response so far."""

    def __init__(
        self,
        url: str,
        script: Script,
        *,
        path: str = CHAT,
        stream: bool = True,
        policy: str | None = None,
        key: str | None = None,
        question: str | None = None,
        receive_buffer: int | None = None,
        **fields: Any,
    ) -> None:
        self.url = urlsplit(url)
        self.question = question or secrets.token_hex(8)
        asked = {"messages": [{"role": "user", "content": self.question}]} if path == CHAT else {"input": self.question}
        self.body = {"model": SCRIPTED, "stream": stream, **asked, **fields}
        self.body |= script.extra() if path == CHAT else {"extra": script.extra()}
        self.path = path
        self.headers = {"Host": self.url.netloc, "Content-Type": "application/json"}
        given = {"Headwater-On-Disconnect": policy, "Idempotency-Key": key}
        self.headers |= {name: value for name, value in given.items() if value is not None}
        self.received = b""
        self._receive_buffer = receive_buffer

    async def __aenter__(self) -> Self:
        """Connect and ask."""
        connection = socket.socket()
        if self._receive_buffer is not None:  # before connecting: it decides the window
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (self.url.hostname, self.url.port))
        self._reader, self.writer = await asyncio.open_connection(sock=connection)
        self.writer.write(self.request())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    def request(self) -> bytes:
        """What is sent."""
        body = json.dumps(self.body).encode()
        lines = [f"POST {self.path} HTTP/1.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def hang_up(self) -> None:
        """Be gone, at once."""
        self.writer.transport.abort()

    # -- what comes

    async def hear(self, words: bytes = b"") -> None:
        """Read until this has come, or something of the answer."""
        words = words or _SAID[self.path]
        async with asyncio.timeout(DEADLINE_S):
            while words not in self.received:
                piece = await self._reader.read(65_536)
                assert piece, f"it is over without {words!r}: {self.received!r}"
                self.received += piece

    async def rest(self) -> bytes:
        """The whole response, once the server has closed the connection."""
        async with asyncio.timeout(DEADLINE_S):
            while piece := await self._reader.read(65_536):
                self.received += piece
        return self.received

    @property
    def status(self) -> int:
        """The response's, once its head is there."""
        return int(self.received.split(b" ", 2)[1])

    @property
    def run_id(self) -> str:
        """Its run, once the response's head is there."""
        head = self.received.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
        return head.partition("headwater-run: ")[2].partition("\r\n")[0]

    async def asked(self, upstream: Upstream) -> Exchange:
        """The request at the upstream, once it is there."""
        return (await eventually(lambda: self.calls(upstream), DEADLINE_S, "the upstream is asked"))[-1]

    def calls(self, upstream: Upstream) -> list[Exchange]:
        """The requests at the upstream for this question."""
        return [one for one in upstream.exchanges if one.body and self.question in str(one.body["messages"])]


async def closed(exchange: Exchange) -> None:
    """Return once the upstream has seen its answer cut off."""
    await eventually(lambda: exchange.closed_at is not None, DEADLINE_S, "the upstream is closed")
