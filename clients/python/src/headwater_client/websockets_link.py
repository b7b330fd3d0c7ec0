"""A room's socket, over the package websockets: the only module that imports it, for rooms are an extra."""

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from headwater_client.core.sse import EVENT_BYTES_MAX
from headwater_client.core.steps import Lost, Reply
from headwater_client.transport import CONNECT_S, is_untrusted

# A socket that says nothing is asked whether it lives, and is dead if it does not answer.
_PING_S = 20.0
_CLOSE_S = 2.0


class Closed(Exception):
    """The socket is closed. 1006 is a line that broke."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Link:
    """One connection. `send` and `receive` raise Closed."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, frame: str) -> None:
        try:
            await self._socket.send(frame)
        except ConnectionClosed as closed:
            raise _closed(closed) from closed

    async def receive(self) -> str | bytes:
        try:
            return await self._socket.recv()
        except ConnectionClosed as closed:
            raise _closed(closed) from closed

    async def close(self) -> None:
        """Say goodbye."""
        await self._socket.close()

    def abort(self) -> None:
        """Be gone at once."""
        self._socket.transport.abort()


async def open_link(url: str, token: str | None) -> Link | Reply | Lost:
    """A connection, or how it was refused, or why there is none."""
    try:
        socket = await _Connect(
            url,
            additional_headers={"Authorization": f"Bearer {token}"} if token is not None else None,
            compression=None,
            open_timeout=CONNECT_S,
            ping_interval=_PING_S,
            ping_timeout=_PING_S,
            close_timeout=_CLOSE_S,
            max_size=EVENT_BYTES_MAX,
        )
    except InvalidStatus as refused:
        response = refused.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return Reply(response.status_code, headers, bytes(response.body or b""))
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        return Lost(error, hopeless=is_untrusted(error))
    return Link(socket)


class _Connect(connect):
    """Goes nowhere else: a token, and what is said, are for the server that was named."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def _closed(closed: ConnectionClosed) -> Closed:
    if closed.rcvd is not None:
        return Closed(closed.rcvd.code, closed.rcvd.reason)
    return Closed(1006, closed.sent.reason if closed.sent is not None else "the line broke")
