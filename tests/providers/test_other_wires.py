"""Anthropic's and Ollama's servers over real sockets: who is asked, with what key, and that leaving closes them."""

from collections.abc import Callable
from typing import Any

import pytest

from headwater.core.events import Text, Usage
from headwater.core.run import RunRequest
from headwater.http_client import HttpClient
from headwater.providers.anthropic import AnthropicProvider
from headwater.providers.base import Finish, ProviderError, Step
from headwater.providers.ollama import OllamaProvider
from headwater.providers.retry import RetryPolicy
from headwater.providers.upstream import UpstreamProvider
from tests.support.upstream import Script, Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

KEY = "sk-hunter2-hunter2"

Make = Callable[..., UpstreamProvider]
BOTH = pytest.mark.parametrize("make", [AnthropicProvider, OllamaProvider])


async def steps_of(provider: UpstreamProvider, script: Script) -> list[Step]:
    request = RunRequest(input="hi", extra=script.extra())
    return [step async for steps in provider.generate(request) for step in steps]


@pytest.mark.parametrize(
    ("make", "below", "path"),
    [
        (AnthropicProvider, "", "/v1/messages"),
        (AnthropicProvider, "/", "/v1/messages"),
        (AnthropicProvider, "/v1/", "/v1/messages"),
        (OllamaProvider, "", "/api/chat"),
        (OllamaProvider, "/api", "/api/chat"),
    ],
)
async def test_the_address_is_with_or_without_its_prefix(
    client: HttpClient, upstream: Upstream, make: Make, below: str, path: str
) -> None:
    steps = await steps_of(make(client, base_url=upstream.root + below, model="m"), Script(tokens=2))
    assert [step for step in steps if isinstance(step, Text)] == [Text("0 "), Text("1 ")]
    assert steps[-1] == Finish("stop", Usage(3, 2))
    (exchange,) = upstream.exchanges
    assert (exchange.method, exchange.path, exchange.body["model"]) == ("POST", path, "m")


async def test_each_is_told_who_asks_in_its_own_way(client: HttpClient, upstream: Upstream) -> None:
    own: dict[str, Any] = {"base_url": upstream.root, "model": "m", "api_key": KEY, "headers": {"X-Team": "a"}}
    await steps_of(AnthropicProvider(client, **own), Script())
    await steps_of(OllamaProvider(client, **own), Script())
    claude, llama = (exchange.headers for exchange in upstream.exchanges)
    assert (claude["x-api-key"], claude["anthropic-version"], claude["x-team"]) == (KEY, "2023-06-01", "a")
    assert (llama["authorization"], llama["x-team"]) == (f"Bearer {KEY}", "a")
    assert "authorization" not in claude


@BOTH
async def test_closing_closes_the_upstream(client: HttpClient, upstream: Upstream, make: Make) -> None:
    script = Script(fault="stall", after=3, keep_alive_s=0.01)
    generator = make(client, base_url=upstream.root, model="m").generate(RunRequest(input="hi", extra=script.extra()))
    while not isinstance((await anext(generator))[-1], Text):
        pass
    await generator.aclose()
    await eventually(lambda: upstream.exchanges[0].closed_at is not None, what="the upstream sees it close")


@BOTH
async def test_a_refusal_has_its_status_and_no_key(client: HttpClient, upstream: Upstream, make: Make) -> None:
    script = Script(status=401, retry_after="9", body=f'{{"error":{{"type":"x","message":"{KEY} is wrong"}}}}')
    with pytest.raises(ProviderError) as caught:
        await steps_of(make(client, base_url=upstream.root, model="m", api_key=KEY), script)
    error = caught.value
    assert (error.reason, error.status, error.retry_after_s) == ("upstream_error", 401, 9.0)
    assert error.detail == "the upstream answered 401: *** is wrong"


async def test_an_overloaded_server_is_asked_again_a_few_times(client: HttpClient, upstream: Upstream) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    provider = AnthropicProvider(
        client,
        base_url=upstream.root,
        model="m",
        sleep=sleep,
        roll=lambda: 0.5,
        retries=RetryPolicy(tries_max=3),
    )
    steps = await steps_of(provider, Script(refusals=[529, 200], tokens=1))
    assert [step for step in steps if not isinstance(step, Usage)] == [Text("0 "), Finish("stop", Usage(3, 1))]
    assert (waits, len(upstream.exchanges)) == ([0.25, 0.5], 3)
    with pytest.raises(ProviderError) as caught:
        await steps_of(provider, Script(refusals=[200, 200, 200]))
    assert caught.value.detail == "the upstream reported an error: scripted error (tried 3 times)"
    assert (caught.value.status, len(upstream.exchanges)) == (None, 6)


@BOTH
async def test_a_connection_whose_answer_is_over_serves_again(
    client: HttpClient, upstream: Upstream, make: Make
) -> None:
    provider = make(client, base_url=upstream.root, model="m", linger_s=20)
    for _ in range(3):
        await steps_of(provider, Script())
    assert upstream.connections_made == 1


@BOTH
async def test_its_repr_tells_no_key(client: HttpClient, make: Make) -> None:
    assert KEY not in repr(make(client, base_url="http://h", model="m", api_key=KEY))
