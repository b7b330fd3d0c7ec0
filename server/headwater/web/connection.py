"""uvicorn's HTTP connection, with what ASGI lacks for one that lives long."""

import asyncio
from collections.abc import Callable

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from headwater.web.head import BoundedHead

EXTENSION = "headwater.connection"
"""Where in `scope["extensions"]` a response finds its connection."""

# Of one connection, in our own memory, before its writer waits; the kernel's buffer comes on top.
WRITE_BUFFER_BYTES = 32 * 1024


class Connection(BoundedHead):
    """A connection that a response which streams can write to directly, watch, and break off."""

    on_lost: Callable[[], None] | None = None
    """Called once the client is gone."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # ASGI leaves the values open

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.app_state["executor"].draining:
            self.answer_and_close()

    def answer_and_close(self) -> None:
        """Let what is asked now be the last, and say so with the answer: the next is another worker's."""
        if self.cycle is not None:  # at first it is
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # Where requests are pipelined, uvicorn's own `cycle` is that of the newest, not of the one being answered.
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def is_lost(self) -> bool:
        """Whether the client has gone already."""
        return self.transport.is_closing()

    def write(self, data: bytes) -> bool:
        """Write a chunk of a started, chunked body, unless the client is behind; whether it was written."""
        if self.flow.write_paused or self.transport.is_closing():
            return False
        if data:  # an empty chunk would end the body
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def abort(self) -> None:
        """Drop the connection and all that the client did not take."""
        self._answering.disconnected = True  # else uvicorn logs an incomplete response as the app's fault
        self.transport.abort()

    def hang_up(self) -> None:
        """Send what was written and close, without completing the body: it must not look complete."""
        self._answering.disconnected = True
        self.transport.close()
        self._see_it_off()

    # -- a closed connection lives on until the client has taken all that was written

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._see_it_off()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._see_it_off()

    def _see_it_off(self, left: int = 0) -> None:
        """Drop it once the client takes nothing any more: `left` bytes were there a while ago."""
        size = self.transport.get_write_buffer_size()
        if size and size == left:
            self.transport.abort()
        elif size:
            self.loop.call_later(self.app_state["config"].slow_reader_s, self._see_it_off, size)
