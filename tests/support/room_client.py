"""A member of a room over a real socket. As an app does, it comes back when cut, and sends again what was lost."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.support.room_view import Push, RoomView
from tests.support.waiting import eventually

_DEADLINE_S = 45.0  # only ends a hang, before the test is ended by force
# After a message, or a join, was refused for now.
_AGAIN_S = 0.05
# Close codes after which nobody comes back.
_FINAL = (1009, 4400, 4401, 4403)


class Refused(AssertionError):
    """The server closed the socket, or denied it, for good."""


class RoomClient:
    """Somebody in a room; what they hold is in `view`. As an async context manager it joins and stays, until it leaves.

    `where` is the server's URL, or gives one for each connection. It is cut as by a lost network each time that it has
    heard so many pushes as `cuts` says next, of all connections; if it has already, as soon as it has asked to join.
    `receive_buffer` is the socket's SO_RCVBUF in bytes.
    """

    def __init__(
        self,
        where: str | Callable[[], str],
        room: str,
        name: str,
        *,
        cuts: Iterable[int] = (),
        token: str | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.room = room
        self.name = name
        self.view = RoomView()
        self.connections = 0
        self.cuts_made = 0
        self.closes: list[tuple[int, str]] = []
        """How connections ended that were not cut here."""
        self._where = where if callable(where) else lambda: where
        self._cuts = iter(cuts)
        self._next_cut = next(self._cuts, None)
        self._token = token
        self._receive_buffer = receive_buffer
        self._refs = count(1)
        self._client_ids = count(1)
        self._asked: dict[str, asyncio.Future[Push]] = {}
        self._is_cut = False
        self._socket: ClientConnection | None = None
        """Where one is in."""
        self._sending = asyncio.Lock()
        self._news = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._staying: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        view = self.view
        return (
            f"<RoomClient {self.name} at {view.position or 0}, {self.connections} connections, {self.cuts_made} cuts, "
            f"{len(view.outbox)} unacknowledged, {len(view.local)} unheard>"
        )

    @property
    def is_in(self) -> bool:
        """Whether it has joined, on the connection that it has now."""
        return self._socket is not None

    @property
    def has_left(self) -> bool:
        """Whether it has come, and is gone for good: by itself, or since it was refused."""
        return self._staying is not None and self._staying.done()

    @property
    def problem(self) -> BaseException | None:
        """Why it has left, where it has not done so by itself."""
        staying = self._staying
        return staying.exception() if staying is not None and staying.done() and not staying.cancelled() else None

    @property
    def calm(self) -> bool:
        """Whether it has been cut as often as it was to be."""
        return self._next_cut is None

    # -- life

    async def __aenter__(self) -> Self:
        await self.come_in()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def come_in(self) -> None:
        """Join, and stay from now on. Raises Refused."""
        self._staying = asyncio.create_task(self._stay())
        self._staying.add_done_callback(lambda _: self._news.set())
        await self.until(lambda view: view.joined, "is in")

    async def leave(self) -> None:
        """Be gone. What has gone wrong before is raised by `until`, not here."""
        if self._staying is not None:
            self._staying.cancel()
            await asyncio.gather(self._staying, return_exceptions=True)

    async def until(self, condition: Callable[[RoomView], object], what: str = "") -> RoomView:
        """The view, once the condition holds. Raises what went wrong meanwhile, or AssertionError if it never does."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while not condition(self.view):
                    assert self._staying is not None, "it never came"
                    if self._staying.done():
                        self._staying.result()
                        raise AssertionError(f"{self!r} has left")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {_DEADLINE_S:g} s: {self!r} {what}") from None
        return self.view

    def cut(self) -> None:
        """Lose the connection, if there is one: at once, and without a goodbye."""
        if self._socket is not None:
            self._is_cut = True
            self._socket.transport.abort()

    def _cut_still(self, connection: ClientConnection | None) -> None:
        """Lose this connection, unless another has taken its place."""
        if connection is self._socket:
            self.cut()

    def stop_reading(self) -> None:
        """Take nothing after the next push, which is waited for already: what comes fills the buffers on both ends."""
        self._reads.clear()

    def read_on(self) -> None:
        """Take it again."""
        self._reads.set()

    # -- talk

    async def say(self, text: str, **fields: Any) -> str:
        """Say something, now or once one is in; its client_id. It is sent until it is answered."""
        client_id = f"{self.name}-{next(self._client_ids)}"
        async with self._sending:
            command = {"type": "message", "ref": client_id, "client_id": client_id, "text": text, **fields}
            self.view.say(client_id, command)
            if self._socket is not None:
                await self._send(self._socket, command)
        return client_id

    async def ask(self, kind: str, **fields: Any) -> Push:
        """The answer to any other command, `ok` or `error`. Raises ConnectionError if the connection is lost first."""
        await self.until(lambda _: self.is_in, "is in")
        assert self._socket is not None
        ref = f"ask-{next(self._refs)}"
        answer: asyncio.Future[Push] = asyncio.get_running_loop().create_future()
        self._asked[ref] = answer
        async with asyncio.timeout(_DEADLINE_S):
            await self._send(self._socket, {"type": kind, "ref": ref, **fields})
            return await answer

    @staticmethod
    async def _send(connection: ClientConnection, command: Push) -> None:
        with contextlib.suppress(ConnectionClosed):  # the reader sees it too
            await connection.send(msgspec.json.encode(command), text=True)

    # -- one connection after another

    async def _stay(self) -> None:
        while True:
            connection = await eventually(self._connect, _DEADLINE_S, f"{self!r} is let in")
            self.connections += 1
            self._is_cut = False
            try:
                await self._listen(connection)
                self.cuts_made += 1
                self._next_cut = next(self._cuts, None)
            except ConnectionClosed as closed:
                self._closed(closed)
            finally:
                self._socket = None
                connection.transport.abort()
                self._lose()

    async def _connect(self) -> ClientConnection | None:
        """None where nobody is there, or who is there says: later."""
        url = urlsplit(self._where())
        assert url.hostname and url.port
        raw = socket.socket()
        if self._receive_buffer is not None:  # before connecting: it decides the window
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        raw.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(raw, (url.hostname, url.port))
            return await connect(
                f"ws://{url.netloc}{url.path}/v1/rooms/{self.room}/ws",
                sock=raw,
                additional_headers={"Authorization": f"Bearer {self._token}"} if self._token else None,
                proxy=None,
                compression=None,
                ping_interval=None,
                max_size=None,
                open_timeout=_DEADLINE_S,
            )
        except InvalidStatus as error:
            if error.response.status_code not in (429, 503):
                raise Refused(f"{error.response.status_code}: {error.response.body!r}") from error
        except (OSError, InvalidHandshake, ConnectionClosed):  # the last where it is lost while hands are shaken
            pass
        except BaseException:
            raw.close()
            raise
        raw.close()
        return None

    async def _listen(self, connection: ClientConnection) -> None:
        """Until it is to be cut. Raises ConnectionClosed."""
        join = {"type": "join", "ref": "join", "name": self.name}
        await self._send(connection, join | ({"since": self.view.position} if self.view.position else {}))
        while self._next_cut is None or self.view.heard < self._next_cut:
            await self._reads.wait()
            push = msgspec.json.decode(await connection.recv(decode=False))
            ref = push.get("ref")
            if ref is None or push["type"] == "joined":
                self.view.take(push)
            elif ref == "join":
                self._not_let_in(connection, push)
            else:
                self._take_answer(ref, push)
            if push["type"] == "joined":
                await self._send_again(connection)
            self._news.set()

    def _not_let_in(self, connection: ClientConnection, error: Push) -> None:
        """It comes back in a moment, where it was refused for now."""
        if not error["retryable"]:
            raise Refused(f"may not join: {error}")
        self._is_cut = True
        asyncio.get_running_loop().call_later(_AGAIN_S, connection.transport.abort)

    async def _send_again(self, connection: ClientConnection) -> None:
        """One is in: all that was not answered is sent, before anything new is."""
        async with self._sending:
            self._socket = connection
            for command in self.view.outbox.values():
                await self._send(connection, command)

    def _take_answer(self, ref: str, answer: Push) -> None:
        waiting = self._asked.pop(ref, None)
        if waiting is None:
            self.view.acknowledged(ref, answer)
            if answer["type"] == "error" and answer["retryable"]:
                asyncio.get_running_loop().call_later(_AGAIN_S, self._cut_still, self._socket)
        elif not waiting.done():
            waiting.set_result(answer)

    def _closed(self, closed: ConnectionClosed) -> None:
        if self._is_cut:
            return
        how = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")
        self.closes.append(how)
        if how[0] in _FINAL:
            raise Refused(f"closed with {how}") from closed

    def _lose(self) -> None:
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection was lost before the answer"))
        self._asked.clear()
        self._news.set()
