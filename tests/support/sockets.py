"""A room's WebSocket as a client sees it, and tokens for it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.support import keys
from tests.support.server import ServerProcess

DEADLINE_S = 20.0  # generous: only ends a hang

TOKEN_PROTOCOL = "headwater.token."


class Closed(NamedTuple):
    """How the server closed a socket."""

    code: int
    reason: str


def mint(*, expires_in: float = 3600.0, **claims: Any) -> str:
    """A token for Anna, who may write in every room, unless `claims` say otherwise."""
    return keys.token(expires_in=expires_in, **{"sub": "anna", "scope": "rooms:write", **claims})


@contextmanager
def room(
    server: ServerProcess,
    name: str = "lobby",
    *,
    token: str | None = None,
    ticket: str | None = None,
    origin: str | None = None,
    subprotocols: Sequence[str] = (),
) -> Iterator[ClientConnection]:
    """An open socket of the room. Raises InvalidStatus where the handshake is refused."""
    query = f"?ticket={ticket}" if ticket is not None else ""
    with connect(
        f"ws://127.0.0.1:{server.port}/v1/rooms/{name}/ws{query}",
        origin=Origin(origin) if origin is not None else None,
        subprotocols=[Subprotocol(one) for one in subprotocols] or None,
        additional_headers={"Authorization": f"Bearer {token}"} if token is not None else None,
        proxy=None,
        compression=None,
        open_timeout=DEADLINE_S,
        close_timeout=DEADLINE_S,
    ) as socket:
        yield socket


def denied(server: ServerProcess, status: int, code: str, name: str = "lobby", **how: Any) -> Any:
    """The problem document that the handshake must be refused with."""
    with pytest.raises(InvalidStatus) as caught, room(server, name, **how):
        pass
    response = caught.value.response
    assert response.status_code == status, (response.status_code, response.body)
    assert response.headers["Content-Type"] == "application/problem+json"
    document = json.loads(response.body or b"")
    assert (document["status"], document["code"]) == (status, code)
    assert document["detail"]
    return document


def hear(socket: ClientConnection) -> Any:
    """The next push."""
    return json.loads(socket.recv(DEADLINE_S))


def say(socket: ClientConnection, kind: str, **fields: Any) -> Any:
    """Send a command; the next push."""
    socket.send(json.dumps({"type": kind, **fields}))
    return hear(socket)


def is_open(socket: ClientConnection) -> bool:
    """Whether the room answers."""
    return bool(say(socket, "ping", ref="p") == {"type": "ok", "ref": "p"})


def closed(socket: ClientConnection) -> Closed:
    """How the server closes it, which it must do without another push."""
    with pytest.raises(ConnectionClosed) as caught:
        said = socket.recv(DEADLINE_S)
        raise AssertionError(f"it said {said!r}")
    assert caught.value.rcvd is not None, "the connection was lost without a close frame"
    return Closed(caught.value.rcvd.code, caught.value.rcvd.reason)
