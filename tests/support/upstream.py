"""A scripted upstream: a real server of models on loopback that does what a `Script` says, faults included.

It answers chat completions, Anthropic's messages and Ollama's chat, each in its own shape.

In the test's process:

    async with Upstream() as upstream:
        provider = OpenAIProvider(client, base_url=upstream.url, model="any")
        ... RunRequest(input="hi", extra=Script(tokens=40, fault="cut", after=7).extra())
        exchange = upstream.exchanges[-1]       # the request, how far its answer got, who closed it and when

or as its own process, `python -m tests.support.upstream --port 9000`, which writes its address to stdout once it
listens. A script comes inside the request (`"script": {…}` in the body, which is what `extra` becomes), else by the
request's model from `Upstream(models={"name": Script(…)})`, else the default one. `GET /v1/models` lists those names;
`GET /exchanges` gives every exchange as JSON, for tests that cannot look into the process.
"""

import argparse
import asyncio
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any, Self, cast

import msgspec

from tests.support.upstream_continuation import Refused, beginning, question
from tests.support.upstream_script import Answer, Exchange, Script, reply
from tests.support.upstream_wires import WIRES, Wire

__all__ = ["Exchange", "Script", "Upstream", "full_backlog"]


class Upstream:
    """The server. `url` is what goes into `base_url`; `exchanges` are in the order of their requests."""

    def __init__(
        self, models: Mapping[str, Script] | None = None, *, default: Script | None = None, port: int = 0
    ) -> None:
        self.models = dict(models or {})
        self.default = default or Script()
        self.port = port
        self.exchanges: list[Exchange] = []
        self.connections: set[Connection] = set()
        self.connections_made = 0
        self._requests: Counter[tuple[str, bytes]] = Counter()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<Upstream {self.url}, {len(self.connections)} connections, {len(self.exchanges)} exchanges>"

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        """The server's address: the base URL of the wires that have one of their own."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        # All streams of a test may connect at once, so the backlog holds them.
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for connection in self.connections for task in connection.stop()]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def script_of(self, body: Any) -> Script:
        """The script that a request asks for. Raises msgspec.ValidationError if it is none."""
        if "script" in body:
            return msgspec.convert(body["script"], Script)
        return self.models.get(body.get("model"), self.default)

    def number_of(self, body: Any) -> int:
        """How many requests for the same answer came before this one."""
        key = json.dumps(body.get("script", body.get("model"))), question(body)
        self._requests[key] += 1
        return self._requests[key] - 1


class Connection(asyncio.Protocol):
    """One connection: requests one after another, each answered by a task."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.upstream.connections.add(self)
        self.upstream.connections_made += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.upstream.connections.discard(self)
        if self._exchange is not None and self._exchange.answered_at is None:
            self._exchange.closed_at = time.monotonic()
        self.stop()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def stop(self) -> list[asyncio.Task[None]]:
        """Drop the connection; the task that is now ending."""
        self._transport.abort()
        if self._task is None or self._task.done():
            return []
        self._task.cancel()
        return [self._task]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next_request()

    def _next_request(self) -> None:
        if self._task is not None and not self._task.done():
            return
        head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not separator:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer[:] = rest[length:]
        method, path, _ = first.split(" ")
        self._task = asyncio.create_task(self._answer(method, path, headers, rest[:length]))
        self._task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if task.exception() is not None:
            self._transport.abort()  # so that nobody waits for an answer
        task.result()  # the loop shows a fault of this file
        self._next_request()

    async def _answer(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> None:
        if path == "/exchanges":
            return self._reply(200, [asdict(exchange) for exchange in self.upstream.exchanges])
        exchange = Exchange(method, path, headers, json.loads(raw) if raw else None)
        self.upstream.exchanges.append(exchange)
        self._exchange = exchange
        if path == "/v1/models":
            exchange.status = 200
            self._reply(
                200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.upstream.models]}
            )
        elif path == "/shapes/models":
            exchange.status = 200
            self._reply(200, {"models": ["a"]})  # as Ollama's own API has it
        elif (wire := WIRES.get(path)) is None:
            exchange.status = 404
            self._reply(404, {"error": {"message": f"no such path: {path}"}})
        else:
            try:
                await self._play(exchange, wire)
            except (msgspec.ValidationError, Refused) as error:
                exchange.status = 400
                self._reply(400, {"error": {"message": str(error), "type": "invalid_request_error"}})
        exchange.answered_at = time.monotonic()

    async def _play(self, exchange: Exchange, wire: type[Wire]) -> None:
        number = self.upstream.number_of(exchange.body)
        script = self.upstream.script_of(exchange.body).at(number)
        exchange.written = beginning(exchange.path, exchange.body)
        answer = Answer(self._transport, self._writable, exchange, script, wire(script.usage))
        refused = number < len(script.refusals)
        await answer.play(script.refusals[number] if refused else script.status, refused=refused)

    def _reply(self, status: int, value: object) -> None:
        self._transport.write(reply(status, "application/json", json.dumps(value).encode(), {}))


@asynccontextmanager
async def full_backlog() -> AsyncIterator[int]:
    """The port of a listener that accepts nobody: whoever connects to it waits."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(("127.0.0.1", port))
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


async def main() -> None:
    """The upstream as a process of its own."""
    parser = argparse.ArgumentParser(description="a scripted upstream, on loopback")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME=SCRIPT", help="a script, as JSON, for a model"
    )
    arguments = parser.parse_args()
    named = dict(argument.split("=", 1) for argument in arguments.model)
    models = {name: msgspec.json.decode(script, type=Script) for name, script in named.items()}
    async with Upstream(models, port=arguments.port) as upstream:
        sys.stdout.write(f"{upstream.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
