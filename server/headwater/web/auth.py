"""Who is asking: from a connection's headers to a principal, or to a refusal."""

from collections.abc import Awaitable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, TypeVar, cast

from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope
from starlette.websockets import WebSocket

from headwater.access import Access
from headwater.core.access import ANONYMOUS, Principal
from headwater.errors import BadRequest, HeadwaterError, StoreUnavailable, TooMany, Unauthenticated, Unavailable
from headwater.state import AppState
from headwater.web.parse import path_of, wants_event_stream
from headwater.web.refusals import refusal
from headwater.web.stream import come_back

Found = TypeVar("Found", Principal, Principal | None)

TOKEN_PROTOCOL = "headwater.token."
"""Before a token that a browser offers as a WebSocket subprotocol, the one header that it lets a page set."""
# Where anybody may look: whether the server lives, how it is used, and the page, which asks for a credential itself.
_OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/rooms", "/board", "/guest"})
_OPEN_BELOW = ("/runs/", "/rooms/", "/static/")
# Not counted: it is looked at when the store is away, and counting needs the store.
_METRICS = "/metrics"
RATES = "headwater.rates"
"""Where in a scope the response's head finds how much its caller has left."""
# What a provider gives to one customer at least.
_SITE_BITS: Final = 64


class Caller(BaseUser):
    """A principal as Starlette's `request.user`."""

    __slots__ = ("principal",)

    def __init__(self, principal: Principal) -> None:
        self.principal = principal

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.principal.name or self.principal.subject

    @property
    def identity(self) -> str:
        return self.principal.id


class Refused(AuthenticationError):
    """Carries our own error through Starlette's middleware."""

    def __init__(self, error: HeadwaterError) -> None:
        super().__init__(error.detail)
        self.error = error


class Credentials(AuthenticationBackend):
    """The credential of a request, checked and counted. A WebSocket's is looked at by its handler, which can answer."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        if conn.scope["type"] != "http" or _is_open(path_of(conn.scope)):
            return None
        try:
            principal = await _counted(_ours(conn))
        except HeadwaterError as error:
            raise Refused(error) from None
        return (AuthCredentials(sorted(principal.scopes)), Caller(principal)) if principal is not None else None


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(_OPEN_BELOW)


def on_refused(conn: HTTPConnection, error: AuthenticationError) -> Response:
    """The answer to a request that was refused before it came to a route."""
    assert isinstance(error, Refused)
    connection = _ours(conn)
    passing = isinstance(error.error, Unavailable | TooMany)
    if passing and connection.scope["method"] == "GET" and wants_event_stream(connection):
        return come_back(error.error, connection.state["config"])
    return refusal(connection.scope, error.error)


def _ours(conn: HTTPConnection) -> HTTPConnection[AppState]:
    """Starlette's middleware does not know whose state it is."""
    return cast("HTTPConnection[AppState]", conn)


async def _counted(connection: HTTPConnection[AppState]) -> Principal | None:
    principal = await unless_guessed(connection, _principal(connection, connection.state["access"]))
    if path_of(connection.scope) != _METRICS:
        connection.scope[RATES] = await connection.state["quotas"].request(principal, address_of(connection))
    return principal


async def unless_guessed(connection: HTTPConnection[AppState], found: Awaitable[Found]) -> Found:
    """Whom a credential speaks for. One that speaks for nobody is counted for its address, and raised."""
    try:
        return await found
    except StoreUnavailable:
        raise
    except HeadwaterError:
        await connection.state["quotas"].request(None, address_of(connection))
        raise


async def _principal(connection: HTTPConnection[AppState], access: Access) -> Principal | None:
    """Whoever the credential speaks for, or None where there is none and somebody is asked."""
    if not access.asks:
        return ANONYMOUS  # whatever was sent: many clients cannot be without a key
    credential, ticket = _bearer(connection), connection.query_params.get("ticket")
    offered = [name[len(TOKEN_PROTOCOL) :] for name in _protocols(connection.scope) if name.startswith(TOKEN_PROTOCOL)]
    tickets = connection.query_params.getlist("ticket")
    given = [one for one in (credential, *tickets, *offered) if one is not None]
    if len(given) > 1:
        raise BadRequest("Send one credential: Authorization, a ticket or a subprotocol's token, not several.")
    if ticket is not None:
        return await access.ticket_holder(ticket, use_up=False)
    return await access.principal(given[0]) if given else None


def _bearer(connection: HTTPConnection[AppState]) -> str | None:
    values = connection.headers.getlist("authorization")
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest("Send one Authorization header, not several.", field="Authorization")
    scheme, _, credential = values[0].strip().partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential or " " in credential:
        raise Unauthenticated(
            "Authorization must be `Bearer` and an API key or a token.",
            field="Authorization",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return credential


def _protocols(scope: Scope) -> list[str]:
    protocols: list[str] = scope.get("subprotocols", [])
    return protocols


def principal_of(connection: HTTPConnection[AppState]) -> Principal:
    """The principal of a request. Raises Unauthenticated where it sent no credential."""
    user = connection.user
    if isinstance(user, Caller):
        return user.principal
    raise Unauthenticated(
        "Send an API key or a token: `Authorization: Bearer …`, or `?ticket=…` where a page cannot set headers.",
        headers={"WWW-Authenticate": "Bearer"},
    )


async def socket_principal(socket: WebSocket[AppState]) -> Principal | None:
    """Who opens a WebSocket, counted; None where it has yet to say so. A ticket is looked at only.

    Raises Unauthenticated, BadRequest, TooMany, StoreUnavailable.
    """
    principal = await unless_guessed(socket, _principal(socket, socket.state["access"]))
    await socket.state["quotas"].request(principal, address_of(socket))
    return principal


async def use_up_ticket(socket: WebSocket[AppState]) -> None:
    """Take the ticket, if one opens this WebSocket: exactly one of many gets it.

    Raises Unauthenticated where another was first, StoreUnavailable.
    """
    access, ticket = socket.state["access"], socket.query_params.get("ticket")
    if ticket is not None and access.asks:
        await access.ticket_holder(ticket, use_up=True)


def address_of(connection: HTTPConnection[AppState]) -> str:
    """The address that limits are counted for: the client's, as far as named proxies tell it.

    Of IPv6 the network: whoever has one of its addresses has them all.
    """
    host = connection.client.host if connection.client is not None else "unknown"
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    # On a socket for both, an IPv4 client has an IPv6 name.
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else str(ip_network((address, _SITE_BITS), strict=False))
