"""What goes wrong at the model's server reaches a chat as what its client understands, and never as an answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.api.calls import messages
from tests.streaming.stage import SCRIPTED, Stage, staged
from tests.support.server import free_port
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

AWAY = '[models.away]\nprovider = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\nmodel = "any"\n'
CALL = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}]}
MORE = {"tool_calls": [{"index": 0, "function": {"arguments": '{"q"'}}]}
HTML = "<!doctype html><title>502 Bad Gateway</title>"


class Case(NamedTuple):
    """What the upstream does before its first token, and what the caller is told."""

    name: str
    script: Script | None  # None: the upstream is not there
    status: int
    code: str
    type: str = "server_error"
    retry_after: str | None = None


REQUEST = "invalid_request_error"
CASES = [
    Case("it refuses the request", Script(status=400), 400, "upstream_error", REQUEST),
    Case("it finds it too large", Script(status=413), 400, "upstream_error", REQUEST),
    Case("it finds it invalid", Script(status=422), 400, "upstream_error", REQUEST),
    Case("it does not know the model", Script(status=404), 404, "upstream_error", REQUEST),
    Case("our key is wrong", Script(status=401), 502, "upstream_error"),
    Case("our key may not", Script(status=403), 502, "upstream_error"),
    Case("too many", Script(status=429, retry_after="3600"), 429, "upstream_error", "rate_limit_error", "3600"),
    Case("part of a second", Script(status=429, retry_after="30.2"), 429, "upstream_error", "rate_limit_error", "31"),
    Case("out of service", Script(status=503, retry_after="60"), 503, "upstream_error", retry_after="60"),
    Case("overloaded", Script(status=529, retry_after="60"), 503, "upstream_error", retry_after="60"),
    Case("broken", Script(status=500), 502, "upstream_error"),
    Case("an error in the stream", Script(fault="error"), 502, "upstream_error"),
    Case("an error, then [DONE]", Script(fault="error_done"), 502, "upstream_error"),
    Case("[DONE] at once", Script(fault="done"), 502, "no_finish_reason"),
    Case("cut", Script(fault="cut"), 502, "upstream_cut"),
    Case("closed before it answers", Script(fault="close_before_headers"), 502, "upstream_unreachable"),
    Case("a page", Script(body=HTML, content_type="text/html"), 502, "bad_upstream_data"),
    Case("nobody there", None, 502, "upstream_unreachable"),
]
# After some tokens.
CUTS = [
    ("cut", Script(fault="cut", after=3), 502, "upstream_cut"),
    ("reset", Script(fault="reset", after=3), 502, "upstream_cut"),
    ("error", Script(fault="error", after=3), 502, "upstream_error"),
    ("error, then [DONE]", Script(fault="error_done", after=3), 502, "upstream_error"),
    ("[DONE] without a reason", Script(fault="done", after=3), 502, "no_finish_reason"),
    ("garbage", Script(fault="malformed", after=3), 502, "bad_upstream_data"),
    ("no end", Script(finish_reason=None, done=False), 502, "upstream_cut"),
    ("a call", Script(deltas=[CALL, MORE, MORE], fault="cut", after=2), 502, "upstream_cut"),
]


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One that gives retries their time."""
    directory = tmp_path_factory.mktemp("errors")
    (directory / "headwater.toml").write_text(AWAY.format(port=free_port()))
    async with staged(directory, first_token_timeout_s=20, idle_timeout_s=20) as stage:
        yield stage


@pytest.fixture(scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One that soon begins a stream whose first token has not come, and keeps it alive."""
    directory = tmp_path_factory.mktemp("hasty")
    waits = {"first_byte_s": 0.2, "first_token_timeout_s": 2.5, "idle_timeout_s": 1.0, "keep_alive_s": 0.1}
    async with staged(directory, models=None, measured=True, **waits) as stage:
        yield stage


def body_of(script: Script | None, *, stream: bool) -> dict[str, Any]:
    """A chat that brings its script to the upstream."""
    asked = {"model": SCRIPTED, **script.extra()} if script is not None else {"model": "away"}
    return {"messages": [{"role": "user", "content": "hello"}], "stream": stream, **asked}


async def ask(stage: Stage, script: Script | None, *, stream: bool) -> httpx2.Response:
    """The answer to a chat, to its end."""
    return await stage.client.post("/v1/chat/completions", json=body_of(script, stream=stream))


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error object that the response must be."""
    assert response.headers["content-type"] == "application/json", response.text
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


def broken_off(response: httpx2.Response) -> tuple[list[Any], dict[str, Any]]:
    """The deltas of a stream that ended in an error, and the error."""
    assert response.status_code == 200
    *chunks, last = messages(response.text)
    choices = [choice for chunk in chunks for choice in chunk.json["choices"]]
    assert {choice["finish_reason"] for choice in choices} <= {None}, "it never finished"
    assert "[DONE]" not in response.text
    error: dict[str, Any] = last.json["error"]
    return [choice["delta"] for choice in choices], error


async def test_before_the_first_token_it_is_a_status(stage: Stage) -> None:
    """Streamed or not; all at once, on one server."""

    async def check(case: Case, *, stream: bool) -> str | None:
        response = await ask(stage, case.script, stream=stream)
        if response.status_code != case.status:
            return f"{case.name}: {response.status_code} instead of {case.status}: {response.text}"
        error = error_of(response)
        run = await stage.run(response.headers["headwater-run"])
        said = (error["code"], error["type"], response.headers.get("retry-after"))
        if said != case[3:]:
            return f"{case.name}: {said} instead of {case[3:]}"
        if (run["status"] in ("completed", "queued", "in_progress")) or run["error"]["detail"] != error["message"]:
            return f"{case.name}: the run is {run}"
        return None

    checks = [check(case, stream=stream) for case in CASES for stream in (True, False)]
    wrong = [line for line in await asyncio.gather(*checks) if line is not None]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("name", "script", "status", "code"), CUTS, ids=[name for name, *_ in CUTS])
async def test_after_it_a_stream_ends_in_an_error_and_a_whole_answer_is_none(
    stage: Stage, name: str, script: Script, status: int, code: str
) -> None:
    streamed, whole = await asyncio.gather(ask(stage, script, stream=True), ask(stage, script, stream=False))
    deltas, error = broken_off(streamed)
    sent = script.all_deltas()[: script.after or None]
    assert "".join(delta.get("content", "") for delta in deltas) == "".join(one.get("content", "") for one in sent)
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    wanted = [call for one in sent for call in one.get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in calls) == "".join(
        call["function"]["arguments"] for call in wanted
    )
    assert (error["code"], error["type"]) == (code, "server_error")
    assert whole.status_code == status
    assert error_of(whole)["code"] == code
    assert "choices" not in whole.json(), "half an answer is none"


async def test_an_answer_without_a_word_is_an_answer(stage: Stage) -> None:
    """Its protocol said that it is finished."""
    silent = Script(tokens=0)
    streamed, whole = await asyncio.gather(ask(stage, silent, stream=True), ask(stage, silent, stream=False))
    finish, done = messages(streamed.text)
    assert finish.json["choices"] == [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}]
    assert done.data == "[DONE]"
    (choice,) = whole.json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "stop")


async def test_calls_come_in_fragments_or_whole(stage: Stage) -> None:
    last = {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}
    script = Script(deltas=[{"reasoning_content": "hm"}, CALL, MORE, last], finish_reason="tool_calls")
    streamed, whole = await asyncio.gather(ask(stage, script, stream=True), ask(stage, script, stream=False))
    *chunks, finish, done = messages(streamed.text)
    deltas = [chunk.json["choices"][0]["delta"] for chunk in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert deltas[0] == {"role": "assistant", "reasoning_content": "hm"}
    assert [call.get("id") for call in calls] == ["call_1"] + [None] * (len(calls) - 1), "SDKs join what is repeated"
    assert "".join(call["function"]["arguments"] for call in calls) == '{"q":1}'
    assert (finish.json["choices"][0]["finish_reason"], done.data) == ("tool_calls", "[DONE]")
    (choice,) = whole.json()["choices"]
    function = {"name": "look", "arguments": '{"q":1}'}
    assert choice["message"]["tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]
    assert choice["message"]["reasoning_content"] == "hm"
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")


# -- a first token that takes its time


async def test_a_stream_begins_before_a_first_token_that_is_late(hasty: Stage) -> None:
    script = Script(start_s=1.8)
    body = body_of(script, stream=True)
    async with hasty.client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert (response.status_code, hasty.upstream.exchanges[-1].tokens_sent) == (200, 0)
        told = (await response.aread()).decode()
    assert told.startswith(":\n"), "it was kept alive"
    assert ":\n\n" not in told, "an empty line would end an event"
    *chunks, done = messages(told)
    content = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk.json["choices"]]
    assert ("".join(content), done.data) == (script.text, "[DONE]")


async def test_where_none_comes_the_stream_ends_in_an_error(hasty: Stage) -> None:
    scripts = (Script(fault="silence"), Script(start_s=30))
    asked = [ask(hasty, script, stream=stream) for script in scripts for stream in (True, False)]
    for number, response in enumerate(await asyncio.gather(*asked)):
        if number % 2:
            assert (response.status_code, error_of(response)["code"]) == (504, "first_token_timeout")
            continue
        deltas, error = broken_off(response)
        assert (deltas, error["code"], error["type"]) == ([], "first_token_timeout", "server_error")
        assert response.text.startswith(":\n"), "it was kept alive"


async def test_a_stall_ends_in_an_error(hasty: Stage) -> None:
    script = Script(fault="stall", after=3)
    streamed, whole = await asyncio.gather(ask(hasty, script, stream=True), ask(hasty, script, stream=False))
    deltas, error = broken_off(streamed)
    assert "".join(delta.get("content", "") for delta in deltas) == Script(tokens=3).text
    assert error["code"] == "idle_timeout"
    assert (whole.status_code, error_of(whole)["code"]) == (504, "idle_timeout")


# -- a cancel by somebody else

LONG = Script(tokens=10_000, interval_s=0.02)


async def test_a_cancelled_stream_says_so(stage: Stage) -> None:
    body = body_of(LONG, stream=True)
    async with stage.client.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith("id: ")
        cancelled = await stage.cancel(response.headers["headwater-run"])
        rest = [line async for line in lines]
    assert cancelled["status"] == "cancelled"
    assert rest[-2].startswith('data: {"error":{') and '"code":"cancelled"' in rest[-2]
    assert not any("[DONE]" in line or '"finish_reason":"' in line for line in rest)


async def test_a_cancelled_answer_is_none(stage: Stage) -> None:
    asking = asyncio.create_task(ask(stage, LONG, stream=False))

    async def running() -> Any:
        rows = (await stage.client.get("/v1/runs", params={"status": "in_progress"})).json()["data"]
        return rows[0]["id"] if rows else None

    run_id = await eventually(running, what="it runs")
    await stage.cancel(run_id)
    response = await asking
    assert (response.status_code, response.headers["x-should-retry"]) == (409, "false")
    assert response.headers["headwater-run"] == run_id
    assert error_of(response)["code"] == "cancelled"
