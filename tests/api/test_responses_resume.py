"""Readers of one response who join anywhere and are cut off anywhere see the same events, on any worker."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headwater.formats.openai import run_id_of
from tests.formats.responses import seen
from tests.streaming.stage import SCRIPTED, Stage
from tests.support.sse import EventStreamParser, Message
from tests.support.upstream import Script
from tests.workers.stages import workers

pytestmark = pytest.mark.anyio

READERS = 12
_DEADLINE_S = 60.0  # only ends a hang


def _call(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **head, "function": {"arguments": arguments, **head.pop("named", {})}}]}


DELTAS: list[dict[str, Any]] = [
    *({"reasoning_content": f"{number}? "} for number in range(20)),
    *({"content": f"{number} … "} for number in range(40)),
    _call(0, "", id="call_a", type="function", named={"name": "look"}),
    *(_call(0, f'"{number}' if number % 2 else '",') for number in range(10)),
    _call(1, "{", id="call_b", type="function", named={"name": "find"}),
    *({"content": f"{number}! "} if number % 3 else _call(1, f"{number}") for number in range(30)),
]
SCRIPT = Script(deltas=DELTAS, interval_s=0.01, finish_reason="tool_calls")


@pytest.fixture(params=["sqlite", "redis"])
async def stages(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Stage]]:
    """One worker, or two that share a Redis."""
    if request.param == "sqlite":
        stores = [f"sqlite:{tmp_path / 'responses.db'}"]
    else:
        stores = [request.getfixturevalue("redis_url")] * 2
    async with workers(tmp_path, stores) as stages:
        yield stages


class Reader:
    """Comes back after each cut: with the number of the last event, or with the last id that it was given."""

    def __init__(self, stages: list[Stage], chance: random.Random, url: str, *, by_number: bool = True) -> None:
        self.events: list[dict[str, Any]] = []
        self._stages = stages
        self._chance = chance
        self._url = url
        self._by_number = by_number
        self._last_id = ""

    @property
    def number(self) -> int:
        """The last event's."""
        number: int = self.events[-1]["sequence_number"] if self.events else -1
        return number

    async def read(self, *, cuts: bool) -> "Reader":
        """To the end."""
        async with asyncio.timeout(_DEADLINE_S):
            while not (self.events and self.events[-1]["type"] == "response.completed"):
                await self._connect(self._chance.randrange(1, 20_000) if cuts else None)
        return self

    async def _connect(self, cut_at: int | None) -> None:
        stage, parser, left = self._chance.choice(self._stages), EventStreamParser(), cut_at
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        start = f"&starting_after={self.number}" if self._by_number and self.events else ""
        async with stage.client.stream("GET", f"{self._url}{start}", headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for piece in answer.aiter_raw():
                for message in parser.feed(piece if left is None else piece[:left]):
                    self._take(message)
                left = left if left is None else left - len(piece)
                if left is not None and left <= 0:
                    return

    def _take(self, message: Message) -> None:
        if message.json["sequence_number"] > self.number:
            self.events.append(message.json)
        else:
            assert not self._by_number, "only whoever comes back by an id sees again what had none"
        if not self._by_number:
            self._last_id = message.id or self._last_id


async def _start(stage: Stage) -> str:
    body = {"model": SCRIPTED, "input": "1", "background": True, **SCRIPT.extra()}
    answer = await stage.client.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    response_id: str = answer.json()["id"]
    return response_id


def _url(id: str) -> str:
    return f"/v1/responses/{id}?stream=true"


def _of_output(reader: Reader) -> Any:
    """What is the same for all: whether it was still queued is not."""
    return seen(event for event in reader.events if event["sequence_number"] >= 16)


@pytest.mark.parametrize("seed", range(2))
async def test_cut_readers_miss_nothing_and_see_nothing_twice(stages: list[Stage], seed: int) -> None:
    chance = random.Random(seed)
    id = await _start(stages[0])

    url, run_url = _url(id), f"/v1/runs/run_{id.removeprefix('resp_')}/events?format=responses"
    ways = [(url, True), (url, False), (run_url, False)] * (READERS // 3)
    readers = [Reader(stages, random.Random(chance.random()), where, by_number=way) for where, way in ways]
    whole, *cut = await asyncio.gather(*(reader.read(cuts=index > 0) for index, reader in enumerate(readers)))
    late = await Reader(stages, chance, url).read(cuts=True)
    final = whole.events[-1]["response"]
    for reader in (*cut, late):
        assert _of_output(reader) == _of_output(whole)
    fetched = (await stages[-1].client.get(f"/v1/responses/{id}")).json()
    assert fetched["output"] == final["output"]
    assert [item["type"] for item in final["output"]] == [
        "reasoning", "message", "function_call", "function_call", "message"
    ]  # fmt: skip


async def test_every_number_can_be_gone_on_from(stages: list[Stage]) -> None:
    """Of a response that is over, on a worker that did not make it."""
    id = await _start(stages[0])
    stage = stages[-1]
    await stage.ended(run_id_of(id))  # so that it is not found queued, which nobody is told who comes later
    whole = await Reader([stage], random.Random(0), _url(id)).read(cuts=False)
    for index in range(0, len(whole.events), 3):
        number = whole.events[index]["sequence_number"]
        answer = await stage.client.get(f"/v1/responses/{id}", params={"stream": "true", "starting_after": number})
        assert answer.headers["content-type"].startswith("text/event-stream")
        rest = [message.json for message in EventStreamParser().feed(answer.content)]
        assert seen([*whole.events[: index + 1], *rest]) == seen(whole.events)
