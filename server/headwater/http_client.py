"""The one HTTP client, for upstream servers. Nothing else imports httpx.

httpx gives the interface and aiohttp, through httpx-aiohttp, the connections: half the CPU per streamed chunk of
httpx's own. What either of them raises ends here.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Self

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from httpx_aiohttp.transport import AiohttpResponseStream, AiohttpTransport

# More than one worker can relay, so that no stream waits for another to end; its descriptors stay far below
# the usual limits. It must be a number: aiohttp takes None for 100.
MAX_CONNECTIONS = 2_000

# One lost SYN is repeated after 1, 3 and 7 s. It bounds resolving the name and the TLS handshake, too.
CONNECT_TIMEOUT_S = 10.0

# How long an idle connection is kept for the next request. Servers close theirs after 5 s (uvicorn) to 75 s (nginx);
# one that they closed is noticed, so longer costs nothing but descriptors.
KEEP_ALIVE_S = 60.0

# Addresses come from the configuration; more than this are not ours to keep.
URLS_MAX = 1_000

_READER = "headwater.reader"
# Of every request; what the caller gives comes on top. Names are in lower case.
_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "headwater"}


class ConnectFailed(Exception):
    """There is no connection to the server. The text says why, without its address."""


class ConnectionCut(Exception):
    """The connection broke before the end of the answer, or before its beginning."""


class Response:
    """An answer whose body is still to come. Header names are in any case."""

    def __init__(self, response: httpx.Response) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body's bytes as they arrive, decoded where the server compressed them. Raises ConnectionCut."""
        try:
            if self.headers.get("content-encoding", "identity") == "identity":
                # From aiohttp's reader itself: on its way through httpx each chunk passes four more generators.
                reader: aiohttp.StreamReader = self._response.extensions[_READER]
                while chunk := await reader.readany():
                    yield chunk
            else:
                body: Any = self._response.aiter_bytes()  # httpx calls its generators iterators
                async with aclosing(body):
                    async for chunk in body:
                        yield chunk
        except Exception as error:  # what aiohttp raises is mapped by httpx-aiohttp in part only
            raise ConnectionCut(_why(error)) from error

    async def read(self, limit: int) -> bytes:
        """The body, or as much of it as `limit` bytes hold. Raises ConnectionCut."""
        body = bytearray()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) >= limit:
                    break
        return bytes(body[:limit])


class HttpClient:
    """Sends requests over kept connections. Redirects are not followed and cookies not kept.

    Proxies of the environment are not used: they hold streams back, and a model on loopback is not behind one.
    Certificates are checked against certifi's or those that SSL_CERT_FILE or SSL_CERT_DIR name.
    """

    def __init__(self, *, max_connections: int = MAX_CONNECTIONS) -> None:
        self._max_connections = max_connections
        self._tls = httpx.create_ssl_context()
        self._client = _Client(
            transport=_Transport(client=self._session, verify=self._tls),
            trust_env=False,
        )
        self._urls: dict[str, httpx.URL] = {}

    def _session(self) -> aiohttp.ClientSession:
        """Made at the first request, because it belongs to the loop."""
        connector = _Connector(limit=self._max_connections, keepalive_timeout=KEEP_ALIVE_S, ssl=self._tls)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> AsyncIterator[Response]:
        """The answer, once its headers are there; waiting for those and for the body is the caller's to bound.

        The names of `headers` are in lower case.

        Leaving it closes the connection at once, unless the body was read to its end: then the next request
        may have it. Raises ConnectFailed, ConnectionCut.
        """
        timeout = {"connect": connect_timeout_s, "pool": connect_timeout_s, "read": None, "write": None}
        try:
            # Made here and not by the client, whose merging with its defaults takes as long again.
            request = httpx.Request(
                method,
                self._parsed(url),
                headers=_HEADERS | headers if headers else _HEADERS,
                content=body,
                extensions={"timeout": timeout},
            )
            response = await self._client.send(request, stream=True)
        except Exception as error:
            failed = isinstance(_cause(error), _NOT_CONNECTED)
            raise (ConnectFailed if failed else ConnectionCut)(_why(error)) from error
        try:
            yield Response(response)
        finally:
            await response.aclose()

    def _parsed(self, url: str) -> httpx.URL:
        """The address, taken apart once: it takes httpx longer than anything else about a request."""
        if len(self._urls) >= URLS_MAX:
            self._urls.clear()
        return self._urls.get(url) or self._urls.setdefault(url, httpx.URL(url))

    async def get(self, url: str, *, headers: dict[str, str] | None = None, limit: int) -> tuple[int, bytes]:
        """The status and the first `limit` bytes of the body. Raises ConnectFailed, ConnectionCut."""
        async with self.stream(url, method="GET", headers=headers) as response:
            return response.status, await response.read(limit)


class _Handler(ResponseHandler):
    """aiohttp's connection, without a second look at the parser after each chunk that was read."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Connector(aiohttp.TCPConnector):
    """Makes our connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Handler, loop=self._loop)  # type: ignore[assignment]  # partial is invariant


class _NoCookies(httpx.Cookies):
    """One principal's upstream cookie must not reach another's request, so none is looked for."""

    def extract_cookies(self, response: httpx.Response) -> None:
        return


class _Client(httpx.AsyncClient):
    """A client without cookies."""

    @property
    def cookies(self) -> httpx.Cookies:
        return _NoCookies()

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise NotImplementedError("this client keeps no cookies")


class _Transport(AiohttpTransport):
    """Keeps aiohttp's reader of the body at hand."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, AiohttpResponseStream)
        response.extensions[_READER] = response.stream._aiohttp_response.content
        return response


_NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
)


def _cause(error: Exception) -> BaseException:
    """What aiohttp raised, below httpx-aiohttp's mapping, which takes a reset for a timeout."""
    return error.__cause__ or error


def _why(error: Exception) -> str:
    """A few words for the `end` of a run: neither addresses nor what the request held."""
    cause = _cause(error)
    match cause:
        case aiohttp.ClientConnectorDNSError():
            return "its name could not be resolved"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "the TLS handshake failed"
        case aiohttp.ConnectionTimeoutError():
            return "it did not accept a connection in time"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()  # the error's own text may hold the address
        case aiohttp.ClientConnectorError():
            return "no connection could be made"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "it closed the connection"
        case _:
            return type(cause).__name__
