"""`headwater serve --workers 3` on a real Redis: one command, one port, one voice."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, QUICK, SLOW, ended, get, producing, start
from tests.support.event_source import EventSource
from tests.support.redis_server import RedisServer
from tests.support.server import START_S, free_port
from tests.support.waiting import eventually, lasting, wait_until
from tests.test_supervisor import Family

WORKERS = 2  # a start is most of what a test costs here; where three make a difference there are three
JSON = {"type": "json_object"}
"""The `response_format` of an answer that nobody could go on with."""
SETTINGS = {"lease_s": 1.0, "renew_s": 0.3, "sweep_s": 0.2, "drain_spread_s": 0.1}


class Workers(Family):
    """Several of them by one command, with the runs of their directory; ready once a newcomer was welcomed."""

    def __init__(self, directory: Path, store: str, *args: str, **settings: object) -> None:
        options = ["--workers", str(WORKERS), *args]  # of two the last one counts
        super().__init__(
            directory, store=store, args=options, settings={**SETTINGS, "redis_prefix": directory.name, **settings}
        )

    @property
    def ready(self) -> bool:
        """Whether it has workers and answers."""
        return bool(self.pids()) and super().ready

    def ask(self) -> httpx2.Client:
        """A client whose every request is a connection of its own, for whichever worker accepts it."""
        return httpx2.Client(base_url=self.url, timeout=DEADLINE_S, headers={"Connection": "close"})


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


def test_three_workers_are_one_server(tmp_path: Path, redis: RedisServer) -> None:
    with Workers(tmp_path, redis.url, "--faults", "--workers", "3") as server, server.ask() as api:
        pids = server.pids()
        assert len(pids) == 3
        runs = []
        for pid in pids:  # each in turn, while the others cannot
            for other in pids - {pid}:
                os.kill(other, signal.SIGSTOP)
            run = start(api, {"demo": {**QUICK["demo"], "fault": "garbage"}})  # they have the command's options
            runs.append(ended(api, run))
            for other in pids - {pid}:
                os.kill(other, signal.SIGCONT)
        assert [get(api, run) for run in runs] == runs
        assert server.pids() == pids
        assert server.terminate() == 0
        assert server.stderr.count("is listening on") == server.stderr.count(f"listening on {server.url}\n") == 1
        assert server.stderr.count("once more to stop at once") == 1
        assert f"  Replace workers    kill -HUP {server.pid} " in server.stderr
        names = dict(re.findall(r"worker (\S+) \(process (\d+)\)$", server.stderr, re.MULTILINE))
        assert len(names) == 3 and {int(pid) for pid in names.values()} == pids, "each says who it is"
        assert server.stdout == ""


def test_killed_workers_are_replaced(tmp_path: Path, redis: RedisServer) -> None:
    with Workers(tmp_path, redis.url) as server, server.ask() as api:
        before = server.pids()
        for pid in before:  # the port stays open, so a request that comes now waits for the next one
            os.kill(pid, signal.SIGKILL)
        assert ended(api, start(api))["status"] == "completed"
        wait_until(lambda: server.stderr.count("listens in the place of the one that ended") == WORKERS)
        assert len(server.pids()) == WORKERS and not server.pids() & before
        assert server.stderr.count("ended with signal 9 (Killed)") == WORKERS
        assert server.stderr.count("is listening on") == 1


def test_running_answers_go_on_at_the_next_start(tmp_path: Path, redis: RedisServer) -> None:
    with Workers(tmp_path, redis.url) as server, server.ask() as api:
        run = start(api, {"demo": {"tokens": 60, "tokens_per_s": 60}})
        producing(api, run)
        server.signal(signal.SIGINT)
        assert server.wait() == 0
    with Workers(tmp_path, redis.url) as server, server.ask() as api:
        assert ended(api, run)["status"] == "completed"


def test_a_second_signal_ends_all_at_once(tmp_path: Path, redis: RedisServer) -> None:
    with Workers(tmp_path, redis.url, drain_s=600) as server, server.ask() as api:
        producing(api, start(api, SLOW, response_format=JSON))
        server.signal(signal.SIGTERM)
        wait_until(lambda: "once more to stop at once" in server.stderr)
        wait_until(lambda: len(server.pids()) == 1, what="those with nothing to finish are gone")
        assert server.terminate() == 0


def test_workers_end_when_their_parent_was_killed_and_lose_nothing(tmp_path: Path, redis: RedisServer) -> None:
    with Workers(tmp_path, redis.url) as server, server.ask() as api:
        run = start(api, {"demo": {"tokens": 60, "tokens_per_s": 60}})
        producing(api, run)
        server.kill()
        wait_until(lambda: server.stderr.count("the supervisor is gone") == WORKERS)
        wait_until(lambda: nobody_listens(server), what="they are gone, and the port is free")
        server.start()
        assert ended(api, run)["status"] == "completed"


@pytest.mark.anyio
async def test_a_hangup_replaces_all_workers_and_nobody_sees_an_error(tmp_path: Path, redis: RedisServer) -> None:
    async with (
        Workers(tmp_path, redis.url) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        before = server.pids()
        stays_long, other = before
        os.kill(other, signal.SIGSTOP)
        rigid = await start_one(api, SLOW, response_format=JSON)
        os.kill(other, signal.SIGCONT)
        run = await start_one(api, {"demo": {"tokens": 300, "tokens_per_s": 60}})
        readers = [EventSource(f"{server.url}{run['events_url']}") for _ in range(4)]
        following = [asyncio.ensure_future(reader.follow()) for reader in readers]
        await eventually(lambda: all(reader.text for reader in readers), what="they follow")
        askers = [asyncio.ensure_future(ask_again_and_again(api, lambda: bool(server.pids() & before))) for _ in (1, 2)]
        server.signal(signal.SIGHUP)
        await eventually(lambda: f"(process {stays_long}) is replaced" in server.stderr)
        await eventually(lambda: accepts_no_more(server, stays_long), what="it accepts no more")
        await api.post(rigid["cancel_url"])
        answers = [answer for asker in askers for answer in await asker]
        await asyncio.gather(*following)
        whole = (await api.get(run["url"])).json()
        assert len(server.pids()) == 2 and not server.pids() & before
    assert whole["status"] == "completed" and {reader.text for reader in readers} == {whole["output"]}
    assert answers and all(answer.rstrip().endswith("data: [DONE]") for answer in answers)


async def start_one(api: httpx2.AsyncClient, extra: Any, **fields: Any) -> Any:
    return (await api.post("/v1/runs", json={"input": "a", "extra": extra, **fields})).json()


async def accepts_no_more(server: Workers, leaving: int) -> bool:
    """Whether all connections that come while the others are frozen are left to those, who are ready."""
    frozen = server.pids() - {leaving}
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
    for _, writer in connections:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    await lasting(0.2)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    answers = [await reader.read() for reader, _ in connections]
    for _, writer in connections:
        writer.close()
    return all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def ask_again_and_again(api: httpx2.AsyncClient, more: Callable[[], bool]) -> list[str]:
    """The streams that one of OpenAI's clients is given, one after the other, for as long as it wants `more`."""
    answers = []
    while more():
        messages = [{"role": "user", "content": "a"}]
        body = {"model": "demo", "messages": messages, "stream": True, "demo": {"tokens": 30, "tokens_per_s": 100}}
        response = await api.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        answers.append(response.text)
    return answers


def nobody_listens(server: Workers) -> bool:
    try:
        with server.ask() as api:
            api.get("/healthz")
    except httpx2.TransportError as error:
        return isinstance(error, httpx2.ConnectError)
    return False


def test_what_is_wrong_is_said_by_one_for_all(tmp_path: Path, redis: RedisServer) -> None:
    missing = Workers(tmp_path, redis.url, "--models", "mine.toml")
    assert missing.refused().startswith("mine.toml: cannot be read")
    away = free_port()
    assert f"127.0.0.1:{away}/0 cannot be reached" in Workers(tmp_path, f"redis://127.0.0.1:{away}/0").refused()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "address already in use" in Workers(tmp_path, redis.url, "--port", str(port)).refused()


def test_workers_wait_for_a_store_that_starts_later(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    server = Workers(tmp_path, redis.url, "--wait-for-store", str(START_S))
    try:
        server.launch()
        wait_until(server.pids)
        with redis:
            wait_until(lambda: server.ready, START_S)
            assert len(server.pids()) == WORKERS
            assert server.terminate() == 0
    finally:
        server.close()
