"""The HTTP client, over real sockets."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headwater.http_client import ConnectFailed, ConnectionCut, HttpClient
from tests.support.server import free_port
from tests.support.upstream import Script, Upstream, full_backlog
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as http:
        yield http


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives each connection the next of these bytes and closes; the heads of what it was asked."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[len(heads) - 1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()
        await server.wait_closed()


async def test_an_answer_has_a_status_headers_and_a_body(client: HttpClient) -> None:
    answer = b"HTTP/1.1 418 Teapot\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello"
    async with answering(answer) as (url, _), client.stream(url, body=b"{}") as response:
        assert response.status == 418
        assert response.headers["x-one"] == response.headers["X-ONE"] == "1"
        assert [chunk async for chunk in response.chunks()] == [b"hello"]


async def test_chunks_come_as_they_arrive(client: HttpClient, upstream: Upstream) -> None:
    script = Script(fault="stall", after=1)
    async with client.stream(f"{upstream.url}/chat/completions", body=body(script)) as response:
        assert b'"0 "' in await asyncio.wait_for(anext(response.chunks()), 20)


async def test_a_body_is_read_up_to_a_limit(client: HttpClient) -> None:
    answer = OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000
    async with answering(answer, answer) as (url, _):
        assert await client.get(url, limit=10) == (200, b"x" * 10)
        assert await client.get(url, limit=200_000) == (200, b"x" * 100_000)


async def test_a_body_compressed_unasked_is_decoded(client: HttpClient) -> None:
    packed = gzip.compress(b"hello")
    answer = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    async with answering(answer) as (url, heads):
        assert await client.get(url, limit=100) == (200, b"hello")
    assert b"accept-encoding: identity" in heads[0].lower()


async def test_a_damaged_compressed_body_is_a_cut(client: HttpClient) -> None:
    async with answering(OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello") as (url, _):
        with pytest.raises(ConnectionCut):
            await client.get(url, limit=100)


async def test_redirects_are_not_followed_and_cookies_not_kept(client: HttpClient) -> None:
    redirect = b"HTTP/1.1 307 Go\r\nLocation: /there\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with answering(redirect, redirect) as (url, heads):
        assert await client.get(url, limit=1) == (307, b"")
        await client.get(url, limit=1)
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with HttpClient() as client, answering(OK + b"Content-Length: 2\r\n\r\nhi") as (url, _):
        assert await client.get(url, limit=10) == (200, b"hi")


BROKEN = {
    "no answer": b"",
    "no HTTP": b"hello\r\n\r\n",
    "headers without an end": OK + b"X-One: 1\r\n",
    "a status that is none": b"HTTP/1.1 abc\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_an_answer_that_never_becomes_one_is_a_cut(client: HttpClient, answer: bytes) -> None:
    async with answering(answer, answer, answer) as (url, _):
        with pytest.raises(ConnectionCut) as caught:
            async with client.stream(url, body=b"{}"):
                pytest.fail("there was no answer")
    assert "127.0.0.1" not in str(caught.value)


TORN = {
    "a length that does not come": b"Content-Length: 10\r\n\r\nhello",
    "a chunk that does not end": b"Transfer-Encoding: chunked\r\n\r\na\r\nhello",
    "no last chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "a chunk without a size": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\noops\r\n",
}


@pytest.mark.parametrize("rest", TORN.values(), ids=TORN)
async def test_a_body_that_breaks_off_is_a_cut(client: HttpClient, rest: bytes) -> None:
    async with answering(OK + rest) as (url, _):
        with pytest.raises(ConnectionCut):
            await client.get(url, limit=100)


async def test_a_closed_port_is_no_connection(client: HttpClient) -> None:
    with pytest.raises(ConnectFailed, match="^connection refused$"):
        await client.get(f"http://127.0.0.1:{free_port()}", limit=1)


@pytest.mark.parametrize("url", ["gopher://127.0.0.1/", "http://", "127.0.0.1", "http://127.0.0.1:99999/"])
async def test_what_is_no_address_is_no_connection(client: HttpClient, url: str) -> None:
    with pytest.raises(ConnectFailed):
        await client.get(url, limit=1)


async def test_connecting_has_a_limit(client: HttpClient) -> None:
    async with full_backlog() as port:
        with pytest.raises(ConnectFailed, match="in time"):
            async with client.stream(f"http://127.0.0.1:{port}", body=b"{}", connect_timeout_s=0.05):
                pytest.fail("it was accepted")


async def test_a_connection_too_many_waits_no_longer_than_that_limit(upstream: Upstream) -> None:
    url, content = f"{upstream.url}/chat/completions", body(Script(fault="stall"))
    async with HttpClient(max_connections=1) as client, client.stream(url, body=content):
        with pytest.raises(ConnectFailed):
            async with client.stream(url, body=content, connect_timeout_s=0.05):
                pytest.fail("there was a second connection")
    assert upstream.connections_made == 1


async def test_more_connections_than_the_libraries_allow_by_themselves(client: HttpClient, upstream: Upstream) -> None:
    url, content = f"{upstream.url}/chat/completions", body(Script(fault="stall", after=1))

    async def stay(leave: asyncio.Event) -> None:
        async with client.stream(url, body=content, connect_timeout_s=20):
            await leave.wait()

    leave = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(120):
            group.create_task(stay(leave))
        await eventually(lambda: len(upstream.connections) == 120)
        leave.set()
    await eventually(lambda: not upstream.connections)


@pytest.mark.parametrize("read", [False, True], ids=["unread", "half read"])
async def test_leaving_closes_the_connection_at_once(client: HttpClient, upstream: Upstream, read: bool) -> None:
    script = Script(fault="stall", after=3)
    async with client.stream(f"{upstream.url}/chat/completions", body=body(script)) as response:
        chunks = response.chunks()
        if read:
            await anext(chunks)
    exchange = upstream.exchanges[0]
    await eventually(lambda: exchange.closed_at is not None)
    await chunks.aclose()


async def test_closing_the_client_closes_what_it_kept(upstream: Upstream) -> None:
    async with HttpClient() as client:
        await client.get(f"{upstream.url}/models", limit=1000)
        assert len(upstream.connections) == 1
    await eventually(lambda: not upstream.connections)


def body(script: Script) -> bytes:
    return b'{"script":' + script.json() + b"}"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server
