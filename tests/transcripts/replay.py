"""A server that plays the server's side of a transcript to a client, byte by byte as it stands there.

    async with Replay(transcript) as replay:
        client = …(replay.url)
        async for act in replay.acts():     # what the client's user does: see acts.py
            …
    assert not replay.complaints

The client does by itself what no act tells: it comes back, and sends again. Where it asks or says something else than
the transcript has, that is a complaint, and the play is over. For programs of other languages there is
`GET /next`, which answers with the next act as JSON, and with 204 when it was the last.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Self

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.transcripts.acts import Act, act_of, next_command
from tests.transcripts.transcript import RETRY_MS, Line, Transcript, block_of, encoded

_READ_BYTES = 65_536
_DEADLINE_S = 20.0  # generous: only ends a hang
_OWN = ("ref", "client_id")
"""What the client chooses, and the server repeats."""
_UNSAID: dict[str, Any] = {"since": None, "reply_to": None, "mentions": [], "on": True, "stream": False}
"""What may as well be left out."""


class Mismatch(AssertionError):
    """The client does something else than the transcript has."""


class _Connection:
    """One connection of the client; `said` are the commands that came on it."""

    def __init__(self, writer: asyncio.StreamWriter, piece: int) -> None:
        self.socket: ServerProtocol | None = None
        self.said: asyncio.Queue[Line] = asyncio.Queue()
        self._writer = writer
        self._piece = piece

    async def write(self, data: bytes) -> None:
        size = self._piece or max(1, len(data))
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), size):
                if self._writer.is_closing():
                    return  # a client that has heard the end may leave before the response is complete
                self._writer.write(data[at : at + size])
                await self._writer.drain()
                await asyncio.sleep(0)  # so that the pieces are sent, and often arrive, one by one

    async def flush(self) -> None:
        """Send what the socket has to say."""
        assert self.socket is not None
        for data in self.socket.data_to_send():
            await self.write(data)

    async def answer(self, status: int, headers: Line, body: bytes | None) -> None:
        """Begin a response, and end it unless its `body` is None: then a stream follows."""
        framing = "transfer-encoding: chunked" if body is None else f"content-length: {len(body)}"
        lines = [f"HTTP/1.1 {status} Replayed", *(f"{name}: {value}" for name, value in headers.items()), framing]
        await self.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + (body or b""))
        if body is not None:
            self.cut()

    async def chunk(self, data: bytes) -> None:
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def cut(self) -> None:
        """Close it, whatever it is in the middle of, once all that was written is sent."""
        self._writer.close()


class Replay:
    """The server's side of one transcript.

    `piece` is how many bytes it sends at a time, 0 for all that it has; `retry_ms` what it has EventSources wait.
    """

    def __init__(self, transcript: Transcript, piece: int = 0, *, retry_ms: int = RETRY_MS) -> None:
        self.transcript = transcript
        self.complaints: list[str] = []
        self.url = ""
        self._piece = piece
        self._retry = {"retry": retry_ms}
        self._lines = transcript.lines
        self._asked: asyncio.Queue[tuple[Line, _Connection]] = asyncio.Queue()
        self._opened: asyncio.Queue[tuple[str, _Connection]] = asyncio.Queue()
        self._live: dict[int, _Connection] = {}
        self._own: dict[str, str | None] = {}
        self._acts: asyncio.Queue[Act | None] = asyncio.Queue()
        self._told: set[int] = set()
        self._lost: set[int] = set()
        self._connections: list[_Connection] = []
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._conducting = asyncio.create_task(self._conduct())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = [self._conducting, *self._talks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def acts(self) -> AsyncIterator[Act]:
        """What the client's user does, each when it is time, until all is played."""
        while (act := await self._acts.get()) is not None:
            yield act

    # -- the play

    async def _conduct(self) -> None:
        number = 0
        try:
            while number < len(self._lines):
                async with asyncio.timeout(_DEADLINE_S):
                    number = await self._play(number)
        except TimeoutError:
            self.complaints.append(f"nothing came for line {number + 2}: {encoded(self._lines[number])}")
        except Mismatch as mismatch:
            self.complaints.append(f"at line {number + 2}: {mismatch}")
        except Exception as error:
            self.complaints.append(f"at line {number + 2}: {error!r}")
            raise
        finally:
            if self.complaints:
                for connection in self._connections:
                    connection.cut()
            self._acts.put_nowait(None)

    async def _play(self, number: int) -> int:
        """One line; the number of the next."""
        line = self._lines[number]
        self._tell(number)
        match line:
            case {"at": "client", "on": on, "asks": wanted}:
                self._live[on] = await self._next_request(wanted)
            case {"at": "client", "on": on, "opens": path}:
                opened, self._live[on] = await self._opened.get()
                _expect(path, opened)
            case {"at": "client", "on": on, "says": wanted, "unless_heard": True}:
                self._tell(next_command(self._lines, number))
                return await self._maybe(number, self._live[on], wanted)
            case {"at": "client", "on": on, "says": wanted} if on not in self._lost:
                self._take(wanted, await self._next_command(self._live[on], wanted["type"]))
            case {"at": "network", "on": on, "loses": "all"}:
                self._lost.add(on)
            case {"at": "server", "on": on}:
                await self._say(self._live[on], line)
            case {"at": "network", "on": on, "cuts": True}:
                if on in self._lost:
                    await self._live[on].said.get()  # one is sent at least: others may wait for its answer
                await self._cut(number, self._live[on])
        return number + 1

    def _tell(self, number: int) -> None:
        """The user's part of a client's line, if it has one that was not told before."""
        act = act_of(self._lines, number)
        if act is not None and number not in self._told:
            self._told.add(number)
            self._acts.put_nowait(act)

    async def _next_request(self, wanted: Line) -> _Connection:
        asked, connection = await self._asked.get()
        for name in ("method", "path"):
            _expect(wanted[name], asked[name])
        _expect(_plain(wanted.get("body", {})), _plain(asked.get("body", {})))
        last_id = wanted.get("headers", {}).get("Last-Event-ID")
        _expect(last_id, asked["headers"].get("last-event-id") or asked["after"])
        if "Idempotency-Key" in wanted.get("headers", {}) and not asked["headers"].get("idempotency-key"):
            raise Mismatch("without an Idempotency-Key nobody can know whether it may be sent again")
        return connection

    async def _next_command(self, connection: _Connection, wanted: str) -> Line:
        while True:
            command = await connection.said.get()
            if command["type"] == wanted or command["type"] not in ("ping", "typing", "read"):
                return command
            if "ref" in command:  # a client may do these whenever it likes
                await self._push(connection, {"type": "ok", "ref": command["ref"]})

    async def _maybe(self, number: int, connection: _Connection, wanted: Line) -> int:
        """A command that a client may leave out which has heard of it already; the number of the next line."""
        command = await self._next_command(connection, wanted["type"])
        if self._own.get(wanted["client_id"]) == command.get("client_id"):
            self._take(wanted, command)
            return number + 1
        following = next_command(self._lines, number)
        self._take(self._lines[following]["says"], command)
        return following + 1

    def _take(self, wanted: Line, command: Line) -> None:
        for name in _OWN:
            if name in wanted:
                known = self._own.setdefault(wanted[name], command.get(name))
                if name == "client_id":
                    _expect(known, command.get(name))
        _expect(_plain(wanted), _plain(command))

    # -- what it says

    async def _say(self, connection: _Connection, line: Line) -> None:
        match line:
            case {"answers": {"status": status, "headers": headers, **rest}}:
                is_stream = headers.get("content-type", "").startswith("text/event-stream")
                body = encoded(rest["body"]).encode() if "body" in rest else b""
                await connection.answer(status, headers, None if is_stream else body)
            case {"writes": {"retry": _}}:
                await connection.chunk(block_of(self._retry).encode() + b"\n\n")
            case {"writes": written}:
                await connection.chunk(block_of(written).encode() + b"\n\n")
            case {"ends": True}:
                await connection.write(b"0\r\n\r\n")
                connection.cut()
            case {"says": push}:
                await self._push(connection, push)
            case {"closes": {"code": code, "reason": reason}}:
                assert connection.socket is not None
                connection.socket.send_close(code, reason)
                await connection.flush()

    async def _push(self, connection: _Connection, push: Line) -> None:
        assert connection.socket is not None
        said = self._by_own_names(push)
        if said.get("type") == "ok" and "ref" in push and "ref" not in said and len(said) == 1:
            return  # to what is answered only if it has a ref
        connection.socket.send_text(encoded(said).encode())
        await connection.flush()

    def _by_own_names(self, value: Any) -> Any:
        """With the names that the client chose, and without those that it did not."""
        if isinstance(value, list):
            return [self._by_own_names(each) for each in value]
        if not isinstance(value, dict):
            return value
        own = {name: self._own.get(value[name], value[name]) for name in _OWN if name in value}
        named = {name: own.get(name, self._by_own_names(each)) for name, each in value.items()}
        return {name: each for name, each in named.items() if not (name in own and each is None)}

    async def _cut(self, number: int, connection: _Connection) -> None:
        """In the middle of what would have come next, where that is known."""
        if connection.socket is None:
            writes = [line["writes"] for line in self._lines[number:] if "id" in line.get("writes", {})]
            data = block_of(writes[0]).encode()
            await connection.chunk(data[: len(data) // 2])
        connection.cut()

    # -- connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            # Cancelled once all is over: streams would log it.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                self._connections.append(_Connection(writer, self._piece))
                await self._talk(reader, self._connections[-1])
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("upgrade", "").lower() == "websocket":
            await self._hold_socket(reader, connection, head, path)
            return
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked: Line = {
            "method": method,
            "path": path,
            "headers": headers,
            "after": query.partition("after=")[2] or None,
        }
        if body:
            asked["body"] = json.loads(body)
        if path == "/next":
            await self._next(connection)
        elif method == "GET" and not path.endswith("/events"):
            held = encoded(self.transcript.holds).encode()
            await connection.answer(200, {"content-type": "application/json"}, held)
        else:
            self._asked.put_nowait((asked, connection))
            await reader.read()  # until the client has gone

    async def _next(self, connection: _Connection) -> None:
        act = await self._acts.get()
        if act is None:
            self._acts.put_nowait(None)
            await connection.answer(204, {}, b"")
        else:
            await connection.answer(200, {"content-type": "application/json"}, encoded(act).encode())

    async def _hold_socket(self, reader: asyncio.StreamReader, connection: _Connection, head: bytes, path: str) -> None:
        socket = connection.socket = ServerProtocol(select_subprotocol=lambda _, offered: None, max_size=None)
        received = head
        while received:
            socket.receive_data(received)
            for event in socket.events_received():
                if isinstance(event, Request):
                    socket.send_response(socket.accept(event))
                    await connection.flush()
                    self._opened.put_nowait((path, connection))
                elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    connection.said.put_nowait(json.loads(bytes(event.data)))
            await connection.flush()
            received = b"" if socket.close_expected() else await reader.read(_READ_BYTES)


def _plain(said: Line) -> Line:
    """Without what the client chooses, and what means the same where it is left out."""
    return {name: value for name, value in said.items() if name not in _OWN and _UNSAID.get(name, ...) != value}


def _expect(wanted: object, came: object) -> None:
    if wanted != came:
        raise Mismatch(f"{encoded(wanted)} was to come, not {encoded(came)}")
