"""What no provider should say costs its own run at the most, never the worker's other runs."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

import headwater
from headwater.core.events import Text, Usage
from headwater.core.run import RunRequest
from headwater.providers.base import Finish, Provider, ProviderError, Step
from tests.api.calls import QUICK
from tests.support.waiting import wait_until

HALF = "\ud83d"  # of a surrogate pair: no UTF-8 can carry it


class Counts(Provider):
    """Finishes with counts beyond all bounds."""

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        yield [Text("a")]
        yield [Finish("stop", Usage(input_tokens=-1, output_tokens=10**400))]


class Complains(Provider):
    """Fails with a sentence that is no Unicode."""

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        yield [Text("a")]
        raise ProviderError("upstream_error", f"bad {HALF} half")


class Mumbles(Provider):
    """Yields text that is no Unicode."""

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        yield [Text(f"a{HALF}")]
        yield [Finish("stop")]


@pytest.fixture(scope="module")
def app() -> Iterator[TestClient]:
    config = headwater.Config(store="sqlite::memory:")
    providers = {"counts": Counts(), "complains": Complains(), "mumbles": Mumbles()}
    with TestClient(headwater.create_app(config, providers=providers, environ={})) as client:
        yield client


def ended(app: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    """The run that this body starts, once it has ended."""
    url = app.post("/v1/runs", json=body).json()["url"]

    def run() -> dict[str, Any] | None:
        answer: dict[str, Any] = app.get(url).json()
        return answer if answer["status"] not in ("queued", "in_progress") else None

    return wait_until(run, what="the run ends")


def test_counts_beyond_all_bounds_are_brought_within_them(app: TestClient) -> None:
    run = ended(app, {"input": "x", "model": "counts"})
    assert (run["status"], run["output"]) == ("completed", "a")
    assert run["usage"] == {"output_tokens": 2**53}


def test_a_sentence_that_is_no_unicode_is_told_all_the_same(app: TestClient) -> None:
    run = ended(app, {"input": "x", "model": "complains"})
    assert (run["status"], run["reason"]) == ("failed", "upstream_error")
    assert run["error"]["detail"] == "bad \ufffd half"


def test_text_that_is_no_unicode_ends_its_run_and_no_other(app: TestClient) -> None:
    run = ended(app, {"input": "x", "model": "mumbles"})
    assert (run["status"], run["reason"]) == ("failed", "internal_error")
    assert ended(app, {"input": "x", "extra": QUICK})["status"] == "completed"


def test_a_head_of_a_stream_does_not_wait_for_the_run(app: TestClient) -> None:
    slow = {"demo": {"tokens_per_s": 1, "tokens": 1000}}
    run = app.post("/v1/runs", json={"input": "x", "extra": slow}).json()
    head = app.head(run["events_url"])
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert app.head("/v1/runs/run_unknown/events").status_code == 404
    app.post(run["cancel_url"])
