"""Starting and ending the servers, each a process of its own on a free port."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
from msgspec import Struct
from msgspec.structs import replace

from tests.bench.measure import children
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
# A cold start on a busy machine takes a few seconds; LiteLLM's imports alone take six, and more from a cold disk.
READY_WITHIN_S = 60.0
# Longer than any server here needs with nothing to drain.
END_WITHIN_S = 5.0
# One request and a short answer; a peer that is overloaded is not asked.
REQUEST_TIMEOUT_S = 10.0

_MODELS = """default = "bench"

[models.bench]
provider = "openai"
base_url = "http://127.0.0.1:{port}/v1"
model = "bench"
"""


class Server(Struct, frozen=True):
    """A server that listens on `port`. Its `helpers` are processes whose work is counted with its own.

    `beside` is the port of a second worker, which is one of the helpers; `redis` a process that is counted apart.
    """

    pid: int
    port: int
    helpers: tuple[int, ...] = ()
    beside: int | None = None
    redis: int | None = None


def request(port: int, method: str, path: str, body: object = None) -> bytes:
    """The body of an answer. Raises OSError if none comes or it is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
    try:
        content = None if body is None else msgspec.json.encode(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= 300:
        raise OSError(f"{method} {path} answered {answer.status}: {data[:300]!r}")
    return data


def call(port: int, method: str, path: str, body: object = None) -> Any:
    """The same, decoded from JSON."""
    return msgspec.json.decode(request(port, method, path, body))


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            request(port, "GET", path)
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise SystemExit(f"{log.stem} did not start: {error}\n{tail}") from error
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server, and whatever it started and left behind."""
    rest = children(process.pid) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in rest:
        with suppress(psutil.NoSuchProcess):
            child.kill()


@contextmanager
def serve(
    name: str, port: int, command: list[str], where: Path, env: Mapping[str, str], ready: str = "/readyz"
) -> Iterator[Server]:
    """A server from its being ready until the end of the block; `env` is all the environment that it has."""
    log = where / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=where, env=env, stdout=output, stderr=subprocess.STDOUT)
        try:
            _await_ready(process, port, ready, log)
            yield Server(process.pid, port)
        finally:
            _end(process)


def _serve(name: str, port: int, module: list[str], where: Path, **env: str) -> AbstractContextManager[Server]:
    """A module of this checkout as a server."""
    # Nothing else of the caller's environment: a proxy or a setting in it would be measured too.
    paths = os.pathsep.join([str(ROOT / "server"), str(ROOT)])
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": paths, **env}
    return serve(name, port, [sys.executable, "-m", *module], where, env)


def upstream(where: Path) -> AbstractContextManager[Server]:
    """The server that plays the model."""
    port = free_port()
    return _serve("upstream", port, ["tests.bench.upstream", str(port)], where)


def peer(name: str, model: Server, where: Path) -> AbstractContextManager[Server]:
    """One of `peers/`."""
    return _peer(name, where, BENCH_UPSTREAM=f"http://127.0.0.1:{model.port}/v1")


def _peer(name: str, where: Path, **env: str) -> AbstractContextManager[Server]:
    """Under uvicorn, with the loop and the parsers that it has in production, and no deflate, as Headwater."""
    port = free_port()
    command = f"uvicorn tests.bench.peers.{name}:app --loop uvloop --http httptools --no-access-log --port {port}"
    command += " --ws websockets-sansio --ws-per-message-deflate false"
    return _serve(f"{name}-{port}", port, command.split(), where, **env)


@contextmanager
def headwater(model: Server, where: Path, store: str = "sqlite:headwater.db") -> Iterator[Server]:
    """Headwater as it comes, on a SQLite file unless told otherwise."""
    port = free_port()
    (where / "models.toml").write_text(_MODELS.format(port=model.port))
    command = f"headwater serve --host 127.0.0.1 --port {port} --store {store} --models models.toml"
    with _serve(f"headwater-{port}", port, command.split(), where) as server:
        yield server


@contextmanager
def on_redis(model: Server, where: Path) -> Iterator[Server]:
    """Headwater on a Redis of its own, whose work counts as Headwater's."""
    with RedisServer(where) as redis, headwater(model, where, redis.url) as server:
        yield Server(server.pid, server.port, (redis.pid,))


@contextmanager
def two_on_redis(model: Server, where: Path) -> Iterator[tuple[Server, Server]]:
    """Two workers on one Redis."""
    with RedisServer(where) as redis, _two(model, where, redis) as both:
        yield both


@contextmanager
def _two(model: Server, where: Path, redis: RedisServer) -> Iterator[tuple[Server, Server]]:
    with headwater(model, where, redis.url) as one, headwater(model, where, redis.url) as other:
        yield one, other


@contextmanager
def rooms_of_two(model: Server, where: Path) -> Iterator[Server]:
    """Two workers of Headwater, whose rooms lie on one Redis."""
    with RedisServer(where) as redis, _two(model, where, redis) as (one, other):
        yield _pair(one, other, redis)


@contextmanager
def socketio_of_two(_: Server, where: Path) -> Iterator[Server]:
    """Two workers of python-socketio, who hear of each other through a Redis."""
    with (
        RedisServer(where) as redis,
        _peer("socketio_rooms", where, BENCH_REDIS=redis.url) as one,
        _peer("socketio_rooms", where, BENCH_REDIS=redis.url) as other,
    ):
        yield _pair(one, other, redis)


def _pair(one: Server, other: Server, redis: RedisServer) -> Server:
    return replace(one, helpers=(other.pid,), beside=other.port, redis=redis.pid)
