"""The head of a request, bounded in bytes and in time; what the parser refuses gets a problem document."""

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from headwater.errors import BadRequest, HeadTooLarge, HeadwaterError, RequestTimeout
from headwater.web.problems import problem

# Of a request's line and headers: as much as other servers and proxies take at most.
HEAD_BYTES_MAX = 64 * 1024


class BoundedHead(HttpToolsProtocol):
    """uvicorn's connection, which by itself keeps headers of any length and waits for them for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_has_come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            detail = f"The request's line and headers are over the limit of {HEAD_BYTES_MAX} bytes."
            self._refuse(HeadTooLarge(detail, limit=HEAD_BYTES_MAX))

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP never comes to the app."""
        self._refuse(BadRequest("This is not a request that HTTP/1.1 knows."))

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_has_come()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0  # bodies are the app's to bound
        super().on_body(body)

    # --

    def _expect_head(self) -> None:
        if self._head_timer is None:
            within_s = self.app_state["config"].head_timeout_s
            self._head_timer = self.loop.call_later(within_s, self._head_is_overdue, within_s)

    def _head_has_come(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_overdue(self, within_s: float) -> None:
        self._refuse(RequestTimeout(f"The request's headers did not arrive within {within_s:g} s."))

    def _refuse(self, error: HeadwaterError) -> None:
        """Answer and close; just close where another request's answer is under way, which this would end up in."""
        if self.transport.is_closing():
            return
        idle = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # None at first
        if idle:
            self.transport.write(raw_problem(error))
        self.transport.close()


def raw_problem(error: HeadwaterError) -> bytes:
    """The whole answer that ends a connection, for what never comes to the app."""
    response = problem(error)
    headers = [*response.raw_headers, (b"connection", b"close")]
    head = STATUS_LINE[error.status] + b"".join(b"%b: %b\r\n" % header for header in headers)
    return head + b"\r\n" + bytes(response.body)
