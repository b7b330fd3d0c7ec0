"""What the sync and the async client have in common towards httpx."""

import ssl
import uuid
from typing import Any, Final

import httpx

from headwater_client.core.steps import Lost, Reply, Request

CONNECT_S: Final = 10.0
"""A server that is there takes a connection at once; a lost packet is sent again within three seconds."""
CALL_S: Final = 30.0
"""A cancel waits a second for its end, a large body takes a few; the server itself waits 30 s for one."""
SILENCE_S: Final = 20.0
"""A stream says something every 15 seconds: beyond, the line is dead."""
MAX_WAIT_S: Final = 60.0
"""Longer than a restart or a deploy takes, shorter than a person's patience."""
REFUSAL_BYTES_MAX: Final = 65_536
"""Of what is no stream: a problem document has some hundred bytes, a proxy's page a few thousand."""

# Each stream holds a connection; how many there may be is the server's to say.
LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=20)


def call_timeout() -> httpx.Timeout:
    """For a request that is answered as a whole."""
    return httpx.Timeout(CALL_S, connect=CONNECT_S, pool=None)


def stream_timeout(silence_s: float) -> httpx.Timeout:
    """For a stream, of which each piece may take so long."""
    return httpx.Timeout(silence_s, connect=CONNECT_S, pool=None)


def lost(error: httpx.TransportError | httpx.DecodingError) -> Lost:
    """What an error of the connection means."""
    hopeless = isinstance(error, httpx.UnsupportedProtocol) or is_untrusted(error)
    return Lost(error, silent=isinstance(error, httpx.ReadTimeout), hopeless=hopeless)


def interrupted() -> Lost:
    """The caller was stopped in the middle of it; whoever goes on finds the connection gone."""
    return Lost(ConnectionError("the caller was interrupted"))


def reply_of(response: httpx.Response, body: bytes = b"") -> Reply:
    """The reply that this is."""
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def arguments(url: str, request: Request) -> dict[str, Any]:
    """What httpx wants to know of a request."""
    return {
        "method": request.method,
        "url": f"{url}{request.path}",
        "params": request.query or None,
        "headers": request.headers,
        "content": request.body,
    }


def new_key() -> str:
    """A name that nobody else draws."""
    return str(uuid.uuid4())


def is_untrusted(error: BaseException | None) -> bool:
    """Whether the server's certificate is not trusted: it will not be the next time either."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
