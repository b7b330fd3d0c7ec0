"""What Ollama's lines mean, and what is missing from them."""

import json
from typing import Any

import pytest

from headwater.core.events import Reasoning, Text, ToolCall, Usage
from headwater.core.sse import FRAME_BYTES_MAX
from headwater.providers.lines import LineSplitter, LineTooLarge
from headwater.providers.ollama_stream import OllamaStream
from headwater.providers.upstream_errors import Scrubber
from tests.providers.answers import Answer, ended, play


def a_stream(*, promised: bool = True) -> OllamaStream:
    return OllamaStream(Scrubber(["hunter2-hunter2"]), promised=promised)


def line(content: str = "", *, done: bool = False, **fields: Any) -> bytes:
    message = {"role": "assistant", "content": content} | fields.pop("message", {})
    return json.dumps({"model": "m", "message": message, "done": done, **fields}).encode() + b"\n"


def call(name: str, arguments: object, **more: str) -> bytes:
    return line(message={"tool_calls": [{**more, "function": {"name": name, "arguments": arguments}}]})


HI = line("Hi")
STOP = line(done=True, done_reason="stop", prompt_eval_count=9, eval_count=2)
COUNTED = Usage(9, 2)

TRANSCRIPTS = {
    "text": (HI + STOP, Answer([Text("Hi")], "stop", COUNTED)),
    "thinking": (line(message={"thinking": "Hm"}) + HI + STOP, Answer([Reasoning("Hm"), Text("Hi")], "stop", COUNTED)),
    "the last text comes with the end": (
        line("Hi", done=True, done_reason="stop", eval_count=2),
        Answer([Text("Hi")], "stop", Usage(0, 2)),
    ),
    "the token limit": (HI + line(done=True, done_reason="length"), Answer([Text("Hi")], "length")),
    "calls, some with an id": (
        call("f", {"a": "é"}, id="call_a") + call("g", {}) + STOP,
        Answer([ToolCall(0, "call_a", "f", '{"a": "é"}'), ToolCall(1, None, "g", "{}")], "tool_calls", COUNTED),
    ),
    "half an emoji in arguments": (
        call("f", {"a": "\ud83d", "b": "😀"}) + STOP,
        Answer([ToolCall(0, None, "f", '{"a": "\N{REPLACEMENT CHARACTER}", "b": "😀"}')], "tool_calls", COUNTED),
    ),
    "arguments as text": (
        call("f", '{"a":1}') + STOP,
        Answer([ToolCall(0, None, "f", '{"a":1}')], "tool_calls", COUNTED),
    ),
    "calls at the token limit": (
        call("f", {}) + line(done=True, done_reason="length"),
        Answer([ToolCall(0, None, "f", "{}")], "length"),
    ),
    "CR LF and empty lines": (
        b"\r\n" + (HI + STOP).replace(b"\n", b"\r\n\r\n"),
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "no line end at the end": ((HI + STOP).rstrip(), Answer([Text("Hi")], "stop", COUNTED)),
    "a cut": (HI, Answer([Text("Hi")], "upstream_cut")),
    "a torn last line": (HI + STOP[:-20], Answer([Text("Hi")], "upstream_cut")),
    "nothing": (b"", Answer([], "upstream_cut")),
    "a model that was only loaded": (line(done=True, done_reason="load"), Answer([], "no_finish_reason")),
    "an end without a reason": (HI + line(done=True), Answer([Text("Hi")], "no_finish_reason")),
    "an error": (HI + b'{"error":"no room"}\n', Answer([Text("Hi")], "upstream_error")),
    "what follows the end is not read": (
        HI + STOP + b'{"error":"no room"}\n',
        Answer([Text("Hi")], "stop", COUNTED),
    ),
    "no JSON": (HI + b"{oops\n" + STOP, Answer([Text("Hi")], "bad_upstream_data")),
    "JSON of another shape": (b'{"message":7}\n', Answer([], "bad_upstream_data")),
    "half an emoji": (
        b'{"message":{"content":"a\\ud83d"}}\n{"message":{"content":"\\ude00"}}\n' + STOP,
        Answer([Text("a😀")], "stop", COUNTED),
    ),
}


@pytest.mark.parametrize(("data", "expected"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_lines_mean_the_same_however_they_are_cut(data: bytes, expected: Answer) -> None:
    whole = play(a_stream(), data)
    assert (whole.deltas, whole.reason, whole.usage) == (expected.deltas, expected.reason, expected.usage)
    assert play(a_stream(), *(data[at : at + 1] for at in range(len(data)))) == whole
    for at in range(0, len(data), max(7, len(data) // 50)):
        assert play(a_stream(), data[:at], data[at:]) == whole


def test_an_error_keeps_its_message_but_no_secret() -> None:
    answer = play(a_stream(), b'{"error":"hunter2-hunter2 is wrong"}\n')
    assert answer.detail == "the upstream reported an error: *** is wrong"


def test_a_line_without_end_is_refused() -> None:
    stream = a_stream()
    steps = stream.feed(HI + b'{"message":"')
    steps += stream.feed(b"x" * (FRAME_BYTES_MAX + 1))
    answer = ended(stream, steps)
    assert (answer.deltas, answer.reason) == ([Text("Hi")], "bad_upstream_data")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (STOP, "stop"),
        (json.dumps(json.loads(STOP), indent=2).encode(), "stop"),
        (b'{"error":"no room"}', "bad_upstream_data"),
        (b"{", "bad_upstream_data"),
        (b"x" * (FRAME_BYTES_MAX + 1), "bad_upstream_data"),
    ],
)
def test_a_body_that_is_json_is_one_line(body: bytes, reason: str) -> None:
    stream = a_stream()
    assert ended(stream, stream.feed_whole(body)).reason == reason


def test_a_page_is_no_stream() -> None:
    assert play(a_stream(promised=False), b"<html>").reason == "bad_upstream_data"


# -- lines


def test_lines_come_whole_however_they_were_cut() -> None:
    data = b"a\n\nbc\xe2\x80\xa8d\nrest"
    for size in (1, 2, 3, 100):
        splitter = LineSplitter(10)
        lines = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
        assert (lines, splitter.finish()) == ([b"a", b"", "bc\u2028d".encode()], b"rest")


@pytest.mark.parametrize("data", [b"a\n123456\nb\n", b"a\n123456"])
def test_a_line_that_is_too_large_ends_the_splitting(data: bytes) -> None:
    with pytest.raises(LineTooLarge) as caught:
        LineSplitter(5).feed(data)
    assert (caught.value.limit, caught.value.lines) == (5, [b"a"])
