"""OpenAI's responses, event by event: items that open and close, and an end that passes nothing off as complete."""

from typing import Any

import pytest
from msgspec.structs import replace

from headwater.core.content import Content
from headwater.core.events import Attempt, End, Event, Failure, Reasoning, Refusal, Text, ToolCall, Usage
from headwater.core.position import START, Position
from headwater.core.run import ResponseOptions, RunRequest
from headwater.formats.base import After
from headwater.formats.responses import Responses
from headwater.formats.responses.items import attempt_of, items_of, output_of
from tests.core.logs import log_of
from tests.formats.responses import HEAD, encoder_of, events, messages

DONE = End("completed", "stop", usage=Usage(3, 4, 1, 2))


def told(*given: Event) -> list[dict[str, Any]]:
    """The events of a log of these, one at a time."""
    log = log_of([(7, [event]) for event in given])
    encoder = encoder_of()
    return [event for entry in log for event in events(encoder.encode([entry]).data)]


def types(*given: Event) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told(*given)]


def test_a_first_delta_opens_its_item_byte_for_byte() -> None:
    (entry,) = log_of([(7, [Text('100% "…"\n')])])
    assert encoder_of().encode([entry]).data.decode() == (
        "event: response.output_item.added\n"
        'data: {"type":"response.output_item.added","sequence_number":19,"output_index":0,"item":{"id":"msg_1_0",'
        '"type":"message","status":"in_progress","role":"assistant","content":[]}}\n\n'
        "event: response.content_part.added\n"
        'data: {"type":"response.content_part.added","sequence_number":20,"item_id":"msg_1_0","output_index":0,'
        '"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}\n\n'
        "id: 1-7\n"
        "event: response.output_text.delta\n"
        'data: {"type":"response.output_text.delta","sequence_number":21,"delta":"100% \\"…\\"\\n","item_id":"msg_1_0",'
        '"output_index":0,"content_index":0,"logprobs":[]}\n\n'
    )


def test_a_later_delta_is_alone() -> None:
    first, second = log_of([(7, [Text("a")]), (7, [Text("b"), Text("c")])])
    encoder = encoder_of([first])
    assert encoder.encode([second]).data == (
        b"id: 3-7\nevent: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","sequence_number":53,"delta":"bc","item_id":"msg_1_0",'
        b'"output_index":0,"content_index":0,"logprobs":[]}\n\n'
    )


def test_a_connection_opens_with_nothing_that_a_client_could_stumble_over() -> None:
    """OpenAI's own take a `retry`, and a comment behind an `id`, for an event without data."""
    assert encoder_of().opening(1372) == b""
    assert Responses.keep_alive == b":\n"


@pytest.mark.parametrize(
    ("event", "prefix", "kind", "opened", "delta", "done"),
    [
        (Text("a"), "msg", "message", "output_text", "output_text.delta", "output_text.done"),
        (Refusal("a"), "msg", "message", "refusal", "refusal.delta", "refusal.done"),
        (Reasoning("a"), "rs", "reasoning", "reasoning_text", "reasoning_text.delta", "reasoning_text.done"),
    ],
)
def test_each_kind_of_text_has_its_events(
    event: Event, prefix: str, kind: str, opened: str, delta: str, done: str
) -> None:
    added, part, first, text, part_done, item_done, final = told(event, DONE)
    assert added["item"]["id"] == f"{prefix}_1_0" and added["item"]["type"] == kind
    assert part["part"]["type"] == part_done["part"]["type"] == opened
    assert (first["type"], text["type"]) == (f"response.{delta}", f"response.{done}")
    assert first["delta"] == (text.get("text") or text.get("refusal")) == "a"
    assert item_done["item"] == final["response"]["output"][0] and item_done["item"]["status"] == "completed"


def test_a_tool_call_opens_with_its_name_and_closes_with_its_arguments() -> None:
    call = (ToolCall(0, "call_9", "look", '{"q"'), ToolCall(0, arguments=":1}"))
    added, first, second, arguments, done, final = told(*call, DONE)
    item = {"id": "fc_1_0", "type": "function_call", "call_id": "call_9", "name": "look"}
    assert added["item"] == item | {"arguments": "", "status": "in_progress"}
    assert [first["delta"], second["delta"]] == ['{"q"', ":1}"]
    assert (arguments["name"], arguments["arguments"]) == ("look", '{"q":1}')
    assert done["item"] == final["response"]["output"][0] == item | {"arguments": '{"q":1}', "status": "completed"}


def test_a_call_without_an_id_gets_one_that_stays() -> None:
    output = told(ToolCall(3, None, "look", "{}"), ToolCall(3, "late"), DONE)[-1]["response"]["output"]
    assert output[0]["call_id"] == "call_1_0"


def test_calls_that_were_given_the_same_id_are_told_apart() -> None:
    given = (ToolCall(0, "call_0", "f", "{}"), ToolCall(1, "call_0", "g", "{}"))
    output = told(*given, DONE)[-1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["call_0", "call_1_1"]
    content = Content()
    for event in given:
        content.add(event)
    assert output_of(items_of("run_1", content.parts(), 1), ended=True, whole=True) == output


def test_an_item_ends_where_another_begins_and_calls_go_on() -> None:
    assert types(Reasoning("h"), Text("a"), ToolCall(0, "c", "f", "{"), Text("b"), ToolCall(0, arguments="}")) == [
        "output_item.added", "content_part.added", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta",
        "output_item.added", "content_part.added", "output_text.delta",
        "function_call_arguments.delta",
    ]  # fmt: skip


def test_a_fragment_of_an_older_call_ends_no_text() -> None:
    told_ = told(ToolCall(0, "c", "f", "{"), Text("a"), ToolCall(0, arguments="}"), Text("b"), DONE)
    output = told_[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["function_call", "message"]
    assert output[1]["content"][0]["text"] == "ab"


@pytest.mark.parametrize("status", ["failed", "cancelled", "incomplete"])
def test_a_call_that_was_cut_off_is_never_passed_off_as_complete(status: Any) -> None:
    told_ = told(ToolCall(0, "c", "f", '{"q'), End(status))
    assert [event["type"].rpartition(".")[2] for event in told_[:-1]] == ["added", "delta"]
    assert told_[-1]["response"]["output"][0]["status"] == "incomplete"


def test_text_that_the_end_came_upon_is_incomplete_and_what_was_before_it_is_not() -> None:
    end = End("incomplete", reason="length", finish_reason="length")
    output = told(Reasoning("h"), Text("a"), end)[-1]["response"]["output"]
    assert [item["status"] for item in output] == ["completed", "incomplete"]


@pytest.mark.parametrize(
    ("end", "type", "status", "details", "error"),
    [
        (DONE, "completed", "completed", None, None),
        (End("incomplete", "length", "length"), "incomplete", "incomplete", "max_output_tokens", None),
        (
            End("incomplete", "content_filter", "content_filter"),
            "incomplete",
            "incomplete",
            "content_filter",
            None,
        ),
        (
            End("incomplete", None, "upstream_cut", Failure("upstream_cut", "it was cut")),
            "failed",
            "failed",
            None,
            {"code": "server_error", "message": "it was cut", "type": "upstream_cut"},
        ),
        (
            End("failed", None, "upstream_error", Failure("upstream_error", "slow down", 429)),
            "failed",
            "failed",
            None,
            {"code": "rate_limit_exceeded", "message": "slow down", "type": "upstream_error"},
        ),
        (End("cancelled"), "incomplete", "cancelled", None, None),
    ],
)
def test_each_end_has_its_event(end: End, type: str, status: str, details: str | None, error: Any) -> None:
    (final,) = told(end)
    response = final["response"]
    assert (final["type"], response["status"]) == (f"response.{type}", status)
    assert response["incomplete_details"] == (details and {"reason": details}) and response["error"] == error
    assert "error" not in final, "a client would take it for a broken stream"


def test_the_usage_is_as_it_was_counted_or_marked_as_a_guess() -> None:
    assert told(DONE)[0]["response"]["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 7,
    }
    assert told(End("cancelled", usage=Usage(3, 4, estimated=True)))[0]["response"]["usage"]["estimated"] is True


def test_the_end_closes_the_connection_and_bears_the_last_position() -> None:
    log = log_of([(7, [Text("a"), DONE])])
    frame = encoder_of().encode(log)
    assert frame.after is After.CLOSE
    assert [message.id for message in messages(frame.data)][-4:] == [None, None, None, "2-7"]


def test_a_fragment_without_arguments_is_told_as_an_empty_one() -> None:
    delta = "function_call_arguments.delta"
    assert types(ToolCall(0, "c", "f"), ToolCall(0, "late")) == ["output_item.added", delta, delta]


def test_an_attempt_that_goes_on_is_not_told_and_one_that_begins_anew_is_the_end() -> None:
    assert types(Text("a"), Attempt(2, "takeover", "continued"), Text("b"))[-1] == "output_text.delta"
    *_, last = told(Text("a"), Attempt(2, "failover", "restarted"))
    assert (last["type"], last["code"], last["param"], last["sequence_number"]) == ("error", "restarted", None, 32)
    assert last["error"]["message"] == last["message"], "some clients look here, and would just stop otherwise"


def test_an_attempt_that_takes_nothing_back_is_not_told() -> None:
    assert types(Attempt(2, "failover", "restarted"), Text("a"))[-1] == "output_text.delta"
    assert told(Attempt(2, "failover", "restarted"), Text("a"))[0]["item"]["id"] == "msg_1_0_2"


def test_what_does_not_join_is_the_end_of_the_stream() -> None:
    frame = encoder_of().snapshot(Position(3, 7), [{"text": "a"}], replaces=True)
    assert frame.after is After.CLOSE and events(frame.data)[0]["code"] == "restarted"


def test_whoever_begins_where_nothing_was_shown_is_told_of_no_restart() -> None:
    log = log_of([(7, [Text("lost"), Attempt(2, "failover", "restarted"), Text("new")])])
    encoder = encoder_of()
    frame = encoder.encode(log)
    assert frame.after is After.GO_ON and events(frame.data)[-1]["delta"] == "new"
    assert encoder.begin == Position(2, 7) != START


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_connection_begins_with_the_response_and_its_status(status: Any) -> None:
    created, now = events(encoder_of().run(status, first=True))
    assert (created["type"], now["type"]) == ("response.created", f"response.{status}")
    assert created["response"] == now["response"] and now["response"]["status"] == status
    assert (now["response"]["output"], now["response"]["usage"], now["response"]["error"]) == ([], None, None)
    assert [event["type"] for event in events(encoder_of().run("in_progress", first=False))] == ["response.in_progress"]


def test_a_response_says_what_was_asked() -> None:
    request = RunRequest(
        input="hi",
        instructions="be brief",
        temperature=0.5,
        max_output_tokens=9,
        metadata={"a": "b"},
        tools=[{"type": "function", "function": {"name": "f"}}],
        extra={"parallel_tool_calls": False, "user": "u", "verbosity": "low", "reasoning_effort": "high"},
        response=ResponseOptions(store=False, background=True, previous="resp_0", reasoning={"summary": "auto"}),
    )
    (created, _) = events(Responses(replace(HEAD, request=request)).run("queued", first=True))
    response = created["response"]
    wanted = {
        "id": "resp_1",
        "created_at": 1767225600,
        "instructions": "be brief",
        "temperature": 0.5,
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "user": "u",
        "store": False,
        "background": True,
        "previous_response_id": "resp_0",
        "tool_choice": "auto",
        "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}],
    }
    assert {name: response[name] for name in wanted} == wanted


def test_a_response_that_is_fetched_has_the_items_that_were_streamed() -> None:
    given = (
        Text("lost"), Attempt(2, "failover", "restarted"),
        Reasoning("h"), Text("a"), ToolCall(0, "c", "f", "{"), Text("b"), ToolCall(1, None, "g", "{}"),
        ToolCall(0, arguments="}"),
    )  # fmt: skip
    for end in (DONE, End("cancelled")):
        content = Content()
        for event in given:
            content.add(event)
        items = items_of("run_1", content.parts(), attempt_of(content.attempts))
        log = log_of([(7, [*given, end])])
        streamed = events(encoder_of().encode(log).data)[-1]["response"]["output"]
        assert output_of(items, ended=True, whole=end is DONE) == streamed
