"""uvicorn's HTTP connection, with the two ways to end one that ASGI lacks."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of one connection, in our own memory, before its writer waits; the kernel's buffer comes on top.
WRITE_BUFFER_BYTES = 32 * 1024


class Connection(HttpToolsProtocol):
    """Offers `scope["extensions"]["headwater.connection"]`.

    `abort()` drops what was not sent: for a peer that takes nothing. `hang_up()` sends what was
    written and closes without completing the body: for a body that must not look complete.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"headwater.connection": {"abort": self._abort, "hang_up": self._hang_up}}

    def _abort(self) -> None:
        self.cycle.disconnected = True  # else uvicorn logs an incomplete response as the app's fault
        self.transport.abort()

    def _hang_up(self) -> None:
        self.cycle.disconnected = True
        self.transport.close()
