"""The header Idempotency-Key: one key is one run and one call of the model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, problem
from tests.support.server import ServerProcess
from tests.support.upstream import Script, Upstream

pytestmark = pytest.mark.anyio

MODELS = """
default = "scripted"
[models.scripted]
provider = "openai"
base_url = "{url}"
"""


class Place(NamedTuple):
    """A server, and the upstream that its default model asks."""

    api: httpx2.AsyncClient
    upstream: Upstream

    async def post(self, key: str, query: str = "", **fields: Any) -> httpx2.Response:
        headers = {"Idempotency-Key": key}
        return await self.api.post(f"/v1/runs{query}", json={"input": key, **fields}, headers=headers)

    async def calls(self, run_id: str, key: str) -> int:
        """How often the upstream was asked about this key until this run had ended."""
        await self.api.get(f"/v1/runs/{run_id}/events")
        asked = [e.body["messages"][0]["content"] for e in self.upstream.exchanges if e.path.endswith("/completions")]
        return asked.count(key)


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    directory: Path = tmp_path_factory.mktemp("idempotency")
    async with Upstream(default=Script(tokens=8, interval_s=0.02)) as upstream:
        (directory / "headwater.toml").write_text(MODELS.format(url=upstream.url))
        async with (
            ServerProcess(directory) as server,
            httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as api,
        ):
            yield Place(api, upstream)


@pytest.fixture
def key() -> str:
    return str(uuid4())


async def test_the_same_key_gives_the_same_run(place: Place, key: str) -> None:
    first = await place.post(key, metadata={"a": "1"}, seed=7)
    again = await place.post(key, seed=7, metadata={"a": "1"})  # the order of fields says nothing
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"] == again.headers["headwater-run"]
    assert again.headers["location"] == first.headers["location"]
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert await place.calls(first.json()["id"], key) == 1


async def test_after_the_end_it_still_gives_that_run(place: Place, key: str) -> None:
    first = (await place.post(key)).json()["id"]
    assert await place.calls(first, key) == 1
    again = await place.post(key)
    assert (again.json()["id"], again.json()["status"]) == (first, "completed")
    assert await place.calls(first, key) == 1


async def test_another_body_conflicts_and_starts_nothing(place: Place, key: str) -> None:
    first = (await place.post(key)).json()["id"]
    document = problem(await place.post(key, input="something else"), 409, "idempotency_conflict")
    assert document["title"] == "Idempotency key used with another body"
    assert await place.calls(first, key) == 1


async def test_another_key_is_another_run(place: Place, key: str) -> None:
    runs = [(await place.post(f"{key}{suffix}")).json()["id"] for suffix in "ab"]
    assert len(set(runs)) == 2


async def test_how_the_answer_is_wanted_is_no_part_of_the_body(place: Place, key: str) -> None:
    run = (await place.post(key)).json()["id"]
    answers = [await place.post(key, stream=True), await place.post(key, "?format=text"), await place.post(key)]
    assert [answer.headers["headwater-run"] for answer in answers] == [run] * 3
    assert [answer.headers["idempotent-replayed"] for answer in answers] == ["true"] * 3
    kinds = ["text/event-stream", "text/plain", "application/json"]
    assert [answer.headers["content-type"].partition(";")[0] for answer in answers] == kinds
    assert answers[1].text == Script().text
    assert await place.calls(run, key) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_twenty_at_once_are_one_run_and_one_call(place: Place, key: str, stream: bool) -> None:
    answers = await asyncio.gather(*(place.post(key, stream=stream) for _ in range(20)))
    (run,) = {answer.headers["headwater-run"] for answer in answers}
    assert {answer.status_code for answer in answers} == {200 if stream else 202}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert await place.calls(run, key) == 1
    if stream:
        texts = await asyncio.gather(*(place.post(key, "?format=text") for _ in range(3)))
        assert {answer.text for answer in texts} == {Script().text}
        assert all(f'"id":"{run}"' in answer.text and "event: end" in answer.text for answer in answers)
