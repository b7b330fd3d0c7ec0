"""More runs or readers than the server takes: refused for a moment, with the limit and when to come back."""

import contextlib
from collections.abc import Iterator

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, SLOW, cancel, ended, problem, producing, start
from tests.api.rooms import make
from tests.support.server import ServerProcess
from tests.support.sse import EventStreamParser
from tests.support.waiting import wait_until

SSE = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A server for one run, one that waits, and one reader."""
    settings = {"max_runs": 1, "max_queued": 1, "max_subscribers": 1, "drain_s": 0}
    with (
        ServerProcess(tmp_path_factory.mktemp("small"), settings=settings) as server,
        httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        yield api


@pytest.fixture(autouse=True)
def all_its_room_is_free_again(small: httpx2.Client) -> Iterator[None]:
    yield
    for status in ("queued", "in_progress"):
        for run in small.get("/v1/runs", params={"status": status}).json()["data"]:
            cancel(small, run)


def too_many(response: httpx2.Response, limit: int) -> None:
    document = problem(response, 429, "too_many")
    assert (document["limit"], document["retry_after"], response.headers["retry-after"]) == (limit, 1, "1")


@contextlib.contextmanager
def a_reader(api: httpx2.Client, url: str) -> Iterator[None]:
    with api.stream("GET", url) as response:
        pieces = response.iter_raw()  # kept: without it the response is closed
        next(pieces)
        yield


def test_runs(small: httpx2.Client) -> None:
    running, waiting = producing(small, start(small, SLOW)), start(small)
    too_many(small.post("/v1/runs", json={"input": "a"}), 1)
    too_many(small.post("/v1/runs", json={"input": "a", "stream": True}, headers=SSE), 1)
    assert [run["id"] for run in small.get("/v1/runs").json()["data"]] == [waiting["id"], running["id"]]
    cancel(small, running)
    assert ended(small, waiting)["status"] == "completed"


def test_readers(small: httpx2.Client) -> None:
    run = producing(small, start(small, SLOW))
    with a_reader(small, run["events_url"]):
        too_many(small.get(run["events_url"]), 1)
        too_many(small.get(f"{run['events_url']}?format=ndjson", headers=SSE), 1)
        response = small.get(run["events_url"], headers=SSE)
        parser = EventStreamParser()
        assert (response.status_code, parser.feed(response.content)) == (200, [])
        assert parser.retry_ms is not None and parser.retry_ms >= 1000
    cancel(small, run)
    wait_until(lambda: small.get(run["events_url"]).status_code == 200, what="the next reader is let in")


def test_listeners_of_a_room(small: httpx2.Client) -> None:
    room = make(small)
    with a_reader(small, room["events_url"]):
        too_many(small.get(room["events_url"]), 1)
        response = small.get(room["events_url"], headers=SSE)
        parser = EventStreamParser()
        assert (response.status_code, parser.feed(response.content)) == (200, [])
        assert parser.retry_ms is not None and parser.retry_ms >= 1000


def test_a_start_whose_reader_is_one_too_many_starts_nothing(small: httpx2.Client) -> None:
    run = producing(small, start(small, SLOW))
    with a_reader(small, run["events_url"]):
        too_many(small.post("/v1/runs", json={"input": "a", "stream": True}), 1)
        assert small.get("/v1/runs").json()["data"][0]["id"] == run["id"]
