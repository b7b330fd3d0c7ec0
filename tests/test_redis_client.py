"""The way to Redis: addresses, what is refused at the start, and requests through whatever happens to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from redis.exceptions import ResponseError

from headwater.errors import ConfigError, StoreUnavailable
from headwater.redis_client import CONNECTIONS, RedisClient, cancellable, check, script, without_secrets
from tests.broadcaster.scripted_redis import scripted_redis
from tests.support.redis_server import RedisServer, sentinel
from tests.support.server import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

PATIENT_S = 20.0  # far above what a loaded machine takes to answer
SOON_S = 0.3  # for what is meant to run out
SECRET = "s3cret"


@asynccontextmanager
async def client_of(url: str, timeout_s: float = PATIENT_S) -> AsyncIterator[RedisClient]:
    client = RedisClient(url, timeout_s=timeout_s)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[RedisClient]:
    async with client_of(server.url) as client:
        yield client


async def refusal(url: str, wait_s: float = 0.0, timeout_s: float = PATIENT_S) -> str:
    """What the operator is told instead of a start."""
    async with client_of(url, timeout_s) as client:
        with pytest.raises(ConfigError) as refused:
            await client.open(wait_s)
    said = str(refused.value)
    assert SECRET not in said and "\n" not in said and len(said) < 300
    return said


# -- addresses


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h", "redis://h"),
        ("redis://h:7/2", "redis://h:7/2"),
        ("redis://h:7/2/", "redis://h:7/2/"),
        ("redis://[::1]:7/0", "redis://[::1]:7/0"),
        (f"redis://:{SECRET}@h/0", "redis://h/0"),
        (f"redis://bob:{SECRET}@h/0", "redis://h/0"),
        (f"redis://bob:a@{SECRET}@h/0", "redis://h/0"),
        (f"redis://bob:%40%2F%3F{SECRET}@h/0", "redis://h/0"),
        (f"rediss://:{SECRET}@h:7/0?ssl_cert_reqs=none&ssl_ca_certs=ca.pem", "rediss://h:7/0"),
        ("redis+sentinel://h/main", "redis+sentinel://h/main"),
        ("redis+sentinel://h:1,[::1]:2,i/main/3", "redis+sentinel://h:1,[::1]:2,i/main/3"),
        (f"redis+sentinel://bob:{SECRET}@h,i/main?sentinel_password={SECRET}", "redis+sentinel://h,i/main"),
        (f"rediss+sentinel://:{SECRET}@h/main/0", "rediss+sentinel://h/main/0"),
    ],
)
async def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    async with client_of(url) as client:
        assert client.name == shown == without_secrets(url)
        assert repr(client) == f"<RedisClient {shown}>"


ESCAPE = "write %40 for @"


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://h", "it begins with redis://, rediss://"),
        ("unix:///run/redis.sock", "it begins with redis://, rediss://"),
        ("redis://h:port", "a port is a number"),
        ("redis://h:65536", "a port is a number"),
        ("redis://h/main", "the database must be a number, not 'main'"),
        ("redis://h/0/1", "the database must be a number, not '0/1'"),
        ("redis://h/-1", "the database must be a number, not '-1'"),
        ("redis://h/0?protocol=3", "protocol means nothing here"),
        ("redis://h/0?ssl_cert_reqs=none", "ssl_cert_reqs means nothing here"),
        ("rediss://h/0?retry=1", "retry means nothing here; ssl_ca_certs,"),
        (f"redis://h?password={SECRET}", "password means nothing here"),
        (f"redis://:a/{SECRET}@h", ESCAPE),
        (f"redis://:{SECRET}/a@h", ESCAPE),
        (f"redis://:{SECRET}?a@h:1/0", ESCAPE),
        (f"redis://:a?{SECRET}@h:1/0", ESCAPE),
        (f"redis://:{SECRET}#a@h", ESCAPE),
        (f"redis://bob:{SECRET}[@h", ""),
        (f"redis+sentinel://bob:{SECRET}/a@h/main", ESCAPE),
        (f"redis+sentinel://bob:a?{SECRET}@h/main", ESCAPE),
        (f"redis+sentinel://bob:{SECRET}/a?b@h/main", ESCAPE),
        ("redis+sentinel://", "write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
        ("redis+sentinel://h", "write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
        ("redis+sentinel:///main", "write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
        ("redis+sentinel://h,/main", "a host has no name"),
        ("redis+sentinel://h:port/main", "a port is a number"),
        ("redis+sentinel://h:65536/main", "a port is a number"),
        ("redis+sentinel://h/main/x", "the database must be a number, not 'x'"),
        ("redis+sentinel://h/main/\u00b2", "the database must be a number"),
        (f"redis+sentinel://h/main?password={SECRET}", "password means nothing here; sentinel_password may be given"),
    ],
)
def test_a_bad_address_is_refused_with_what_is_wrong(url: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RedisClient(url, timeout_s=PATIENT_S)
    assert wrong in str(refused.value)
    assert SECRET not in str(refused.value)
    assert SECRET not in without_secrets(url)


# -- what may be used


USABLE = {"redis_version": "7.0.15", "cluster_enabled": 0, "role": "master", "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "7.4.1", "8.0.0", "10.0.0", "255.255.255", "7.9"])
def test_a_new_enough_redis_may_be_used(version: str) -> None:
    check(USABLE | {"redis_version": version}, "it")


def test_a_server_that_says_little_may_be_used() -> None:
    check({"redis_version": "6.2.0"}, "it")


@pytest.mark.parametrize(
    ("info", "wrong"),
    [
        ({"redis_version": "6.0.16"}, "is Redis 6.0.16: it must be 6.2 or newer"),
        ({"redis_version": "5.9.9"}, "must be 6.2 or newer"),
        ({"redis_version": "new"}, "must be 6.2 or newer"),
        ({"cluster_enabled": 1}, "is a Redis Cluster"),
        ({"redis_mode": "sentinel"}, "is a Sentinel: write redis+sentinel://"),
        ({"role": "slave"}, "is a replica"),
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru"),
        ({"maxmemory_policy": "volatile-ttl"}, "maxmemory-policy is volatile-ttl"),
    ],
)
def test_what_would_lose_data_is_refused(info: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match="the store it ") as refused:
        check(USABLE | info, "it")
    assert wrong in str(refused.value)


def test_a_server_without_a_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be 6.2"):
        check({}, "it")


# -- opening


async def test_nobody_there_is_said_at_once(port: int) -> None:
    said = await refusal(f"redis://:{SECRET}@127.0.0.1:{port}/0")
    assert said.startswith(f"the store redis://127.0.0.1:{port}/0 cannot be reached: ")


async def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path) -> None:
    async with RedisServer(tmp_path, password="right") as server:
        place = f"127.0.0.1:{server.port}/0"
        for credentials in ("", f":{SECRET}@", f"bob:{SECRET}@"):
            assert "refuses us" in await refusal(f"redis://{credentials}{place}", wait_s=PATIENT_S)
        async with client_of(server.url) as client:
            await client.open()


async def test_a_user_who_may_do_nothing_is_refused(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "bob", "on", f">{SECRET}", "+client", "~*")
    assert "refuses us" in await refusal(f"redis://bob:{SECRET}@127.0.0.1:{server.port}/0")


async def test_a_database_that_is_not_there_is_said(server: RedisServer) -> None:
    place = f"redis://127.0.0.1:{server.port}"
    async with client_of(f"{place}/15") as client:
        await client.open()
    assert "has no database of that number" in await refusal(f"{place}/16", wait_s=PATIENT_S)
    await refusal(f"{place}/{10**30}", wait_s=PATIENT_S)


async def test_a_replica_is_refused(tmp_path: Path, server: RedisServer) -> None:
    async with RedisServer(tmp_path, replica_of=server) as replica:
        assert "is a replica" in await refusal(replica.url)


async def test_a_redis_that_evicts_is_refused(tmp_path: Path) -> None:
    async with RedisServer(tmp_path, args=["--maxmemory-policy", "allkeys-lru"]) as server:
        assert "set it to noeviction" in await refusal(server.url)


async def test_what_is_no_redis_is_refused() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with other:
        assert "cannot be used" in await refusal(f"redis://127.0.0.1:{other.sockets[0].getsockname()[1]}")


async def test_a_redis_that_does_not_answer_is_not_waited_for_long(server: RedisServer) -> None:
    server.freeze()
    assert "cannot be reached: no answer in time" in await refusal(server.url, timeout_s=SOON_S)


async def test_sentinels_lead_to_the_primary(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path, password=SECRET) as server,
        sentinel(tmp_path, server) as watcher,
    ):
        url = watcher.url()
        with_a_dead_one = url.replace("@", f"@127.0.0.1:{free_port()},")
        async with client_of(with_a_dead_one) as client:
            await client.open()
            await client.one(("SET", "k", "v"))
        assert server.ask("GET", "k") == "v"
        assert "cannot be reached: No master found for 'other'" in await refusal(url.replace("/main/", "/other/"))
        assert "refuses us" in await refusal(url.replace(SECRET, "wrong"))
        assert "has no database of that number" in await refusal(watcher.url(99))
        assert "is a Sentinel" in await refusal(f"redis://127.0.0.1:{watcher.port}")


async def test_one_that_starts_later_is_waited_for(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, port=free_port())
    async with client_of(server.url) as client:
        opening = asyncio.create_task(client.open(wait_s=PATIENT_S))
        await asyncio.sleep(0)
        try:
            await anyio.to_thread.run_sync(server.start)
            await opening
        finally:
            server.close()


async def test_waiting_for_one_that_never_comes_has_an_end(port: int) -> None:
    assert "cannot be reached" in await refusal(f"redis://127.0.0.1:{port}", wait_s=SOON_S)


# -- requests


async def test_replies_come_in_order_as_redis_sends_them(client: RedisClient) -> None:
    replies = await client.pipeline(
        [
            ("SET", "k", b"\xff\x00"),
            ("GET", "k"),
            ("INCR", "n"),
            ("GET", "none"),
            ("HSET", "h", "a", 1),
            ("HGETALL", "h"),
        ]
    )
    assert replies == [b"OK", b"\xff\x00", 1, None, 1, [b"a", b"1"]]
    assert await client.one(("GET", "k"), urgent=True) == b"\xff\x00"


async def test_an_error_stands_for_itself_among_the_replies(client: RedisClient) -> None:
    first, wrong, last = await client.pipeline([("SET", "k", "v"), ("INCR", "k"), ("GET", "k")])
    assert (first, last) == (b"OK", b"v")
    assert isinstance(wrong, ResponseError)
    with pytest.raises(ResponseError, match="not an integer"):
        await client.one(("INCR", "k"))


COUNT = script("return redis.call('INCR', KEYS[1])")
DOUBLE = script("return redis.call('INCRBY', KEYS[1], 2)")


async def test_a_forgotten_script_is_sent_again_and_nothing_else_is(server: RedisServer, client: RedisClient) -> None:
    count, double = client.call(COUNT, ["counted"]), client.call(DOUBLE, ["doubled"])
    assert await client.one(count) == 1
    for round_ in range(1, 4):
        server.ask("SCRIPT", "FLUSH")
        assert await client.one(count) == 2 * round_
        replies = await client.pipeline([("INCR", "plain"), count, double, ("INCR", "plain"), double])
        assert replies == [2 * round_ - 1, 2 * round_ + 1, 4 * round_ - 2, 2 * round_, 4 * round_]


async def test_a_script_that_fails_is_not_sent_again(client: RedisClient) -> None:
    failing = script("redis.call('INCR', KEYS[1]) return redis.error_reply('NO reason')")
    for number in (1, 2):
        with pytest.raises(ResponseError, match="NO reason"):
            await client.one(client.call(failing, ["n"]))
        assert await client.one(("GET", "n")) == b"%d" % number


@pytest.mark.parametrize("scripted", [False, True])
async def test_what_passes_is_an_outage(
    tmp_path: Path, server: RedisServer, client: RedisClient, scripted: bool
) -> None:
    """A full memory, a failover: for as long as it lasts nothing is known of any write."""
    write = client.call(COUNT, ["n"]) if scripted else ("INCR", "n")
    await client.one(write)
    server.ask("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="'maxmemory'"):
        await client.pipeline([("GET", "n"), write])
    server.ask("CONFIG", "SET", "maxmemory", 0)
    async with RedisServer(tmp_path) as other:
        server.ask("REPLICAOF", "127.0.0.1", other.port)
        with pytest.raises(StoreUnavailable, match="read only replica"):
            await client.one(write)
    server.ask("REPLICAOF", "NO", "ONE")
    assert await client.one(write) == 1


async def test_a_redis_that_is_loading_is_an_outage(client: RedisClient, server: RedisServer) -> None:
    failing = script("return redis.error_reply('LOADING Redis is loading the dataset in memory')")
    with pytest.raises(StoreUnavailable):
        await client.one(client.call(failing, []))
    busy = script("return redis.error_reply('BUSY Redis is busy running a script')")
    with pytest.raises(StoreUnavailable, match="BUSY"):
        await client.one(client.call(busy, []))
    assert await client.one(("PING",)) == b"PONG"


async def test_a_restart_costs_what_was_under_way_and_no_more(server: RedisServer, client: RedisClient) -> None:
    assert await asyncio.gather(*(client.one(("ECHO", n)) for n in range(10))) == [b"%d" % n for n in range(10)]
    server.kill()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await client.one(("PING",))
    await anyio.to_thread.run_sync(server.restart)
    assert await asyncio.gather(*(client.one(("ECHO", n)) for n in range(10))) == [b"%d" % n for n in range(10)]


async def test_what_may_have_been_done_is_not_sent_again() -> None:
    """Only who wrote it knows whether it may be repeated."""
    async with scripted_redis() as (redis, url), client_of(url) as client:
        asking = asyncio.create_task(client.one(("INCR", "n")))
        await eventually(lambda: redis.asked == [("INCR", "n")])
        redis.cut()
        with pytest.raises(StoreUnavailable):
            await asking
        assert redis.asked == [("INCR", "n")]


async def test_a_late_answer_is_nobody_elses(server: RedisServer) -> None:
    """Redis answers what was given up once it goes on; those connections are not used again."""
    async with client_of(server.url, timeout_s=SOON_S) as client:

        async def answered(text: str) -> bool:
            try:
                assert await client.one(("ECHO", text)) == text.encode()
            except StoreUnavailable as error:
                assert "no answer in time" in error.detail
                return False
            return True

        assert await asyncio.gather(*(answered(f"early {n}") for n in range(5))) == [True] * 5
        server.freeze()
        assert await asyncio.gather(*(answered(f"late {n}") for n in range(10))) == [False] * 10
        server.thaw()
        for n in range(20):
            await eventually(partial(answered, f"new {n}"))


async def test_a_cancelled_request_is_cancelled_and_its_answer_is_nobody_elses(
    server: RedisServer, client: RedisClient
) -> None:
    for connected in (True, False):
        for turns in range(1000):
            if not connected:
                server.ask("CLIENT", "KILL", "TYPE", "normal")
            task = asyncio.create_task(client.one(("ECHO", "cancelled")))
            for _ in range(turns):
                await asyncio.sleep(0)
            if not task.cancel():
                break  # it had its answer
            await asyncio.wait([task])
            assert task.cancelled(), f"after {turns} turns"
            assert await client.one(("ECHO", "next")) == b"next"
    await eventually(lambda: server.ask("CLIENT", "LIST", "TYPE", "normal").count("name=headwater ") <= 2)


async def test_a_lost_cancel_is_raised_after_all() -> None:
    async def swallows() -> None:
        with cancellable(), suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()

    async def fails() -> None:
        with cancellable():
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                raise ConnectionError from None

    calls: list[Callable[[], Awaitable[None]]] = [swallows, fails]
    for call in calls:
        task = asyncio.ensure_future(call())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_cancel_from_before_does_not_forbid_a_request(client: RedisClient) -> None:
    """Whoever is cancelled may still tidy up."""

    async def tidies() -> bytes:
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        reply: bytes = await client.one(("ECHO", "tidy"))
        return reply

    task = asyncio.create_task(tidies())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == b"tidy"


async def test_requests_queue_for_connections_and_not_for_ever(server: RedisServer) -> None:
    async with client_of(server.url) as client:
        echoes = await asyncio.gather(*(client.one(("ECHO", n)) for n in range(4 * CONNECTIONS)))
        assert echoes == [b"%d" % n for n in range(4 * CONNECTIONS)]
        assert server.ask("CLIENT", "LIST", "TYPE", "normal").count("name=headwater ") <= CONNECTIONS
    async with client_of(server.url, timeout_s=SOON_S) as client:
        server.freeze()
        refused = await asyncio.gather(*(client.one(("PING",)) for _ in range(2 * CONNECTIONS)), return_exceptions=True)
        server.thaw()
    assert all(isinstance(error, StoreUnavailable) for error in refused)


async def test_an_urgent_request_does_not_queue(server: RedisServer, client: RedisClient) -> None:
    waiting = [asyncio.create_task(client.one(("BLPOP", "none", 0))) for _ in range(CONNECTIONS)]
    await eventually(lambda: server.ask("INFO", "clients")["blocked_clients"] == CONNECTIONS)
    assert await client.one(("ECHO", "urgent"), urgent=True) == b"urgent"
    for _ in range(CONNECTIONS):
        await client.one(("RPUSH", "none", "x"), urgent=True)
    assert await asyncio.gather(*waiting) == [[b"none", b"x"]] * CONNECTIONS


async def test_the_end_leaves_no_connection(server: RedisServer) -> None:
    async with client_of(server.url) as client:
        await asyncio.gather(*(client.one(("PING",)) for _ in range(10)))
    await eventually(lambda: "name=headwater " not in server.ask("CLIENT", "LIST"))
