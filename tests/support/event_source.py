"""A reader of a run over a real socket, as a browser's EventSource, that a test can cut at any byte."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from enum import Enum
from urllib.parse import urlsplit

import h11

from tests.support.sse import EventStreamParser, Follower, Message
from tests.support.waiting import eventually

_READ_BYTES = 65_536
_DEADLINE_S = 60.0  # for one connection and for a whole answer: only ends a hang
_CONNECTIONS = 2_000  # a reader that comes back more often than this is in a loop


class Over(Enum):
    """Why a connection is over."""

    CUT = "the test cut it"
    CLOSED = "the server closed it, after a whole response"
    LOST = "it broke: refused, reset, or in the middle of the response"
    STOPPED = "204: there is nothing left, do not come back"


class Refused(AssertionError):
    """An answer after which EventSource gives up for good: neither 200 nor 204."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"EventSource was refused with {status}: {body[:500]!r}")
        self.status = status
        self.body = body


class EventSource:
    """One reader of the stream at `url`; what it has read is in `follower`.

    `after` joins there (as `Last-Event-ID`), `on_message` sees each message as it comes, before it is
    checked. `receive_buffer` is the socket's SO_RCVBUF in bytes.
    """

    def __init__(
        self,
        url: str,
        *,
        after: str = "",
        headers: Mapping[str, str] | None = None,
        on_message: Callable[[Message], None] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.url = urlsplit(url)
        assert self.url.scheme == "http" and self.url.hostname and self.url.port, url
        self.headers = dict(headers or {})
        self.on_message = on_message
        self.receive_buffer = receive_buffer
        self.follower = Follower()
        if after:
            self.follower.seq = int(after.partition("-")[0])
        self.parser = EventStreamParser()
        self.parser.last_id = after
        self.connections = 0

    def __repr__(self) -> str:
        told = self.follower.end or self.follower.run
        return f"<EventSource {self.url.geturl()} at {self.last_id or 0}, {self.connections} connections, told {told}>"

    @property
    def text(self) -> str:
        """The output so far."""
        return self.follower.text

    @property
    def last_id(self) -> str:
        """The position it would resume from, empty before the first event that has one."""
        return self.parser.last_id

    async def follow(self, cuts: Iterable[int] = ()) -> None:
        """Read, and come back with the last id, until a 204 says that there is nothing left.

        `cuts` are raw bytes of the response, its head included, after which each connection in turn is
        cut; once they are used up none is. Waits for a server that is away. Raises Refused.
        """
        lengths = iter(cuts)
        async with asyncio.timeout(_DEADLINE_S):
            while await self.read(next(lengths, None)) is not Over.STOPPED:
                assert self.connections < _CONNECTIONS, "the server sends this reader away again and again"
        assert self.follower.end is not None, "204 to a reader that has not seen the end"

    async def read(self, cut_after: int | None = None, until: Callable[[Follower], bool] | None = None) -> Over:
        """One connection: until it is over, or until `until` holds after a message.

        Raises Refused at a status that is neither 200 nor 204.
        """
        async with asyncio.timeout(_DEADLINE_S):
            reader, writer = await eventually(self._open, _DEADLINE_S, f"{self.url.netloc} accepts")
            try:
                async with contextlib.aclosing(self._body(reader, writer, cut_after)) as pieces:
                    async for piece in pieces:
                        for message in self.parser.feed(piece):
                            if self.on_message is not None:
                                self.on_message(message)
                            self.follower.take(message)
                            if until is not None and until(self.follower):
                                return Over.CUT
            except _Finished as finished:
                return finished.over
            except (ConnectionError, h11.RemoteProtocolError):
                return Over.LOST
            finally:
                writer.transport.abort()  # at once, without a goodbye, as a lost network would
        raise AssertionError("unreachable: a body always finishes")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        connection = socket.socket()
        if self.receive_buffer is not None:  # before connecting: it decides the window
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (self.url.hostname, self.url.port))
        except ConnectionError:
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        self.connections += 1
        self.parser.reset()
        self.follower.connected()
        return await asyncio.open_connection(sock=connection, limit=_READ_BYTES)

    async def _body(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut_after: int | None
    ) -> AsyncGenerator[bytes, None]:
        """The pieces of the response's body. Ends by raising _Finished."""
        http = h11.Connection(h11.CLIENT)
        writer.write((http.send(self._request()) or b"") + (http.send(h11.EndOfMessage()) or b""))
        status, refusal = 0, b""
        while True:
            match http.next_event():
                case h11.NEED_DATA:
                    if cut_after == 0:
                        raise _Finished(Over.CUT)
                    received = await reader.read(_READ_BYTES if cut_after is None else min(_READ_BYTES, cut_after))
                    if cut_after is not None:
                        cut_after -= len(received)
                    http.receive_data(received)
                case h11.Response(status_code=status, headers=headers):
                    if status == 200:
                        kind = dict(headers)[b"content-type"].partition(b";")[0]
                        assert kind == b"text/event-stream", f"EventSource fails at content type {kind!r}"
                case h11.Data(data=data) if status == 200:
                    yield bytes(data)
                case h11.Data(data=data):
                    refusal += data
                case h11.EndOfMessage():
                    if status not in (200, 204):
                        raise Refused(status, refusal)
                    raise _Finished(Over.CLOSED if status == 200 else Over.STOPPED)
                case other:
                    raise AssertionError(f"an unexpected {other!r}")

    def _request(self) -> h11.Request:
        target = self.url.path + (f"?{self.url.query}" if self.url.query else "")
        headers = {"Host": self.url.netloc, "Accept": "text/event-stream", "Cache-Control": "no-store", **self.headers}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        return h11.Request(method="GET", target=target, headers=list(headers.items()))


class _Finished(Exception):
    def __init__(self, over: Over) -> None:
        self.over = over
