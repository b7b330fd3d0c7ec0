"""Which names this server answers to, and which sites' pages may use it."""

import re
from collections.abc import Awaitable, Sequence
from ipaddress import ip_network
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from headwater.errors import BadRequest, ConfigError, Forbidden, HeadwaterError
from headwater.state import AppState
from headwater.web.refusals import refusal

# What changes nothing: a page of another site may cause it, but cannot read the answer.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
# What pages of other sites may send, and see, beyond what every page may.
SENT_HEADERS = (
    "Authorization",
    "Content-Type",
    "Headwater-On-Disconnect",
    "Idempotency-Key",
    "Last-Event-ID",
    # OpenAI's SDK says with these what it is; a page that uses it has no part in that.
    "OpenAI-Beta",
    "OpenAI-Organization",
    "OpenAI-Project",
    "User-Agent",
    "X-Stainless-Arch",
    "X-Stainless-Custom-Poll-Interval",
    "X-Stainless-Helper-Method",
    "X-Stainless-Lang",
    "X-Stainless-OS",
    "X-Stainless-Package-Version",
    "X-Stainless-Poll-Helper",
    "X-Stainless-Retry-Count",
    "X-Stainless-Runtime",
    "X-Stainless-Runtime-Version",
    "X-Stainless-Timeout",
)
SHOWN_HEADERS = (
    "Content-Location",
    "Headwater-Run",
    "Idempotent-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
    "X-Should-Retry",
)
# For which a browser need not ask again; Chromium keeps it no longer.
CORS_MAX_AGE_S = 7200
LOCAL = "<local>"
"""In place of names: all those that no page of elsewhere can have, and any once everybody is asked who they are."""
_PORT = re.compile(r":[0-9]*$")
_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class SameSite:
    """Refuses requests under a foreign name, and those that pages of other sites make to change something.

    A foreign name is how a page reaches a server on the visitor's own machine: by a domain of its own that resolves to
    loopback. A foreign origin is how it would use what the visitor may use.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self.app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine of its own: that would be kept for as long as a stream lasts."""
        if scope["type"] == "http":
            try:
                self._check(HTTPConnection[AppState](scope), scope["method"])
            except HeadwaterError as error:
                return refusal(scope, error)(scope, receive, send)
        return self.app(scope, receive, send)

    def _check(self, connection: HTTPConnection[AppState], method: str) -> None:
        check_host(connection, self._hosts)
        if method not in _SAFE:
            check_origin_of(connection.headers, self._origins)


def check_host(connection: HTTPConnection[AppState], hosts: frozenset[str]) -> None:
    """Raises BadRequest for a name that is none of `hosts`; an empty set allows any."""
    given = connection.headers.get("host", "").lower()
    name = _PORT.sub("", given)
    if not hosts or given in hosts or name in hosts:
        return
    if LOCAL in hosts and (_is_local(name) or connection.state["access"].asks):
        return
    shown = name if len(name) <= 100 else f"{name[:100]}…"
    raise BadRequest(
        f"This server does not answer to the name {shown!r}: add it to HEADWATER_TRUSTED_HOSTS.", field="Host"
    )


def _is_local(name: str) -> bool:
    """Whether no site can have this name: an address, one without a dot, or one that is always this machine."""
    if "." not in name or name.startswith("[") or name.endswith(".localhost"):
        return True
    return _ADDRESS.fullmatch(name) is not None


def check_origin_of(headers: Headers, origins: frozenset[str]) -> None:
    """Raises Forbidden for a page of another site, unless its origin is among `origins`. Who is no page sends none."""
    given = headers.getlist("origin")
    if not given or (len(given) == 1 and (given[0] in origins or _is_same(given[0], headers.get("host", "")))):
        return
    shown = given[0] if len(given[0]) <= 100 else f"{given[0][:100]}…"
    raise Forbidden(f"Pages of {shown!r} may not use this server: it is not in HEADWATER_ORIGINS.", field="Origin")


def check_origin(connection: HTTPConnection[AppState]) -> None:
    """For a WebSocket's handshake, which no other rule of the browser holds back: raises Forbidden, BadRequest."""
    config = connection.state["config"]
    check_host(connection, frozenset(host.lower() for host in config.trusted_hosts))
    check_origin_of(connection.headers, frozenset(config.origins))


def check_origins(origins: Sequence[str]) -> None:
    """Raises ConfigError for what is no exact origin."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"HEADWATER_ORIGINS: {origin!r} is no origin: write https://app.example.com, each one exactly"
            )


def check_hosts(hosts: Sequence[str]) -> None:
    """Raises ConfigError for what can be in no Host header, and would refuse every request."""
    for host in hosts:
        if host != LOCAL and not _HOST.fullmatch(host.lower()):
            raise ConfigError(
                f"HEADWATER_TRUSTED_HOSTS: {host!r} is no name: write chat.example.com or chat.example.com:8443"
            )


def check_proxies(proxies: Sequence[str]) -> None:
    """Raises ConfigError for what is no address and no network."""
    for proxy in proxies:
        try:
            ip_network(proxy)
        except ValueError:
            raise ConfigError(
                f"HEADWATER_TRUSTED_PROXIES: {proxy!r} is no address and no network: write 10.0.0.5 or 10.0.0.0/8"
            ) from None


def _is_same(origin: str, host: str) -> bool:
    """Whether a page of this origin came from the name that it asks now."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    return default is not None and parts.netloc.removesuffix(default) == host.lower().removesuffix(default)
