"""The round-robin, and the command that puts workers behind it."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.cluster.round_robin import RoundRobin
from tests.support.event_source import EventSource
from tests.support.server import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

_psutil: Any = psutil  # it ships no types

ROOT = Path(__file__).parents[2]
LOOPS = 500  # turns of the loop, in which megabytes pass where nothing holds them up
MUCH = 32 * 1024 * 1024  # bytes, more than all buffers on the way take
DEADLINE_S = 60.0  # for five interpreters to start, or to end, on a machine with fewer cores

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Worker:
    """A stand-in: it says its name to each who connects, and then what it is told."""

    def __init__(self, name: bytes, port: int) -> None:
        self.name = name
        self.port = port
        self.silent = False  # it neither says nor reads anything
        self.connections: list[Stream] = []

    @asynccontextmanager
    async def up(self) -> AsyncIterator["Worker"]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", self.port):
            try:
                yield self
            finally:
                self.die()

    def die(self) -> None:
        for _, writer in self.connections:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append((reader, writer))
        if self.silent:
            return
        writer.write(self.name)
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()


@pytest.fixture
def workers() -> list[Worker]:
    return [Worker(name, free_port()) for name in (b"a", b"b", b"c")]


@pytest.fixture
async def balancer(workers: list[Worker]) -> AsyncIterator[RoundRobin]:
    sock = socket.create_server(("127.0.0.1", 0))
    async with RoundRobin(sock, [worker.port for worker in workers]) as balancer:
        yield balancer


@asynccontextmanager
async def connected(balancer: RoundRobin) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def who_serves(balancer: RoundRobin) -> bytes:
    """The name of the worker that a new connection gets to; empty if it is closed without a word."""
    async with connected(balancer) as (reader, _):
        return await reader.read(1)


async def test_each_connection_goes_to_the_next_worker(balancer: RoundRobin, workers: list[Worker]) -> None:
    async with workers[0].up(), workers[1].up(), workers[2].up():
        assert b"".join([await who_serves(balancer) for _ in range(7)]) == b"abcabca"


async def test_a_worker_that_is_away_is_passed_over_until_it_is_back(
    balancer: RoundRobin, workers: list[Worker]
) -> None:
    async with workers[0].up(), workers[2].up():
        assert b"".join([await who_serves(balancer) for _ in range(4)]) == b"acac"
        async with workers[1].up():
            assert b"".join([await who_serves(balancer) for _ in range(4)]) == b"abca"


async def test_who_finds_no_worker_is_sent_away(balancer: RoundRobin, workers: list[Worker]) -> None:
    assert await who_serves(balancer) == b""
    async with workers[1].up():
        assert await who_serves(balancer) == b"b"


async def test_all_that_is_said_arrives_and_then_the_end(balancer: RoundRobin, workers: list[Worker]) -> None:
    said = os.urandom(8_000_000)
    async with workers[0].up(), connected(balancer) as (reader, writer):
        writer.write(said)
        writer.write_eof()
        assert await reader.read(-1) == b"a" + said


async def test_a_worker_that_dies_ends_its_connections_alone(balancer: RoundRobin, workers: list[Worker]) -> None:
    async with (
        workers[0].up(),
        workers[1].up(),
        connected(balancer) as (reader, _),
        connected(balancer) as (other_reader, other_writer),
    ):
        assert await reader.read(1) == b"a"
        workers[0].die()
        with suppress(ConnectionError):
            assert await reader.read(1) == b""
        other_writer.write(b"!")
        assert await other_reader.readexactly(2) == b"b!"


async def test_a_client_that_leaves_leaves_its_worker_too(balancer: RoundRobin, workers: list[Worker]) -> None:
    async with workers[0].up():
        async with connected(balancer) as (reader, _):
            assert await reader.read(1) == b"a"
        await eventually(lambda: workers[0].connections[0][0].at_eof(), what="the worker sees the client go")


async def test_who_sends_more_than_is_taken_waits(balancer: RoundRobin, workers: list[Worker]) -> None:
    workers[0].silent = True
    async with workers[0].up(), connected(balancer) as (_, writer):
        writer.write(b"x" * MUCH)
        for _ in range(LOOPS):
            await asyncio.sleep(0)
        assert writer.transport.get_write_buffer_size() > MUCH // 2


async def test_its_end_ends_every_connection(workers: list[Worker]) -> None:
    workers[0].silent = True
    async with workers[0].up():
        async with RoundRobin(socket.create_server(("127.0.0.1", 0)), [workers[0].port]) as balancer:
            clients = [await asyncio.open_connection("127.0.0.1", balancer.port) for _ in range(3)]
            await eventually(lambda: len(workers[0].connections) == 3)
        for reader, writer in clients:
            with suppress(ConnectionError):
                assert await reader.read(1) == b""
            writer.transport.abort()
        await eventually(lambda: all(reader.at_eof() for reader, _ in workers[0].connections))


class Command:
    """`python -m tests.cluster`, whose files lie in `directory`."""

    def __init__(self, directory: Path, *args: str) -> None:
        self.directory = directory
        foreign = ("HEADWATER_", "OPENAI_", "COVERAGE_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster", *args],
                cwd=ROOT,
                env=environment | {"TMPDIR": str(directory)},
                stdout=stdout,
                stderr=stderr,
            )

    @property
    def stdout(self) -> str:
        return (self.directory / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text()

    def welcomed(self) -> bool:
        assert self.process.poll() is None, self.stderr
        return "Ctrl-C ends everything" in self.stdout

    def close(self) -> None:
        """End it and all that it started, if a test could not."""
        if self.process.poll() is None:
            for one in [*_psutil.Process(self.process.pid).children(recursive=True), self.process]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            self.process.wait(DEADLINE_S)


async def test_the_command_shows_that_any_worker_will_do(tmp_path: Path) -> None:
    with closing(Command(tmp_path, "--port", str(free_port()))) as command:
        await eventually(command.welcomed, DEADLINE_S)
        url = re.findall(r"round-robin before them on (http://\S+)", command.stdout)[0]
        workers = re.findall(r"(\d+) +worker on (http://\S+)", command.stdout)
        pids = [int(pid) for pid in re.findall(r"(\d+) +(?:worker|Redis) on", command.stdout)]
        assert (len(workers), len(pids)) == (3, 4)
        async with httpx2.AsyncClient() as client:
            question = {"input": "How do I resume a stream?", "extra": {"demo": {"tokens_per_s": 500}}}
            run = (await client.post(f"{workers[0][1]}/v1/runs", json=question)).json()
        elsewhere, anywhere = EventSource(workers[1][1] + run["events_url"]), EventSource(url + run["events_url"])
        await asyncio.gather(elsewhere.follow(), anywhere.follow())
        assert elsewhere.text == anywhere.text != ""
        assert (elsewhere.follower.end or {})["status"] == "completed"

        os.kill(int(workers[2][0]), signal.SIGKILL)
        said = f"The worker on port {workers[2][1].rpartition(':')[2]} (pid {workers[2][0]}) has ended: SIGKILL."
        await eventually(lambda: said in command.stderr)
        late = EventSource(url + run["events_url"])
        await late.follow()
        assert late.text == elsewhere.text

        command.process.send_signal(signal.SIGINT)
        await eventually(lambda: command.process.poll() is not None, DEADLINE_S)
        assert (command.process.returncode, command.stderr.count("has ended")) == (0, 1), command.stderr
        assert not [pid for pid in pids if _psutil.pid_exists(pid)]
        assert sorted(os.listdir(tmp_path)) == ["stderr", "stdout"]


def test_the_command_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with closing(Command(tmp_path, "--port", str(port))) as command:
            assert command.process.wait(DEADLINE_S) == 1
            reason = "address already in use"
            assert command.stderr == f"cannot listen on 127.0.0.1 port {port}: {reason}; try another --port\n"
