"""A real server to which a transcript's lines are played, and what it says to them.

It runs in this process, so that what models, other workers and misfortune do is done when its line comes.
"""

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio.to_thread
import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import headwater
from headwater.core.access import DEFAULT_TENANT
from headwater.core.events import Attempt, End, Event, Text
from headwater.errors import TooMany
from headwater.hub import Hub, RoomCursor
from headwater.providers.base import Finish, ProviderError
from headwater.providers.steps import to_step
from headwater.state import AppState
from headwater.store.base import Lease
from tests.hub.producing import PublishingProducer
from tests.store.producing import start
from tests.support.server import free_port
from tests.support.waiting import eventually
from tests.transcripts.running import Puppet, RunningServer
from tests.transcripts.transcript import RETRY_MS, Line, Names, Transcript, channels, covers, encoded, event_of, members

MODEL = "teller"
_DEADLINE_S = 20.0  # generous: only ends a hang
_HEADERS = ("content-type", "location", "content-location", "headwater-run", "idempotent-replayed", "retry-after")
"""Of an answer, what the protocol describes."""


class Stage:
    """One server on a SQLite file in `directory`. `heard` is what it said, in order, by stable names.

    `settings` are fields of its Config.
    """

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self.heard: list[Line] = []
        self.names = Names()
        self._port = free_port()
        self._file = directory / "headwater.db"
        self._settings = {"drain_s": 0.0, "drain_spread_s": 0.0, **settings}
        self._puppet = Puppet()
        self._asked = 0
        self._news = asyncio.Event()
        self._server: RunningServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}", timeout=_DEADLINE_S, trust_env=False, verify=False
        )
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._sockets: dict[int, ClientConnection] = {}
        self._listening: dict[int, asyncio.Task[None]] = {}
        self._lost: set[int] = set()
        self._others: dict[str, ClientConnection] = {}
        self._reader: httpx2.Response
        self._elsewhere: PublishingProducer | None = None

    @property
    def state(self) -> AppState:
        """The parts of the server."""
        assert self._server is not None
        return self._server._state

    # -- life

    async def open(self) -> None:
        """Start the server."""
        config = headwater.Config(store=f"sqlite:{self._file}", **self._settings)
        make = partial(headwater.create_app, config, providers={MODEL: self._puppet}, environ={})
        app = await anyio.to_thread.run_sync(make)
        started = asyncio.Event()

        async def serve() -> None:
            async with headwater.lifespan(app) as entered:
                with socket.create_server(("127.0.0.1", self._port)) as sock:
                    self._server = RunningServer(app, config, cast(AppState, dict(entered)))
                    started.set()
                    await self._server.serve([sock])

        self._serving = asyncio.create_task(serve())
        await started.wait()
        await eventually(lambda: self._server is not None and self._server.started, what="it listens")

    async def close(self) -> None:
        """Everybody goes, and the server stops."""
        tasks = [*self._requests.values(), *self._listening.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in (*self._sockets.values(), *self._others.values()):
            one.transport.abort()
        await self._http.aclose()
        await self._stop()

    async def _stop(self) -> None:
        assert self._server is not None and self._serving is not None
        await self._server.leave()
        await self._serving

    # -- what it says

    def on(self, connection: int) -> list[Line]:
        """What it said there."""
        return [line for line in self.heard if line["on"] == connection]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Return once it has said enough. Raises AssertionError if it never does."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{what}; heard was\n" + "\n".join(map(encoded, self.heard))) from None

    async def says_as(self, transcript: Transcript, upto: int) -> None:
        """Return once it has said what it says there before the line `upto`. Raises AssertionError where it cannot."""
        for connection in transcript.connections:
            wanted, whole = (channels(transcript.said(connection, end)) for end in (upto, None))

            def said(connection: int = connection, wanted: Any = wanted, whole: Any = whole) -> bool:
                heard = channels(self.on(connection))
                assert covers(whole, heard), f"on {connection} it was to say {encoded(whole)}, not {encoded(heard)}"
                return covers(heard, wanted)

            await self.until(said, f"before line {upto + 2} it was to say on {connection}: {encoded(wanted)}")

    def _hear(self, on: int, **what: Any) -> None:
        self.heard.append({"at": "server", "on": on, **self.names.stable(what)})
        self._news.set()

    # -- what is played

    async def play(self, line: Line) -> None:
        """What anybody but the server does."""
        line = self.names.real(line)
        match line:
            case {"at": "client", "on": on, "asks": asks}:
                self._requests[on] = asyncio.create_task(self._ask(on, asks))
            case {"at": "client", "on": on, "opens": path}:
                self._sockets[on] = await self._connect(path)
                self._listening[on] = asyncio.create_task(self._listen(on, self._sockets[on]))
            case {"at": "client", "on": on, "says": command}:
                if on not in self._lost:
                    await self._sockets[on].send(encoded(command), text=True)
            case {"at": "network", "on": on, "loses": what}:
                self._listening[on].cancel()
                self._lost |= {on} if what == "all" else set()
            case {"at": "network", "on": on, "cuts": True}:
                await self._cut(on)
            case {"at": "model"}:
                await self._model(line)
            case {"at": "elsewhere"}:
                await self._work_elsewhere(line)
            case {"at": "world", "does": what}:
                await self._befall(what)
            case {"at": who}:
                await self._other(who, line)

    async def _ask(self, on: int, asks: Any) -> None:
        request = self._http.build_request(
            asks["method"], asks["path"], headers=asks.get("headers"), json=asks.get("body")
        )
        response = await self._http.send(request, stream=True)
        try:
            headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
            answer: Line = {"status": response.status_code, "headers": headers}
            if not headers.get("content-type", "").startswith("text/event-stream"):
                raw = await response.aread()
                if raw:
                    answer["body"] = json.loads(raw)
                    assert encoded(answer["body"]).encode() == raw, f"the server writes this otherwise: {raw!r}"
                self._hear(on, answers=answer)
                return
            self._hear(on, answers=answer)
            await self._read_blocks(on, response)
            self._hear(on, ends=True)
        finally:
            await response.aclose()

    async def _read_blocks(self, on: int, response: httpx2.Response) -> None:
        rest = b""
        async for piece in response.aiter_raw():
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                written = event_of(block.decode())
                if "retry" in written:
                    written["retry"] = RETRY_MS
                self._hear(on, writes=written)
        assert not rest, f"half a block: {rest!r}"

    async def _connect(self, path: str) -> ClientConnection:
        return await connect(
            f"ws://127.0.0.1:{self._port}{path}", proxy=None, compression=None, ping_interval=None, close_timeout=1
        )

    async def _listen(self, on: int, connection: ClientConnection) -> None:
        try:
            while True:
                frame = await connection.recv(decode=True)
                push = json.loads(frame)
                assert encoded(push) == frame, f"the server writes this otherwise: {frame!r}"
                self._hear(on, says=push)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "it broke"
            self._hear(on, closes={"code": closed.rcvd.code, "reason": closed.rcvd.reason})

    async def _cut(self, on: int) -> None:
        hub = self.state["hub"]
        before = _followers(hub)
        task = self._requests.get(on) or self._listening[on]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if on in self._sockets:
            self._sockets[on].transport.abort()
        await eventually(lambda: _followers(hub) < before, what="the server knows that they are gone")

    # -- others

    async def _model(self, line: Line) -> None:
        match line:
            case {"asked": True}:
                await eventually(lambda: self._puppet.asked > self._asked, what="the model is asked")
                self._asked = self._puppet.asked
            case {"says": deltas}:
                before = await self._top()
                for delta in deltas:
                    step = to_step(delta)
                    assert step is not None
                    self._puppet.lines.put_nowait(step)
                await eventually(partial(self._reaches, before + len(deltas)), what="it is stored")
            case {"finishes": reason}:
                self._puppet.lines.put_nowait(Finish(reason))
            case {"breaks": [reason, detail]}:
                self._puppet.lines.put_nowait(ProviderError(reason, detail))

    async def _top(self) -> int:
        (top,) = await self.state["store"].tops([self.names.real("run_1")])
        assert top is not None
        return top.position.seq

    async def _reaches(self, seq: int) -> bool:
        return await self._top() >= seq

    async def _work_elsewhere(self, line: Line) -> None:
        store, hub = self.state["store"], self.state["hub"]
        if line.get("starts"):
            plain = await start(store, DEFAULT_TENANT, lease_s=600.0, model=MODEL)
            run = await store.get(plain.run_id)
            assert run is not None
            self._elsewhere = PublishingProducer(store, Lease(run, plain.token, plain.tag), hub)
            self.names.stable(run.id)
            return
        assert self._elsewhere is not None
        await self._elsewhere.say(*map(_event, line["writes"]))

    async def _befall(self, what: str) -> None:
        match what:
            case "the server is started anew":
                await self._stop()
                await self.open()
            case "the store forgets the rooms":
                with contextlib.closing(sqlite3.connect(self._file)) as database, database:
                    for table in ("rooms", "room_settings", "room_entries", "posts", "turns", "room_marks"):
                        database.execute(f"DELETE FROM {table}")
                for log_id in tuple(self.state["hub"].logs):
                    self.state["hub"].look(log_id)
            case "the room keeps two events":
                await self._http.put("/v1/rooms/lobby", json={"retention": {"count": 2}})
            case "the client is too slow":
                for cursor in _room_cursors(self.state["hub"]):
                    cursor.let_go("slow")
            case _:
                raise AssertionError(f"no such thing happens: {what}")

    async def _other(self, who: str, line: Line) -> None:
        match line:
            case {"enters": path}:
                self._others[who] = await self._connect(path)
                await self._exchange(who, {"type": "join", "name": who.capitalize()})
            case {"says": command}:
                await self._exchange(who, command)
            case {"hears": what}:
                await self._hears(who, what)
            case {"goes": True} if who in self._others:
                await self._others.pop(who).close()
            case {"follows": path}:
                self._reader = await self._http.send(self._http.build_request("GET", path), stream=True)
            case {"goes": True}:
                await self._reader.aclose()
                await eventually(self._has_room, what="there is room again")

    async def _exchange(self, who: str, command: Line) -> Line:
        """The answer to their command."""
        await self._others[who].send(encoded({**command, "ref": who}), text=True)
        answer = await self._hears(who, who)
        assert answer["type"] != "error", answer
        return answer

    async def _hears(self, who: str, what: str) -> Line:
        """The next push that they hear of this type, or to this ref, or under this client_id."""
        async with asyncio.timeout(_DEADLINE_S):
            while True:
                push: Line = json.loads(await self._others[who].recv())
                if what in (push["type"], push.get("ref"), push.get("client_id")):
                    return push

    def _has_room(self) -> bool:
        with contextlib.suppress(TooMany):
            self.state["hub"].check_room()
            return True
        return False

    # -- how it ends

    async def settles(self, of: str) -> None:
        """Return once the client knows who is there, which is told last."""
        if of == "room":
            everybody = self._everybody()
            await self.until(lambda: members(self.on(max(self._sockets))) == everybody, f"{everybody} are there")

    async def holds(self, of: str) -> Line:
        """What is there, as whoever comes now finds it."""
        if of == "run":
            run = (await self._http.get(f"/v1/runs/{self.names.real('run_1')}")).json()
            there = cast(Line, run)
        else:
            everybody = self._everybody()
            self._others["observer"] = await self._connect("/v1/rooms/lobby/ws")
            joined = await self._exchange("observer", {"type": "join", "name": "Observer"})
            there = {name: joined[name] for name in ("position", "messages", "marks")} | {"members": everybody}
        return cast(Line, self.names.stable(there))

    def _everybody(self) -> dict[str, str]:
        """The names of those who are in the room, by their ids."""
        return {f"guest:{name}": name for name in ("Ann", *(other.capitalize() for other in self._others))}


@asynccontextmanager
async def staged(directory: Path, header: Line) -> AsyncIterator[Stage]:
    """A stage for a scene, until the end of the block."""
    stage = Stage(directory, header.get("settings", {}))
    await stage.open()
    try:
        yield stage
    finally:
        await stage.close()


def _event(value: Any) -> Event:
    match value:
        case {"attempt": fields}:
            return Attempt(**fields)
        case {"end": fields}:
            return End(**fields)
        case {"text": text}:
            return Text(text)
    raise AssertionError(f"no event: {value}")


def _followers(hub: Hub) -> int:
    return sum(len(log.followers) for log in hub.logs.values())


def _room_cursors(hub: Hub) -> list[RoomCursor]:
    return [cursor for log in hub.logs.values() for cursor in log.followers if isinstance(cursor, RoomCursor)]
