"""Whoever waits for an answer, or for its first word, is not given it once their credential is over."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from headwater.config import Config
from tests.api.calls import DEADLINE_S, SLOW
from tests.support.keys import add_key, bearer, revoke
from tests.support.server import ServerProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SILENT = {"demo": {"fault": "stall", "after": 0}}
CHAT = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[Config, httpx2.AsyncClient]]:
    settings = {"key_check_s": 0.1, "drain_s": 0, "drain_spread_s": 0}
    async with (
        ServerProcess(tmp_path, settings=settings, args=["--faults"]) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        yield Config(store=f"sqlite:{server.database}"), api


@pytest.mark.parametrize(
    ("path", "body", "then"),
    [
        ("/v1/chat/completions", {**CHAT, **SLOW}, "cancelled"),
        ("/v1/chat/completions", {**CHAT, **SILENT, "stream": True}, "cancelled"),
        ("/v1/responses", {"input": "hello", **SLOW}, "in_progress"),
        ("/v1/responses", {"input": "hello", **SILENT, "stream": True}, "in_progress"),
    ],
    ids=["a completion", "its first word", "a response", "its first event"],
)
async def test_who_waits_is_refused_and_the_run_is_left_as_by_leaving(
    house: tuple[Config, httpx2.AsyncClient], path: str, body: dict[str, Any], then: str
) -> None:
    config, api = house
    key, other = await add_key(config), await add_key(config)

    async def run(status: str) -> Any:
        rows = (await api.get("/v1/runs", headers=bearer(other))).json().get("data")
        return rows and rows[0]["status"] == status and rows[0]

    async def is_known() -> bool:
        answers = [await api.get("/v1/runs", headers=headers) for headers in ({}, bearer(key), bearer(other))]
        return [answer.status_code for answer in answers] == [401, 200, 200]

    await eventually(is_known, DEADLINE_S, "the server asks, and knows the keys")
    asking = asyncio.create_task(api.post(path, json=body, headers=bearer(key)))
    await eventually(lambda: run("in_progress"), DEADLINE_S, "it is under way")
    await revoke(config, key)
    refused = await asking
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key"), refused.text
    left = await eventually(lambda: run(then), DEADLINE_S, f"it is {then}")
    assert refused.headers["headwater-run"] == left["id"]
    await api.post(left["cancel_url"], headers=bearer(other))
