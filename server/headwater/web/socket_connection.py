"""uvicorn's WebSocket, with an answer to every handshake and an end to every connection."""

import asyncio
from collections.abc import Callable

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from headwater.core.frames import FRAGMENT_BYTES, frames_in
from headwater.core.session import TOO_LARGE
from headwater.errors import BadRequest, Draining, HeadTooLarge
from headwater.hub.cursor import WRITE_THROUGH_BYTES
from headwater.web.connection import EXTENSION, WRITE_BUFFER_BYTES
from headwater.web.head import raw_problem

# As its parser has it, which is stricter than ours of HTTP.
LINE_BYTES_MAX = 8 * 1024
# Of pongs that the client does not take. What else is written waits at less than half of it: for the buffer, and with
# one chunk of what happens in the room above. So what is above are pings without end.
UNTAKEN_BYTES_MAX = 2 * (WRITE_BUFFER_BYTES + WRITE_THROUGH_BYTES + FRAGMENT_BYTES)
# Of one message. Its bytes are bounded by the parser, but a piece may be empty; 64 bytes in each make the longest.
PIECES_MAX = 1024


class SocketConnection(WebSocketsSansIOProtocol):
    """A connection that can be broken off where its client takes nothing any more."""

    transport: asyncio.Transport
    amid_message = False
    """Whether some frames of a message are written, and others wait for the client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Of a handshake that its parser does not take it says nothing, and would wait for ever.
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self._refuse()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:  # else it is refused already
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]  # ASGI leaves the values open

    def send_receive_event_to_app(self) -> None:
        """A whole message has come. Of one that is not UTF-8 the base class would write a traceback into the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._end(BadRequest.close_code, "a frame's text is not UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """Another piece of a message has come."""
        if len(self.frames) < PIECES_MAX:
            super().handle_cont(event)
        elif not self.close_sent:
            self._end(TOO_LARGE, f"a frame has at most {PIECES_MAX} pieces")

    def handle_ping(self) -> None:
        """Answer it. Nothing else is written without waiting for the client: the base class would buffer for ever."""
        if self.close_sent or self.transport.is_closing():
            self.conn.data_to_send()  # forgotten: after the last frame nothing can be written
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > UNTAKEN_BYTES_MAX:
            self.transport.abort()

    async def send(self, message: ASGISendEvent) -> None:
        """What the app says. A refusal answers the handshake as well, which the base class would log as none."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    # -- frames that were made for many, which the base class knows nothing of

    def write(self, data: bytes) -> bool:
        """Write whole messages, unless the client is behind; whether they were written."""
        if self.amid_message or not self.writable.is_set() or self.close_sent or self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    async def write_all(self, data: bytes, on_taken: Callable[[], None]) -> None:
        """Write frames as the client takes them, and tell of each. Another message must not be begun meanwhile."""
        self.amid_message = True  # the client may have room again before this goes on
        try:
            for frame in frames_in(data):
                await self.writable.wait()
                if self.close_sent or self.transport.is_closing():
                    return
                on_taken()
                self.transport.write(frame)
            await self.writable.wait()
        finally:
            self.amid_message = False

    def abort(self) -> None:
        """Drop the connection and what it did not take."""
        self.transport.abort()

    def handle_parser_exception(self) -> None:
        """Say why it is closed, and read on until the client has heard it: bytes left unread would reset it instead."""
        if self.close_sent:
            return
        if self.conn.close_sent is None:  # it spoke before it was let in, when no frame could say why
            self.transport.abort()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": self.conn.close_sent.code})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    def shutdown(self) -> None:
        """The server exits: say so, rather than that a service restarts, which is the supervisor's to know."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": Draining.close_code})
            self.conn.send_close(Draining.close_code, "the server is shutting down: connect again")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        elif not self.handshake_complete:
            self._send_away()
            return
        super().shutdown()

    def _send_away(self) -> None:
        """The server exits in the midst of a handshake: refuse it in a way that says to come back, not as a fault."""
        self.stop_keepalive()
        if self.handshake_initiated and self.initial_response is None and not self.transport.is_closing():
            self.transport.write(raw_problem(Draining("This worker is shutting down. Connect again.", retry_after=1)))
        self.disconnected = True  # for the app, which may be about to answer it
        self.transport.close()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.see_it_off()

    def see_it_off(self, left: int = 0) -> None:
        """Drop it once the client takes nothing any more: `left` bytes were there a while ago."""
        size = self.transport.get_write_buffer_size()
        if size and size == left:
            self.transport.abort()
        elif size:
            self.loop.call_later(self.app_state["config"].slow_reader_s, self.see_it_off, size)

    def _end(self, code: int, reason: str) -> None:
        """Close it for what has come; whatever else comes is thrown away unread."""
        self.frames = []
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _refuse(self) -> None:
        limit = LINE_BYTES_MAX
        error = HeadTooLarge(f"A WebSocket's request may have lines of {limit} bytes, and 128 headers.", limit=limit)
        self.transport.write(raw_problem(error))
        self.transport.close()
