"""Chat completions streams as servers send them, fed whole, byte by byte and cut anywhere."""

import json
from typing import Any

import pytest

from headwater.core.events import Reasoning, Refusal, Text, ToolCall, Usage
from headwater.providers.openai_stream import ChatStream
from headwater.providers.upstream_errors import Scrubber
from tests.providers.answers import Answer, ended, play

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def a_stream(*, promised: bool = True) -> ChatStream:
    return ChatStream(Scrubber(["hunter2-hunter2"]), promised=promised)


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish_reason}]
    return frame({"object": "chat.completion.chunk", "choices": choices} | more)


def frame(value: object) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def escaped(text: str) -> bytes:
    """A chunk with this content, written as it stands: the escapes are the caller's."""
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode()


def call(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: str | None = None
) -> bytes:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fragment = {"index": index, "id": id, "type": "function", "function": function}
    return chunk({"tool_calls": [{key: value for key, value in fragment.items() if value is not None}]})


DONE = b"data: [DONE]\n\n"
STOP = chunk(finish_reason="stop")
HI = chunk({"content": "Hi"})
END = STOP + frame({"choices": [], "usage": USAGE}) + DONE
COUNTED = Usage(input_tokens=9, output_tokens=2)

TRANSCRIPTS = {
    "openai": (
        chunk({"role": "assistant", "content": "", "refusal": None}, usage=None)
        + chunk({"content": "Hi"}, usage=None)
        + chunk({"content": " 👩‍👧\u2028漢字"}, usage=None)
        + chunk({}, "stop", usage=None)
        + frame(
            {
                "choices": [],
                "usage": USAGE
                | {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 1}},
            }
        )
        + DONE,
        Answer([Text("Hi 👩‍👧\u2028漢字")], "stop", Usage(9, 2, 1, 4)),
    ),
    "CR LF, as sse-starlette sends": (
        (HI + END).replace(b"\n\n", b"\r\n\r\n"),
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "deepseek": (
        b": keep-alive\n\n"
        + chunk({"content": None, "reasoning_content": "Hm"})
        + chunk({"content": "Hi", "reasoning_content": None})
        + chunk({"content": ""}, "stop", usage=USAGE)
        + DONE,
        Answer([Reasoning("Hm"), Text("Hi")], "stop", COUNTED),
    ),
    "vllm, with reasoning by both names and usage on every chunk": (
        chunk({"role": "assistant", "content": ""}, usage={"prompt_tokens": 9, "completion_tokens": 0})
        + chunk({"reasoning": "Hm", "reasoning_content": "Hm"}, usage={"prompt_tokens": 9, "completion_tokens": 1})
        + chunk({"content": "Hi"}, usage={"prompt_tokens": 9, "completion_tokens": 2})
        + chunk({}, "length", usage={"prompt_tokens": 9, "completion_tokens": 2})
        + frame({"choices": [], "usage": USAGE})
        + DONE,
        Answer([Reasoning("Hm"), Text("Hi")], "length", COUNTED),
    ),
    "openrouter": (
        b": OPENROUTER PROCESSING\n\n"
        + chunk({"role": "assistant", "content": "Hi", "reasoning_details": [{"a": 1}]}, native_finish_reason=None)
        + chunk({"content": ""}, "stop")
        + chunk({"role": "assistant", "content": ""}, usage=USAGE)
        + DONE,
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "azure, which begins with its filters": (
        frame({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}) + HI + END,
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "mistral, whose reasoning is content": (
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]})
        + chunk({"content": [{"type": "text", "text": "H"}, {"type": "reference", "reference_ids": [1]}]})
        + chunk({"content": "i"}, "stop", usage=USAGE)
        + DONE,
        Answer([Reasoning("Hm"), Text("Hi")], "stop", COUNTED),
    ),
    "text generation inference": (
        HI + chunk({"content": ""}, "eos_token"),
        Answer([Text("Hi")], "stop"),
    ),
    "a refusal": (
        chunk({"refusal": "I "}) + chunk({"refusal": "won't"}) + END,
        Answer([Refusal("I won't")], "stop", COUNTED),
    ),
    "a content filter": (HI + chunk({}, "content_filter"), Answer([Text("Hi")], "content_filter")),
    "only choice 0": (
        frame(
            {
                "choices": [
                    {"index": 1, "delta": {"content": "no"}, "finish_reason": "length"},
                    {"index": 0, "delta": {"content": "Hi"}},
                ]
            }
        )
        + END,
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "two tool calls": (
        chunk({"content": "Look: "})
        + call(0, "call_a", "weather", "")
        + call(0, arguments='{"a"')
        + call(0, arguments=":1}")
        + call(1, "call_b", "time", "{}")
        + chunk({}, "tool_calls")
        + DONE,
        Answer(
            [Text("Look: "), ToolCall(0, "call_a", "weather", '{"a":1}'), ToolCall(1, "call_b", "time", "{}")],
            "tool_calls",
        ),
    ),
    "tool calls all with the index 0": (
        call(0, "call_a", "weather", "{}") + call(0, "call_b", "time", "{}") + chunk({}, "tool_calls"),
        Answer([ToolCall(0, "call_a", "weather", "{}"), ToolCall(1, "call_b", "time", "{}")], "tool_calls"),
    ),
    "tool calls without an index": (
        call(None, "call_a", "weather", "{")
        + call(None, arguments="}")
        + call(None, "call_b", "time", "{}")
        + chunk({}, "tool_calls"),
        Answer([ToolCall(0, "call_a", "weather", "{}"), ToolCall(1, "call_b", "time", "{}")], "tool_calls"),
    ),
    "a tool call whose every fragment has its own id": (
        call(0, "call_a", "weather", "{") + call(0, "call_x", None, "}") + chunk({}, "tool_calls"),
        Answer([ToolCall(0, "call_a", "weather", "{}")], "tool_calls"),
    ),
    "a tool call whose id and name are in every fragment": (
        call(0, "call_a", "weather", "{") + call(0, "call_a", "weather", "}") + chunk({}, "tool_calls"),
        Answer([ToolCall(0, "call_a", "weather", "{}")], "tool_calls"),
    ),
    "a function call of old": (
        chunk({"function_call": {"name": "weather", "arguments": ""}})
        + chunk({"function_call": {"arguments": "{}"}})
        + chunk({}, "function_call"),
        Answer([ToolCall(0, None, "weather", "{}")], "tool_calls"),
    ),
    "[DONE] without a finish_reason": (HI + DONE, Answer([Text("Hi")], "no_finish_reason")),
    "an empty finish_reason is none": (chunk({"content": "Hi"}, "") + DONE, Answer([Text("Hi")], "no_finish_reason")),
    "a finish_reason that nobody knows": (
        HI + chunk({}, "insufficient_system_resource", usage=USAGE) + DONE,
        Answer([Text("Hi")], "no_finish_reason", COUNTED),
    ),
    "an end without anything": (chunk({"content": "Hi"}, usage=USAGE), Answer([Text("Hi")], "upstream_cut", COUNTED)),
    "an error at once": (frame({"error": {"message": "no room"}}) + DONE, Answer([], "upstream_error")),
    "an error in mid-stream": (
        chunk({"content": "Hi"}, usage=USAGE) + frame({"error": {"message": "no room", "code": 500}}) + DONE,
        Answer([Text("Hi")], "upstream_error", COUNTED),
    ),
    "an error event": (HI + b'event: error\ndata: "no room"\n\n', Answer([Text("Hi")], "upstream_error")),
    "an error as older vllm sends it": (
        frame({"object": "error", "message": "no room", "code": 400}),
        Answer([], "upstream_error"),
    ),
    "an error after the finish_reason": (
        HI + STOP + frame({"error": "no room"}),
        Answer([Text("Hi")], "upstream_error"),
    ),
    "what follows an error is not read": (frame({"error": "no room"}) + HI + END, Answer([], "upstream_error")),
    "what follows [DONE] is not read": (END + frame({"error": "no room"}), Answer([], "stop", COUNTED)),
    "an error that is null": (chunk({"content": "Hi"}, error=None) + END, Answer([Text("Hi")], "stop", COUNTED)),
    "a line that is not JSON": (HI + b"data: {oops\n\n" + END, Answer([Text("Hi")], "bad_upstream_data")),
    "JSON of another shape": (HI + frame({"choices": {}}) + END, Answer([Text("Hi")], "bad_upstream_data")),
    "content of another type": (frame({"choices": [{"delta": {"content": 7}}]}), Answer([], "bad_upstream_data")),
    "a list": (frame([]), Answer([], "bad_upstream_data")),
    "bytes that are not UTF-8": (
        b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
        Answer([], "bad_upstream_data"),
    ),
    "very deep JSON": (b"data: " + b'{"a":' * 2000 + b"\n\n", Answer([], "bad_upstream_data")),
    "an object that says nothing": (frame({"type": "ping"}) + HI + END, Answer([Text("Hi")], "stop", COUNTED)),
    "no blank line at the end": ((HI + STOP).removesuffix(b"\n"), Answer([Text("Hi")], "stop")),
    "no line end at the end": ((HI + STOP).removesuffix(b"\n\n"), Answer([Text("Hi")], "stop")),
    "a torn last line": (HI + STOP[:-20], Answer([Text("Hi")], "upstream_cut")),
    "an emoji cut between its escapes": (
        escaped("a\\ud83d") + escaped("\\ude00b") + END,
        Answer([Text("a😀b")], "stop", COUNTED),
    ),
    "half an emoji": (
        escaped("a\\ud83d") + chunk({"content": "b"}) + escaped("\\ude00\\ud83d") + END,
        Answer([Text("a\ufffdb\ufffd\ufffd")], "stop", COUNTED),
    ),
    "half an emoji, and a cut": (escaped("a\\ud83d"), Answer([Text("a")], "upstream_cut")),
    "an emoji cut between escapes in arguments": (
        call(0, "call_a", "say", '"')
        + b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\ud83d"}}]}}]}\n\n'
        + b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\ude00\\""}}]}}]}\n\n'
        + chunk({}, "tool_calls"),
        Answer([ToolCall(0, "call_a", "say", '"😀"')], "tool_calls"),
    ),
}


@pytest.mark.parametrize(("data", "expected"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_means_the_same_however_it_is_cut(data: bytes, expected: Answer) -> None:
    whole = play(a_stream(), data)
    assert (whole.deltas, whole.reason, whole.usage) == (expected.deltas, expected.reason, expected.usage)
    assert play(a_stream(), *(data[at : at + 1] for at in range(len(data)))) == whole
    for at in range(0, len(data), max(7, len(data) // 50)):
        assert play(a_stream(), data[:at], data[at:]) == whole


def test_nothing_empty_comes_out_but_the_head_of_a_tool_call() -> None:
    stream = ChatStream(Scrubber())
    assert stream.feed(chunk({"role": "assistant", "content": ""}) + chunk({"reasoning": ""}) + b": hi\n\n") == []
    assert stream.feed(call(0, "call_a", "weather", "")) == [ToolCall(0, "call_a", "weather", "")]
    assert stream.feed(call(0, arguments="")) == []


def test_an_upstream_is_listened_to_until_done_or_the_last_usage() -> None:
    for last in (DONE, frame({"choices": [], "usage": USAGE})):
        stream = ChatStream(Scrubber())
        stream.feed(chunk({"content": "Hi"}, usage=USAGE))
        assert not stream.awaits_usage()
        stream.feed(chunk({}, "stop", usage=USAGE))
        assert stream.awaits_usage()
        stream.feed(last)
        assert stream.done


def test_a_cut_after_the_finish_reason_is_no_cut() -> None:
    assert play(a_stream(), HI, STOP, cut="connection reset by peer") == Answer([Text("Hi")], "stop")


def test_a_cut_says_why() -> None:
    answer = play(a_stream(), HI, cut="connection reset by peer")
    assert answer.reason == "upstream_cut"
    assert "connection reset by peer" in answer.detail


def test_an_error_keeps_its_message_but_no_secret() -> None:
    answer = play(
        a_stream(), frame({"error": {"message": f"key hunter2-hunter2 and sk-proj-abcdef123456\nof {'x' * 999}"}})
    )
    assert answer.detail.startswith("the upstream reported an error: key *** and *** of xxx")
    assert len(answer.detail) < 400


def test_a_frame_without_end_is_refused() -> None:
    stream = ChatStream(Scrubber())
    steps = stream.feed(HI + b"data: ")
    for _ in range(80):
        steps += stream.feed(b"x" * 16_384)
    assert ended(stream, steps).reason == "bad_upstream_data"
    assert steps == [Text("Hi")]


def test_a_body_that_is_no_event_stream_is_bad_data() -> None:
    for body in (b"<html><body>hello</body></html>", b'{"a":\n1}\n', b""):
        assert play(a_stream(promised=False), body).reason == "bad_upstream_data"
    assert play(a_stream(), b"").reason == "upstream_cut"


WHOLE = {
    "a completion that was not streamed": (
        {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
            "usage": USAGE,
        },
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "one with tool calls": (
        {
            "choices": [
                {
                    "message": {
                        "content": None,
                        "tool_calls": [
                            {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                            {"id": "call_b", "type": "function", "function": {"name": "time", "arguments": "{}"}},
                        ],
                    },
                    "finish_reason": "tool_calls",
                }
            ]
        },
        Answer([ToolCall(0, "call_a", "weather", "{}"), ToolCall(1, "call_b", "time", "{}")], "tool_calls"),
    ),
    "an error": ({"error": {"message": "no room"}}, Answer([], "bad_upstream_data")),
    "something else": ({"detail": "Not Found"}, Answer([], "bad_upstream_data")),
    "a completion that does not say why it ended": (
        {"choices": [{"message": {"content": "Hi"}}]},
        Answer([Text("Hi")], "no_finish_reason"),
    ),
}


@pytest.mark.parametrize(("body", "expected"), WHOLE.values(), ids=WHOLE)
def test_a_json_body_is_one_chunk(body: object, expected: Answer) -> None:
    stream = ChatStream(Scrubber(), promised=False)
    answer = ended(stream, stream.feed_whole(json.dumps(body).encode()))
    assert (answer.deltas, answer.reason, answer.usage) == (expected.deltas, expected.reason, expected.usage)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"x" * (1024 * 1024 + 1)])
def test_a_body_that_is_no_object_is_bad_data(body: bytes) -> None:
    stream = ChatStream(Scrubber(), promised=False)
    assert ended(stream, stream.feed_whole(body)).reason == "bad_upstream_data"
