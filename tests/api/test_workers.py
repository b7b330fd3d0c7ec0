"""`headwater serve --workers 3` on a real Redis: one command, one port, one voice."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, QUICK, SLOW, ended, get, producing, start
from tests.support.event_source import EventSource
from tests.support.redis_server import RedisServer
from tests.support.server import START_S, free_port
from tests.support.waiting import eventually, wait_until
from tests.test_supervisor import Family

WORKERS = 3
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
    with Workers(tmp_path, redis.url, "--faults") as server, server.ask() as api:
        pids = server.pids()
        assert len(pids) == WORKERS
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
        producing(api, start(api, SLOW))
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
        Workers(tmp_path, redis.url, "--workers", "2") as server,
        httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        before = server.pids()

        def rolling() -> bool:
            return bool(server.pids() & before)

        looking = asyncio.ensure_future(look_again_and_again(server, rolling))
        askers = [asyncio.ensure_future(ask_again_and_again(api, rolling)) for _ in range(3)]
        demo = {"tokens": 300, "tokens_per_s": 60}
        run = (await api.post("/v1/runs", json={"input": "a", "extra": {"demo": demo}})).json()
        readers = [EventSource(f"{server.url}{run['events_url']}") for _ in range(4)]
        following = [asyncio.ensure_future(reader.follow()) for reader in readers]
        await eventually(lambda: all(reader.text for reader in readers), what="they follow")
        server.signal(signal.SIGHUP)
        await asyncio.gather(*following)
        answers = [answer for asker in askers for answer in await asker]
        assert await looking == {b"200"}, "only those accept who stay"
        whole = (await api.get(run["url"])).json()
        assert len(server.pids()) == 2 and not server.pids() & before
    assert whole["status"] == "completed" and {reader.text for reader in readers} == {whole["output"]}
    assert answers and all(answer.rstrip().endswith("data: [DONE]") for answer in answers)


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


async def look_again_and_again(server: Workers, more: Callable[[], bool]) -> set[bytes]:
    """How those answer who accept connections, for as long as somebody wants `more`."""
    statuses = set()
    while more():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        statuses.add((await reader.read()).split(b" ", 2)[1])
        writer.close()
        await asyncio.sleep(0.02)
    return statuses


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
    with Workers(tmp_path, redis.url) as server:
        assert "address already in use" in Workers(tmp_path, redis.url, "--port", str(server.port)).refused()


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
