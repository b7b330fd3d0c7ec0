"""`headwater serve` with a Redis that it cannot use: what is wrong is named, in one line."""

import subprocess
from pathlib import Path

import pytest

from tests.api.test_serve_refusals import refused
from tests.support.redis_server import RedisServer
from tests.support.server import START_S, ServerProcess, free_port
from tests.support.waiting import wait_until


def test_one_that_is_not_there(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    said = refused(tmp_path, "--store", url)
    assert said.startswith(f"the store {url} cannot be reached: ") and "refused" in said.lower()


def test_one_that_wants_another_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path, password="right") as redis:
        said = refused(tmp_path, "--store", f"redis://:wrong@127.0.0.1:{redis.port}/0")
        assert f"the store redis://127.0.0.1:{redis.port}/0 refuses us" in said and "password" in said.lower()
        assert "wrong@" not in said
        without = refused(tmp_path, "--store", f"redis://127.0.0.1:{redis.port}/0")
        assert "refuses us" in without and "auth" in without.lower()


def test_a_database_that_it_does_not_have(tmp_path: Path, redis_url: str) -> None:
    url = redis_url.rpartition("/")[0] + "/9999"
    assert refused(tmp_path, "--store", url) == f"the store {url} has no database of that number"


def test_one_that_may_forget(tmp_path: Path) -> None:
    with RedisServer(tmp_path, args=["--maxmemory-policy", "allkeys-lru"]) as redis:
        said = refused(tmp_path, "--store", redis.url)
        assert "maxmemory-policy is allkeys-lru" in said and said.endswith("set it to noeviction")


def test_a_replica(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as primary, RedisServer(tmp_path, replica_of=primary) as replica:
        assert "is a replica, which cannot be written" in refused(tmp_path, "--store", replica.url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://127.0.0.1", "write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
        ("redis+sentinel://127.0.0.1/main/one", "the database must be a number"),
        ("redis://:secret@127.0.0.1:port/0", "is no address"),
    ],
)
def test_an_address_that_is_none(tmp_path: Path, url: str, why: str) -> None:
    said = refused(tmp_path, "--store", url)
    assert why in said and "secret" not in said


def test_one_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path, port=free_port())
    server = ServerProcess(tmp_path, store=redis.url, args=["--wait-for-store", str(START_S)], forked=False)
    server.launch()
    try:
        wait_until(lambda: _has_sockets(server.pid), START_S, "it is on its way")
        with redis:
            wait_until(lambda: server.ready, START_S, "the server is ready")
            server.stop()
    finally:
        server.close()


def _has_sockets(pid: int) -> bool:
    """Whether the process, which inherited none, has come so far as to open sockets."""
    seen = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True, check=False).stdout
    return "socket:" in seen
