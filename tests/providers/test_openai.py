"""The provider against a scripted upstream, over real sockets: every fault and its honest outcome."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from headwater.core.events import Text, ToolCall, Usage
from headwater.core.run import RunRequest
from headwater.http_client import HttpClient
from headwater.providers.base import Finish, ProviderError, Step
from headwater.providers.openai import OpenAIProvider, list_models
from headwater.providers.retry import RetryPolicy
from tests.support.server import free_port
from tests.support.upstream import Script, Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

KEY = "sk-hunter2-hunter2"


@dataclass
class Outcome:
    """What came of one request. `reason` is the finish reason or that of the error."""

    reason: str
    text: str = ""
    usage: Usage | None = None
    detail: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    lists: list[list[Step]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


def provider_for(client: HttpClient, url: str, **options: Any) -> OpenAIProvider:
    return OpenAIProvider(client, base_url=url, model="m", api_key=KEY, **options)


async def outcome(client: HttpClient, url: str, script: Script | None = None, **options: Any) -> Outcome:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    provider = provider_for(client, url, **({"sleep": sleep, "roll": lambda: 0.5} | options))
    request = RunRequest(input="hi", extra=script.extra() if script else None)
    lists: list[list[Step]] = []
    try:
        async for steps in provider.generate(request):
            assert steps, "an empty list"
            lists.append(steps)
    except ProviderError as error:
        result = Outcome(
            error.reason,
            usage=error.usage,
            detail=error.detail,
            status=error.status,
            retry_after_s=error.retry_after_s,
        )
    else:
        (finish,) = lists[-1]
        assert isinstance(finish, Finish)
        result = Outcome(finish.reason, usage=finish.usage)
    result.text = "".join(step.text for steps in lists for step in steps if isinstance(step, Text))
    result.lists, result.waits = lists, waits
    return result


async def test_an_answer_comes_with_its_usage_and_finish(client: HttpClient, upstream: Upstream) -> None:
    script = Script(pieces=["Hello", " 👩‍👩‍👧", "\u2028漢字"])
    answer = await outcome(client, upstream.url, script)
    assert (answer.reason, answer.text, answer.usage) == ("stop", script.text, Usage(3, 3))


async def test_the_request_says_what_is_wanted_and_who_asks(client: HttpClient, upstream: Upstream) -> None:
    await outcome(client, upstream.url, headers={"X-Team": "a"})
    (exchange,) = upstream.exchanges
    assert (exchange.method, exchange.path) == ("POST", "/v1/chat/completions")
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.headers["accept-encoding"] == "identity"
    assert exchange.headers["x-team"] == "a"
    assert exchange.body["messages"] == [{"role": "user", "content": "hi"}]
    assert exchange.body["stream"] is True


async def test_without_a_key_none_is_sent(client: HttpClient, upstream: Upstream) -> None:
    provider = OpenAIProvider(client, base_url=f"{upstream.url}/", model="m")
    assert [steps async for steps in provider.generate(RunRequest(input="hi"))]
    assert "authorization" not in upstream.exchanges[0].headers


@pytest.mark.parametrize("split", [1, 7, 100])
@pytest.mark.parametrize("end", ["chunked", "close"])
async def test_bytes_may_be_split_anywhere(client: HttpClient, upstream: Upstream, split: int, end: Any) -> None:
    script = Script(pieces=["e\u0301👩‍👩‍👧", "\u2028", "漢字\r\n\n"], split=split, end=end)
    answer = await outcome(client, upstream.url, script)
    assert (answer.reason, answer.text) == ("stop", script.text)


async def test_tool_calls_come_in_fragments(client: HttpClient, upstream: Upstream) -> None:
    deltas: list[dict[str, Any]] = [
        {"tool_calls": [{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]
    answer = await outcome(client, upstream.url, Script(deltas=deltas, finish_reason="tool_calls"))
    steps = [step for steps in answer.lists for step in steps]
    assert steps[:-1] == [ToolCall(0, "call_a", "f", ""), ToolCall(0, None, None, "{}")]
    assert answer.reason == "tool_calls"


MID_STREAM = {
    "cut": (Script(fault="cut", after=4), "upstream_cut", 4),
    "reset": (Script(fault="reset", after=4), "upstream_cut", 4),
    "cut before the first token": (Script(fault="cut"), "upstream_cut", 0),
    "an end without anything": (Script(tokens=4, finish_reason=None, usage="none", done=False), "upstream_cut", 4),
    "the same without framing": (
        Script(tokens=4, finish_reason=None, usage="none", done=False, end="close"),
        "upstream_cut",
        4,
    ),
    "an error": (Script(fault="error", after=4), "upstream_error", 4),
    "an error, then [DONE]": (Script(fault="error_done", after=4), "upstream_error", 4),
    "an error in the first event": (Script(fault="error"), "upstream_error", 0),
    "a malformed line": (Script(fault="malformed", after=4), "bad_upstream_data", 4),
    "[DONE] too early": (Script(fault="done", after=4), "no_finish_reason", 4),
    "no finish_reason": (Script(tokens=4, finish_reason=None), "no_finish_reason", 4),
    "a finish_reason that is not known": (Script(tokens=4, finish_reason="abort"), "no_finish_reason", 4),
    "no [DONE]": (Script(tokens=4, done=False), "stop", 4),
    "no [DONE], no usage": (Script(tokens=4, done=False, usage="none"), "stop", 4),
    "no [DONE], no usage, a cut": (Script(tokens=4, done=False, usage="none", end="cut"), "stop", 4),
    "a content filter": (Script(tokens=4, finish_reason="content_filter"), "content_filter", 4),
    "the token limit": (Script(tokens=4, finish_reason="length"), "length", 4),
}


@pytest.mark.parametrize(("script", "reason", "tokens"), MID_STREAM.values(), ids=MID_STREAM)
@pytest.mark.parametrize("split", [None, 9], ids=["whole", "split"])
async def test_the_end_is_honest(
    client: HttpClient, upstream: Upstream, script: Script, reason: str, tokens: int, split: int | None
) -> None:
    script = Script(**{name: getattr(script, name) for name in script.__struct_fields__} | {"split": split})
    answer = await outcome(client, upstream.url, script)
    assert answer.reason == reason, answer.detail
    assert answer.text == "".join(f"{number} " for number in range(tokens))
    assert len(upstream.exchanges) == 1, "it was asked again after the answer had begun"


async def test_an_error_brings_its_message_and_the_usage_until_then(client: HttpClient, upstream: Upstream) -> None:
    answer = await outcome(client, upstream.url, Script(fault="error", after=4, usage="every"))
    assert answer.detail == "the upstream reported an error: scripted error"
    assert answer.usage == Usage(3, 3)


async def test_a_cut_brings_the_usage_until_then(client: HttpClient, upstream: Upstream) -> None:
    answer = await outcome(client, upstream.url, Script(fault="cut", after=4, usage="every"))
    assert (answer.reason, answer.usage) == ("upstream_cut", Usage(3, 3))


@pytest.mark.parametrize("split", [None, 9], ids=["whole", "split"])
@pytest.mark.parametrize("done", [True, False], ids=["[DONE]", "usage"])
async def test_an_upstream_that_never_closes_is_not_waited_for(
    client: HttpClient, upstream: Upstream, done: bool, split: int | None
) -> None:
    script = Script(end="open", done=done, split=split)
    answer = await asyncio.wait_for(outcome(client, upstream.url, script, after_finish_s=3600), 20)
    assert (answer.reason, answer.usage) == ("stop", Usage(3, 8))
    await eventually(lambda: not upstream.connections)


async def test_a_finish_without_usage_or_done_waits_a_moment_only(client: HttpClient, upstream: Upstream) -> None:
    script = Script(end="open", done=False, usage="none", keep_alive_s=0.02)
    answer = await outcome(client, upstream.url, script, after_finish_s=0.2)
    assert (answer.reason, answer.text) == ("stop", script.text)


BODIES = {
    "html": (Script(content_type="text/html", body="<html>hello</html>"), "bad_upstream_data", ""),
    "text": (Script(content_type="text/plain", body="hello"), "bad_upstream_data", ""),
    "an error in json": (
        Script(content_type="application/json", body='{"error":{"message":"no room"}}'),
        "bad_upstream_data",
        "",
    ),
    "a completion in json": (
        Script(
            content_type="application/json; charset=utf-8",
            body='{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}',
        ),
        "stop",
        "Hi",
    ),
    "a stream without its content type": (
        Script(content_type="text/plain", body='data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}'),
        "stop",
        "Hi",
    ),
    "nothing": (Script(body=""), "upstream_cut", ""),
}


@pytest.mark.parametrize(("script", "reason", "text"), BODIES.values(), ids=BODIES)
async def test_a_body_under_200_is_what_it_is(
    client: HttpClient, upstream: Upstream, script: Script, reason: str, text: str
) -> None:
    answer = await outcome(client, upstream.url, script)
    assert (answer.reason, answer.text) == (reason, text), answer.detail


# -- before the answer


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529, 0])
async def test_a_passing_refusal_is_tried_again(client: HttpClient, upstream: Upstream, status: int) -> None:
    answer = await outcome(client, upstream.url, Script(refusals=[status, status]))
    assert answer.reason == "stop"
    assert answer.waits == [0.25, 0.5]
    assert len(upstream.exchanges) == 3


async def test_retry_after_is_honoured(client: HttpClient, upstream: Upstream) -> None:
    answer = await outcome(client, upstream.url, Script(refusals=[429], retry_after="7"))
    assert (answer.reason, answer.waits) == ("stop", [7.25])


async def test_an_upstream_that_asks_for_an_hour_is_told_of_instead(client: HttpClient, upstream: Upstream) -> None:
    answer = await outcome(client, upstream.url, Script(refusals=[429], retry_after="3600"))
    assert (answer.reason, answer.waits) == ("upstream_error", [])
    assert "429" in answer.detail and "3600 s" in answer.detail
    assert (answer.status, answer.retry_after_s) == (429, 3600.0)


async def test_tries_are_bounded(client: HttpClient, upstream: Upstream) -> None:
    answer = await outcome(client, upstream.url, Script(status=503), retries=RetryPolicy(tries_max=3))
    assert answer.reason == "upstream_error"
    assert answer.detail == "the upstream answered 503: scripted 503 (tried 3 times)"
    assert len(upstream.exchanges) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 418, 307])
async def test_other_refusals_are_final(client: HttpClient, upstream: Upstream, status: int) -> None:
    answer = await outcome(client, upstream.url, Script(status=status))
    assert (answer.reason, answer.detail) == ("upstream_error", f"the upstream answered {status}: scripted {status}")
    assert (answer.status, answer.retry_after_s) == (status, None)
    assert len(upstream.exchanges) == 1


async def test_an_account_without_money_is_not_asked_again(client: HttpClient, upstream: Upstream) -> None:
    script = Script(status=429, body='{"error":{"message":"no money","code":"insufficient_quota"}}')
    answer = await outcome(client, upstream.url, script)
    assert (answer.detail, len(upstream.exchanges)) == ("the upstream answered 429: no money", 1)


async def test_a_refusal_never_echoes_the_key(client: HttpClient, upstream: Upstream) -> None:
    script = Script(status=401, body=f'{{"error":{{"message":"{KEY} and team-secret are wrong"}}}}')
    answer = await outcome(client, upstream.url, script, headers={"x-secret": "team-secret"})
    assert answer.detail == "the upstream answered 401: *** and *** are wrong"


@pytest.mark.parametrize("fault", ["close_before_headers", "reset_before_headers"])
async def test_a_connection_that_breaks_before_the_answer_is_unreachable(
    client: HttpClient, upstream: Upstream, fault: Any
) -> None:
    answer = await outcome(client, upstream.url, Script(fault=fault))
    assert answer.reason == "upstream_unreachable"
    assert len(upstream.exchanges) == 4


async def test_a_closed_port_is_unreachable(client: HttpClient) -> None:
    port = free_port()
    answer = await outcome(client, f"http://127.0.0.1:{port}/v1")
    assert answer.reason == "upstream_unreachable"
    assert answer.detail == "the upstream cannot be reached: connection refused (tried 4 times)"
    assert len(answer.waits) == 3


# -- leaving


async def test_the_first_token_waits_for_nobody(client: HttpClient, upstream: Upstream) -> None:
    generator = provider_for(client, upstream.url).generate(
        RunRequest(input="hi", extra=Script(fault="stall", after=1).extra())
    )
    assert await asyncio.wait_for(anext(generator), 20) == [Text("0 ")]
    await generator.aclose()


@pytest.mark.parametrize(
    "script",
    [
        Script(fault="stall", after=3),
        Script(fault="stall", after=3, keep_alive_s=0.01),
        Script(tokens=10_000, interval_s=0.005),
        Script(tokens=50_000),
    ],
    ids=["stalled", "keeping alive", "streaming", "flooding"],
)
async def test_closing_the_generator_closes_the_upstream(
    client: HttpClient, upstream: Upstream, script: Script
) -> None:
    generator = provider_for(client, upstream.url).generate(RunRequest(input="hi", extra=script.extra()))
    await anext(generator)
    await generator.aclose()
    await closed_by_us(upstream)


@pytest.mark.parametrize(
    "script",
    [
        Script(fault="silence"),
        Script(start_s=3600, keep_alive_s=0.01),
        Script(fault="stall", after=3),
        Script(tokens=10_000, interval_s=0.005),
    ],
    ids=["before headers", "before the first token", "stalled", "streaming"],
)
async def test_cancelling_the_task_closes_the_upstream(client: HttpClient, upstream: Upstream, script: Script) -> None:
    task = asyncio.create_task(outcome(client, upstream.url, script))
    await eventually(lambda: upstream.exchanges and upstream.exchanges[0].tokens_sent >= min(script.after, 3))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await closed_by_us(upstream)


async def test_keep_alives_are_not_yielded(client: HttpClient, upstream: Upstream) -> None:
    script = Script(start_s=0.2, keep_alive_s=0.01, tokens=1)
    answer = await outcome(client, upstream.url, script)
    assert answer.lists[0] == [Text("0 ")]


async def test_a_generator_that_never_started_asks_nobody(client: HttpClient, upstream: Upstream) -> None:
    await provider_for(client, upstream.url).generate(RunRequest(input="hi")).aclose()
    assert not upstream.connections_made


@pytest.mark.parametrize("split", [None, 9], ids=["whole", "split"])
async def test_a_connection_whose_answer_is_over_serves_again(
    client: HttpClient, upstream: Upstream, split: int | None
) -> None:
    provider = provider_for(client, upstream.url, linger_s=20)
    request = RunRequest(input="hi", extra=Script(split=split).extra())
    for _ in range(3):
        async with aclosing(provider.generate(request)) as answer:
            async for steps in answer:
                if isinstance(steps[-1], Finish) and steps[-1].final:
                    break  # as the executor does
    assert upstream.connections_made == 1


async def closed_by_us(upstream: Upstream) -> None:
    exchange = upstream.exchanges[0]
    await eventually(lambda: exchange.closed_at is not None, what="the upstream sees the connection close")
    assert exchange.answered_at is None
    assert not upstream.connections


# -- models


async def test_the_models_that_a_server_lists(client: HttpClient) -> None:
    async with Upstream({"b": Script(), "a": Script()}) as upstream:
        assert await list_models(client, upstream.url, KEY) == ["b", "a"]
        assert upstream.exchanges[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_server_without_models_says_so(client: HttpClient, upstream: Upstream) -> None:
    with pytest.raises(ProviderError) as caught:
        await list_models(client, upstream.url + "/v2")
    assert (caught.value.reason, "404" in caught.value.detail) == ("upstream_error", True)


async def test_a_list_of_another_shape_is_bad_data(client: HttpClient, upstream: Upstream) -> None:
    with pytest.raises(ProviderError) as caught:
        await list_models(client, upstream.url.replace("/v1", "/shapes"))
    assert caught.value.reason == "bad_upstream_data"


async def test_models_of_a_closed_port_are_unreachable(client: HttpClient) -> None:
    with pytest.raises(ProviderError) as caught:
        await list_models(client, f"http://127.0.0.1:{free_port()}/v1")
    assert caught.value.reason == "upstream_unreachable"
