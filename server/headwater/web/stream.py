"""The response that follows a log, in any format."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

import anyio
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.config import Config
from headwater.entropy import between
from headwater.errors import HeadwaterError
from headwater.formats.base import After, Frame
from headwater.hub import Cursor
from headwater.web.connection import EXTENSION, Connection

log = logging.getLogger("headwater.web")

# The command drains before it lets the server exit: streams are let go by the hub, spread over time.
AppStatus.enable_automatic_graceful_drain = False

# Given to a socket at once: more would be copied for each slow reader of a long snapshot.
PIECE_BYTES = 64 * 1024

_HEADERS = {"Cache-Control": "no-cache, no-transform"}


class LogResponse(EventSourceResponse):
    """Writes a cursor's frames, each as soon as the socket has taken the one before.

    Keep-alives come from the cursor, and over our own connection class so do most frames, and the
    news that the client left: then there is no other task than the request's. Under any other
    server the base class sees to it, with a task that watches for each.
    """

    def __init__(
        self,
        cursor: Cursor,
        retry_ms: int,
        headers: dict[str, str] | None = None,
        background: BackgroundTask | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            _Nothing(),
            headers=_HEADERS | (headers or {}),
            media_type=cursor.format.media_type,
            background=background,
            ping=0,
        )
        self._cursor = cursor
        self._retry_ms = retry_ms
        self.on_close = on_close
        self._broken = False
        self.complete = False
        """Whether the run was told to its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: Connection | None = scope.get("extensions", {}).get(EXTENSION)
        background, self.background = self.background, None  # the reader's place is given up before it is run
        try:
            if connection is None:
                self._cursor.line = self._watched = _Watched()
                await super().__call__(scope, receive, send)
            else:
                await self._write_over(connection, send)
        finally:
            self._cursor.close()
            self.on_close()
        if background is not None:
            await background()

    async def _write_over(self, connection: Connection, send: Send) -> None:
        self._cursor.line = connection
        watch(connection, partial(self._cursor.let_go, "left"))
        try:
            await self._stream_response(send)
            if self._broken:
                connection.hang_up()
        finally:
            connection.on_lost = None

    async def _stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        cursor = self._cursor
        opening = cursor.format.opening(self._retry_ms)
        while (frame := await self._next()) is not None:
            await self._write(opening, frame, send)
            opening = b""
            if frame.after is not After.GO_ON:
                self.complete = frame.after is After.CLOSE and cursor.has_ended  # else the answer began anew
                break
        self._broken = (
            frame.after is After.BREAK
            if frame is not None
            else cursor.gone_because == "left" or not cursor.format.says_its_end  # it was let go
        )
        if self._broken:
            return
        self.active = False
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, opening: bytes, frame: Frame, send: Send) -> None:
        """Apart, so that a connection that then falls silent does not keep what it wrote."""
        for piece in _pieces(opening, frame):
            self._cursor.writing()  # anew: a slow reader of a large frame does take something
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._cursor.written()

    async def _next(self) -> Frame | None:
        try:
            return await self._cursor.next()
        except HeadwaterError as error:
            log.warning("%r ends early: %s", self._cursor, error.detail)
            self._cursor.let_go("unreadable")
            return None  # the reader comes back, with its position

    async def _listen_for_exit_signal_with_grace(self) -> None:
        await self._watched.aborted.wait()


class _Watched:
    """A line under a server of which only ASGI is known: the task writes, and is cancelled to abort."""

    def __init__(self) -> None:
        self.aborted = anyio.Event()

    def write(self, data: bytes) -> bool:
        return False

    def abort(self) -> None:
        self.aborted.set()


class _Nothing:
    """The base class wants content; ours comes from the cursor."""

    def __aiter__(self) -> "_Nothing":
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


def watch(connection: Connection, on_lost: Callable[[], None]) -> None:
    """Have `on_lost` called once the client is gone, now if it is; set the connection's back to None in the end."""
    connection.on_lost = on_lost
    if connection.is_lost:
        on_lost()
    else:
        connection.flow.resume_reading()  # uvicorn pauses it after a large body, and then nobody is seen to leave


def _pieces(opening: bytes, frame: Frame) -> Iterator[bytes | memoryview]:
    """All bytes of a frame, behind the connection's first. What is large is shared with other readers: never copied."""
    if len(frame.data) <= PIECE_BYTES:
        yield opening + frame.data
    else:
        if opening:
            yield opening
        yield from _cut(frame.data)
    for data in frame.rest:
        yield from _cut(data)


def _cut(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


def draw_retry_ms(config: Config) -> int:
    """How long this client shall wait before it reconnects."""
    return between(config.retry_ms_min, config.retry_ms_max)


def come_back(error: HeadwaterError, config: Config) -> Response:
    """A passing refusal for an EventSource: any status but 200 would end it for good."""
    wait_ms = max(draw_retry_ms(config), 1000 * (error.retry_after or 0))
    body = f"retry: {wait_ms}\n\n: {error.code}: {error.detail}\n\n"
    return Response(body, 200, _HEADERS | {"Connection": "close", "X-Accel-Buffering": "no"}, "text/event-stream")
