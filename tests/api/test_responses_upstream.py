"""Responses before the scripted upstream: what it is asked, and what callers get while it is slow or they leave."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.formats.responses import events
from tests.streaming.stage import SCRIPTED, Stage, staged
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

URL = "/v1/responses"
CALL: list[dict[str, Any]] = [
    {"content": "let me see"},
    {"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{"}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
]
CALLS = Script(deltas=CALL, finish_reason="tool_calls")


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("responses"), first_byte_s=0.2) as stage:
        yield stage


async def create(stage: Stage, script: Script, input: Any = "hello", **fields: Any) -> Any:
    answer = await stage.client.post(URL, json={"model": SCRIPTED, "input": input, **script.extra(), **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(stage: Stage) -> Any:
    """The newest body that the upstream was sent."""
    return stage.upstream.exchanges[-1].body


async def test_the_upstream_is_asked_as_chat_completions_are(stage: Stage) -> None:
    await create(
        stage,
        Script(),
        instructions="be brief",
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        text={"format": {"type": "json_object"}},
        reasoning={"effort": "low"},
        max_output_tokens=9,
        store=True,
        metadata={"a": "b"},
    )
    body = asked(stage)
    assert body["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert (body["response_format"], body["reasoning_effort"]) == ({"type": "json_object"}, "low")
    assert body["max_tokens"] == 9
    assert not {"input", "store", "metadata", "text", "reasoning", "response", "background"} & body.keys()


async def test_a_tool_is_called_and_answered_in_the_next_response(stage: Stage) -> None:
    first = await create(stage, CALLS, "what is it?", instructions="be brief")
    assert [item["type"] for item in first["output"]] == ["message", "function_call"]
    call = first["output"][1]
    assert (call["call_id"], call["name"], call["arguments"], call["status"]) == ("call_a", "f", "{}", "completed")
    output = {"type": "function_call_output", "call_id": "call_a", "output": "42"}
    await create(stage, Script(), [output], previous_response_id=first["id"])
    function = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert asked(stage)["messages"] == [
        {"role": "user", "content": "what is it?"},
        {"role": "assistant", "content": "let me see", "tool_calls": [function]},
        {"role": "tool", "content": "42", "tool_call_id": "call_a"},
    ]


async def test_the_items_of_an_answer_can_be_sent_back_instead(stage: Stage) -> None:
    first = await create(stage, CALLS)
    output = {"type": "function_call_output", "call_id": "call_a", "output": "42"}
    await create(stage, Script(), [{"role": "user", "content": "hello"}, *first["output"], output])
    assert [message["role"] for message in asked(stage)["messages"]] == ["user", "assistant", "tool"]


async def test_a_call_that_was_cut_off_is_not_gone_on_from(stage: Stage) -> None:
    cut = Script(deltas=CALL[:2], fault="cut", after=2)
    first = await create(stage, cut)
    assert (first["status"], first["output"][1]["status"]) == ("failed", "incomplete")
    await create(stage, Script(), "and?", previous_response_id=first["id"])
    assert asked(stage)["messages"][1] == {"role": "assistant", "content": "let me see"}


async def test_a_call_whose_id_came_late_is_answered_by_the_one_that_was_made(stage: Stage) -> None:
    late: list[dict[str, Any]] = [
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "id": "call_late", "function": {"arguments": "}"}}]},
    ]
    body = {"model": SCRIPTED, "input": "hello", "stream": True, **Script(deltas=late).extra()}
    streamed = events((await stage.client.post(URL, json=body)).content)[-1]["response"]
    made = streamed["output"][0]["call_id"]
    output = {"type": "function_call_output", "call_id": made, "output": "42"}
    await create(stage, Script(), [output], previous_response_id=streamed["id"])
    _, called, answered = asked(stage)["messages"]
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"] == made != "call_late"


async def test_a_slow_first_token_begins_the_stream_without_it(stage: Stage) -> None:
    body = {"model": SCRIPTED, "input": "hello", "stream": True, **Script(start_s=1.0, fault="error").extra()}
    told = events((await stage.client.post(URL, json=body)).content)
    assert [event["type"] for event in told] == ["response.created", "response.in_progress", "response.failed"]
    assert told[-1]["response"]["error"]["type"] == "upstream_error"


async def test_a_refusal_of_the_upstreams_is_a_status(stage: Stage) -> None:
    for fields in ({}, {"stream": True}):
        body = {"model": SCRIPTED, "input": "hello", **Script(status=400).extra(), **fields}
        answer = await stage.client.post(URL, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "upstream_error"), answer.text


@pytest.mark.parametrize(
    ("header", "status"), [(None, "completed"), ("continue", "completed"), ("cancel", "cancelled")]
)
async def test_a_response_goes_on_when_its_caller_leaves_unless_told(
    stage: Stage, header: str | None, status: str
) -> None:
    script = Script(tokens=40, interval_s=0.02)
    headers = {} if header is None else {"Headwater-On-Disconnect": header}
    body = {"model": SCRIPTED, "input": "hello", "stream": True, **script.extra()}
    async with stage.client.stream("POST", URL, json=body, headers=headers) as answer:
        await anext(answer.aiter_bytes())
        run = answer.headers["headwater-run"]

    async def over() -> Any:
        now = (await stage.client.get(f"{URL}/{run}")).json()
        return now["status"] not in ("queued", "in_progress") and now

    ended = await eventually(over, what="it is over")
    assert ended["status"] == status


async def test_a_reader_with_nothing_left_is_told_not_to_come_back(stage: Stage) -> None:
    response = await create(stage, Script())
    run = await stage.run(f"run_{response['id'].removeprefix('resp_')}")
    headers = {"Last-Event-ID": run["position"]}
    answer = await stage.client.get(f"{URL}/{response['id']}", params={"stream": "true"}, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
