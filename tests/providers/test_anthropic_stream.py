"""What Anthropic's events mean, and what is missing from them."""

import json
from typing import Any

import pytest

from headwater.core.events import Reasoning, Text, ToolCall, Usage
from headwater.core.sse import FRAME_BYTES_MAX
from headwater.providers.anthropic_stream import MessageStream
from headwater.providers.upstream_errors import Scrubber
from tests.providers.answers import Answer, ended, play


def a_stream(*, promised: bool = True) -> MessageStream:
    return MessageStream(Scrubber(["hunter2-hunter2"]), promised=promised)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def start(**usage: int) -> bytes:
    counts = {"input_tokens": 9, "output_tokens": 1} | usage
    return event("message_start", message={"id": "msg_1", "role": "assistant", "content": [], "usage": counts})


def block(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def closed(index: int) -> bytes:
    return event("content_block_stop", index=index)


def stopped(reason: str | None, **usage: int) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 2} | usage)


STOP = event("message_stop")
HI = block(0, "text", text="") + delta(0, "text_delta", text="Hi")
END = closed(0) + stopped("end_turn") + STOP
COUNTED = Usage(9, 2)
STARTED = Usage(9, 1, estimated=True)


def failing(kind: str) -> bytes:
    return event("error", error={"type": kind, "message": "no room"})


TRANSCRIPTS = {
    "text": (start() + HI + END, Answer([Text("Hi")], "stop", COUNTED)),
    "a text that begins with its block": (
        start() + block(0, "text", text="H") + delta(0, "text_delta", text="i") + END,
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "CR LF": ((start() + HI + END).replace(b"\n", b"\r\n"), Answer([Text("Hi")], "stop", COUNTED)),
    "without event names": (
        b"\n\n".join(
            line for line in (start() + HI + END).replace(b"\n\n", b"\n").split(b"\n") if line.startswith(b"data")
        ),
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "thinking": (
        start()
        + block(0, "thinking", thinking="", signature="")
        + delta(0, "thinking_delta", thinking="Hm")
        + delta(0, "signature_delta", signature="c2ln")
        + closed(0)
        + block(1, "redacted_thinking", data="c2VjcmV0")
        + closed(1)
        + HI
        + END,
        Answer([Reasoning("Hm"), Text("Hi")], "stop", COUNTED),
    ),
    "a tool call": (
        start()
        + block(3, "tool_use", id="toolu_a", name="f", input={})
        + delta(3, "input_json_delta", partial_json="")
        + delta(3, "input_json_delta", partial_json='{"a":')
        + delta(3, "input_json_delta", partial_json="1}")
        + closed(3)
        + stopped("tool_use")
        + STOP,
        Answer([ToolCall(0, "toolu_a", "f", '{"a":1}')], "tool_calls", COUNTED),
    ),
    "a tool call without arguments": (
        start() + block(0, "tool_use", id="toolu_a", name="f", input={}) + closed(0) + stopped("tool_use") + STOP,
        Answer([ToolCall(0, "toolu_a", "f", "{}")], "tool_calls", COUNTED),
    ),
    "a tool call that came whole": (
        start() + block(0, "tool_use", id="a", name="f", input={"a": "é"}) + closed(0) + stopped("tool_use") + STOP,
        Answer([ToolCall(0, "a", "f", '{"a": "é"}')], "tool_calls", COUNTED),
    ),
    "half an emoji in the arguments of a tool call that came whole": (
        start()
        + b'data: {"type":"content_block_start","content_block":{"type":"tool_use","id":"a","name":"f",'
        + b'"input":{"a":"\\ud83d","b":"\\ud83d\\ude00"}}}\n\n'
        + closed(0)
        + stopped("tool_use")
        + STOP,
        Answer([ToolCall(0, "a", "f", '{"a": "\N{REPLACEMENT CHARACTER}", "b": "😀"}')], "tool_calls", COUNTED),
    ),
    "a tool that the server runs itself": (
        start()
        + block(0, "server_tool_use", id="srvtoolu_a", name="web_search", input={})
        + delta(0, "input_json_delta", partial_json='{"query":"x"}')
        + closed(0)
        + block(1, "web_search_tool_result", tool_use_id="srvtoolu_a", content=[])
        + closed(1)
        + HI
        + END,
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "what is read from and written to a cache is input": (
        start(cache_read_input_tokens=20, cache_creation_input_tokens=300) + HI + END,
        Answer([Text("Hi")], "stop", Usage(329, 2, cached_tokens=20)),
    ),
    "a count that grows": (
        start() + HI + closed(0) + stopped("end_turn", input_tokens=50) + STOP,
        Answer([Text("Hi")], "stop", Usage(50, 2)),
    ),
    "events that nobody knows": (
        event("new_thing", a=1) + start() + HI + delta(0, "new_delta", b=2) + block(1, "new_block") + END,
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "no message_stop": (start() + HI + closed(0) + stopped("end_turn"), Answer([Text("Hi")], "upstream_cut", COUNTED)),
    "a cut": (start() + HI, Answer([Text("Hi")], "upstream_cut", STARTED)),
    "nothing": (b"", Answer([], "upstream_cut")),
    "no stop_reason": (start() + HI + STOP, Answer([Text("Hi")], "no_finish_reason", STARTED)),
    "an error in mid-stream": (
        start() + HI + failing("overloaded_error"),
        Answer([Text("Hi")], "upstream_error", STARTED),
    ),
    "an error after the last delta": (
        start() + HI + stopped("end_turn") + failing("api_error") + STOP,
        Answer([Text("Hi")], "upstream_error", COUNTED),
    ),
    "an error without a type": (b'data: {"error":{"message":"no room"}}\n\n', Answer([], "upstream_error")),
    "no JSON": (
        start() + b"event: content_block_delta\ndata: {oops\n\n" + END,
        Answer([], "bad_upstream_data", STARTED),
    ),
    "JSON of another shape": (event("message_start", message=7), Answer([], "bad_upstream_data")),
    "what follows message_stop is not read": (
        start() + HI + END + failing("api_error"),
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "no blank line at the end": ((start() + HI + END).rstrip(b"\n"), Answer([Text("Hi")], "stop", COUNTED)),
    "half an emoji": (
        start()
        + block(0, "text", text="")
        + b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a\\ud83d"}}\n\n'
        + b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"\\ude00"}}\n\n'
        + END,
        Answer([Text("a😀")], "stop", COUNTED),
    ),
}


@pytest.mark.parametrize(("data", "expected"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_events_mean_the_same_however_they_are_cut(data: bytes, expected: Answer) -> None:
    whole = play(a_stream(), data)
    assert (whole.deltas, whole.reason, whole.usage) == (expected.deltas, expected.reason, expected.usage)
    assert play(a_stream(), *(data[at : at + 1] for at in range(len(data)))) == whole
    for at in range(0, len(data), max(7, len(data) // 50)):
        assert play(a_stream(), data[:at], data[at:]) == whole


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "no_finish_reason"),
        ("tired", "no_finish_reason"),
    ],
)
def test_each_stop_reason_is_ours_or_none(word: str, reason: str) -> None:
    assert play(a_stream(), start() + HI + closed(0) + stopped(word) + STOP).reason == reason


def test_the_start_s_count_is_reported_at_once() -> None:
    assert a_stream().feed(start()) == [STARTED]


PASSING = ["overloaded_error", "rate_limit_error", "api_error", "timeout_error"]
BEGUN = {
    "text": HI,
    "a block of text without any yet": block(0, "text", text=""),
    "thinking that is not shown": block(0, "thinking", thinking="") + delta(0, "signature_delta", signature="c2ln"),
    "a tool that the server runs itself": block(0, "server_tool_use", id="a", name="web_search", input={}) + closed(0),
    "a delta without its block": delta(0, "signature_delta", signature="c2ln"),
}


@pytest.mark.parametrize("kind", PASSING)
def test_an_error_that_will_pass_is_told_apart_before_the_answer_begins(kind: str) -> None:
    stream, other = a_stream(), a_stream()
    stream.feed(start() + event("ping") + failing(kind))
    other.feed(start() + failing("invalid_request_error"))
    assert (stream.passing, other.passing) == (True, False)


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
def test_what_the_model_began_is_not_asked_for_again(begun: bytes) -> None:
    for kind in PASSING:
        stream = a_stream()
        stream.feed(start() + begun + failing(kind))
        assert not stream.passing


def test_an_error_keeps_its_message_but_no_secret() -> None:
    answer = play(a_stream(), event("error", error={"type": "api_error", "message": "hunter2-hunter2 is wrong"}))
    assert answer.detail == "the upstream reported an error: *** is wrong"


def test_an_event_without_end_is_refused() -> None:
    stream = a_stream()
    steps = stream.feed(start() + HI + b"data: ")
    steps += stream.feed(b"x" * (FRAME_BYTES_MAX + 1))
    answer = ended(stream, steps)
    assert (answer.deltas, answer.reason) == ([Text("Hi")], "bad_upstream_data")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"type":"error","error":{"type":"api_error","message":"no room"}}', "answered 200 with an error: no room"),
        (b'{"type":"message","content":[],"stop_reason":"end_turn"}', "where a stream was asked for"),
        (b"{", "is not JSON"),
        (b"[]", "has a wrong shape"),
    ],
)
def test_a_body_that_is_json_is_no_stream(body: bytes, words: str) -> None:
    stream = a_stream(promised=False)
    answer = ended(stream, stream.feed_whole(body))
    assert answer.reason == "bad_upstream_data"
    assert words in answer.detail


def test_a_page_is_no_stream() -> None:
    assert play(a_stream(promised=False), b"<html>").reason == "bad_upstream_data"
