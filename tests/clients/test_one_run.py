"""One run, however it was started, followed at once by every client on every format: the same text for all."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec import Struct
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from tests.clients.scene import KEY, MODELS, WILD, Scene
from tests.streaming.lines import LineReader
from tests.streaming.stage import DEADLINE_S, ENDED
from tests.support.event_source import EventSource
from tests.support.keys import bearer
from tests.support.waiting import eventually
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

MOMENTS = (0, 10, 30)
"""The seqs at which readers join; one of each kind joins after the end, too."""


class Place(Struct, frozen=True):
    """A server, as an SDK and as everybody else sees it."""

    sdk: AsyncOpenAI
    http: httpx2.AsyncClient


@asynccontextmanager
async def at(root: str) -> AsyncIterator[Place]:
    """The server at this address."""
    async with (
        AsyncOpenAI(
            api_key=KEY, base_url=f"{root}/v1", max_retries=0, timeout=DEADLINE_S, _strict_response_validation=True
        ) as sdk,
        httpx2.AsyncClient(base_url=root, headers=bearer(KEY), timeout=DEADLINE_S) as http,
    ):
        yield Place(sdk, http)


# -- who follows


async def as_native(place: Place, run_id: str) -> str:
    reader = EventSource(f"{place.http.base_url}/v1/runs/{run_id}/events", headers=bearer(KEY))
    await reader.follow()
    return reader.text


async def as_ndjson(place: Place, run_id: str) -> str:
    reader = LineReader(place.http, run_id)
    while await reader.read():
        pass
    return reader.follower.text


async def as_text(place: Place, run_id: str) -> str:
    body = (await place.http.get(f"/v1/runs/{run_id}/events", params={"format": "text"})).content
    return body.decode()


async def as_chat(place: Place, run_id: str) -> str:
    chunks = await events(place, run_id, "chat", ChatCompletionChunk, AsyncStream[ChatCompletionChunk])
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def as_responses(place: Place, run_id: str) -> str:
    kind: Any = ResponseStreamEvent  # a union, which the SDK's own routes give in this way, too
    told = await events(place, run_id, "responses", kind, AsyncStream[ResponseStreamEvent])
    return response_text(told)


async def as_a_response(place: Place, run_id: str) -> str:
    """The same run by the SDK's own method."""
    stream = await place.sdk.responses.retrieve(run_id.replace("run_", "resp_"), stream=True)
    async with stream:
        return response_text([event async for event in stream])


async def events(place: Place, run_id: str, form: str, kind: Any, stream_of: Any) -> list[Any]:
    """A run's events in one of OpenAI's forms, by the SDK's own stream."""
    stream = await place.sdk.get(
        f"/runs/{run_id}/events",
        cast_to=kind,
        options={"params": {"format": form}},
        stream=True,
        stream_cls=stream_of,
    )
    async with stream:
        return [event async for event in stream]


def response_text(told: list[Any]) -> str:
    assert (told[0].type, told[-1].type) == ("response.created", "response.completed")
    text = "".join(event.delta for event in told if event.type == "response.output_text.delta")
    assert text == told[-1].response.output_text
    return text


FOLLOWERS: dict[str, Callable[[Place, str], Awaitable[str]]] = {
    "native": as_native,
    "ndjson": as_ndjson,
    "text": as_text,
    "chat": as_chat,
    "responses": as_responses,
    "a response": as_a_response,
}

# -- who starts it


async def by_native(place: Place, question: str) -> str:
    started = await place.http.post("/v1/runs", json={"model": "wild", "input": question})
    assert started.status_code == 202, started.text
    return str(started.json()["id"])


async def by_chat(place: Place, question: str) -> str:
    raw = await place.sdk.chat.completions.with_raw_response.create(
        model="wild",
        messages=[{"role": "user", "content": question}],
        stream=True,
        extra_headers={"Headwater-On-Disconnect": "continue"},
    )
    async with raw.parse() as stream:
        await anext(aiter(stream))
    return str(raw.headers["headwater-run"])


async def by_responses(place: Place, question: str) -> str:
    raw = await place.sdk.responses.with_raw_response.create(model="wild", input=question, stream=True)
    async with raw.parse() as stream:
        await anext(aiter(stream))
    return str(raw.headers["headwater-run"])


STARTERS = {"native": by_native, "chat": by_chat, "responses": by_responses}

# -- all together


async def joined_at(place: Place, run_id: str, seq: int) -> None:
    """Return once the run has so many events, or its end."""

    async def there() -> bool:
        run = (await place.http.get(f"/v1/runs/{run_id}")).json()
        return run["status"] in ENDED or int(run["position"].partition("-")[0]) >= seq

    await eventually(there, DEADLINE_S, f"{run_id} is at {seq}")


async def follow_everyhow(place: Place, run_id: str) -> dict[str, str]:
    """What each kind of reader has read, at each moment of joining."""

    async def late(name: str, seq: int) -> tuple[str, str]:
        await joined_at(place, run_id, seq)
        return f"{name} from {seq}", await FOLLOWERS[name](place, run_id)

    told = dict(await asyncio.gather(*(late(name, seq) for seq in MOMENTS for name in FOLLOWERS)))
    return told | {f"{name} after the end": await FOLLOWERS[name](place, run_id) for name in FOLLOWERS}


@pytest.mark.parametrize("start", STARTERS)
async def test_all_read_the_same(scene: Scene, start: str) -> None:
    async with at(scene.server.url) as place:
        run_id = await STARTERS[start](place, f"all, from {start}")
        told = await follow_everyhow(place, run_id)
    assert scene.ended(run_id)["output"] == WILD
    assert told == dict.fromkeys(told, WILD)
    assert len([one for one in scene.upstream.exchanges if f"all, from {start}" in str(one.body)]) == 1


async def test_all_read_the_same_on_another_worker(tmp_path: Path, redis_url: str) -> None:
    models = {"wild": MODELS["wild"]}
    async with (
        Cluster(tmp_path, redis_url, workers=2, models=models, keys=f"full={KEY}", requests_per_minute=0) as cluster,
        at(cluster.urls[0]) as here,
        at(cluster.urls[1]) as elsewhere,
    ):
        for start in ("chat", "responses"):
            run_id = await STARTERS[start](here, secrets.token_hex(4))
            told = await follow_everyhow(elsewhere, run_id)
            assert told == dict.fromkeys(told, WILD)
