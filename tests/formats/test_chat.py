"""Chat completions, streamed, byte for byte as OpenAI's API reference shows them."""

import json
from typing import Any

import pytest

from headwater.core.content import Part
from headwater.core.events import Attempt, End, Event, Failure, Reasoning, Refusal, Span, Text, ToolCall, Usage
from headwater.core.position import Position
from headwater.core.run import RunRequest
from headwater.formats.base import After, Frame, Head
from headwater.formats.chat import Chat, ChatWithUsage
from tests.support.sse import EventStreamParser, Message

HEAD = Head("run_x7", "demo", 1767225600.25, RunRequest(input="hi"))
CHAT, COUNTED = Chat(HEAD), ChatWithUsage(HEAD)
START_OF_ALL = b'{"id":"chatcmpl-x7","object":"chat.completion.chunk","created":1767225600,"model":"demo","choices":'
STOP = End("completed", "stop", usage=Usage(6, 20))
TAG = 80472913


def chunk(position: str, delta: bytes, finish: bytes = b"null", usage: bytes = b"") -> bytes:
    """The frame of a chunk."""
    choice = b'[{"index":0,"delta":%b,"finish_reason":%b}]' % (delta, finish)
    return b"id: %b\ndata: %b%b%b}\n\n" % (position.encode(), START_OF_ALL, choice, usage)


def told(*frames: Frame) -> list[Message]:
    """The events of these frames."""
    return EventStreamParser().feed(b"".join(frame.data for frame in frames))


def delta_of(message: Message) -> Any:
    """The delta of a chunk."""
    return message.json["choices"][0]["delta"]


def one(span: Span) -> Any:
    """The delta that a single span becomes."""
    (message,) = told(CHAT.spans([span]))
    return delta_of(message)


# -- the frames


def test_a_connection_opens_with_nothing() -> None:
    """Their SDKs take a `retry` for an event, and an event for JSON."""
    assert CHAT.opening(1372) == CHAT.run("queued", first=True) == CHAT.run("in_progress", first=False) == b""


def test_a_keep_alive_is_a_comment_that_ends_no_event() -> None:
    assert CHAT.keep_alive == b":\n"


def test_an_answer_from_its_first_word_to_done() -> None:
    frame = CHAT.spans([Span(0, 1, TAG, Text("Hi")), Span(1, 4, TAG, Text(" there"), TAG), Span(4, 5, TAG, STOP, TAG)])
    assert frame.after is After.CLOSE
    assert frame.data == (
        chunk("1-80472913", b'{"role":"assistant","content":"Hi"}')
        + chunk("4-80472913", b'{"content":" there"}')
        + chunk("4-80472913", b"{}", b'"stop"')
        + b"id: 5-80472913\ndata: [DONE]\n\n"
    )


def test_whoever_asks_for_the_usage_gets_it_last_and_a_null_before() -> None:
    frame = COUNTED.spans([Span(0, 1, 7, Reasoning("hm")), Span(1, 2, 7, Text("Hi"), 7), Span(2, 3, 7, STOP, 7)])
    null = b',"usage":null'
    usage = {
        "prompt_tokens": 6,
        "completion_tokens": 20,
        "total_tokens": 26,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    said = json.dumps(usage, separators=(",", ":")).encode()
    assert frame.data == (
        chunk("1-7", b'{"role":"assistant","reasoning_content":"hm"}', usage=null)
        + chunk("2-7", b'{"content":"Hi"}', usage=null)
        + chunk("2-7", b"{}", b'"stop"', usage=null)
        + b'id: 2-7\ndata: %b[],"usage":%b}\n\n' % (START_OF_ALL, said)
        + b"id: 3-7\ndata: [DONE]\n\n"
    )


@pytest.mark.parametrize("usage", [None, Usage(output_tokens=3, estimated=True)])
def test_a_usage_that_nobody_counted_says_so(usage: Usage | None) -> None:
    counted = told(COUNTED.spans([Span(2, 3, 7, End("completed", "stop", usage=usage), 7)]))[1].json["usage"]
    assert counted["estimated"] is True
    assert counted["completion_tokens"] == (usage.output_tokens if usage else 0)


def test_details_of_the_usage_are_kept() -> None:
    usage = Usage(100, 50, reasoning_tokens=30, cached_tokens=80)
    counted = told(COUNTED.spans([Span(2, 3, 7, End("completed", "stop", usage=usage), 7)]))[1].json["usage"]
    assert counted["prompt_tokens_details"] == {"cached_tokens": 80}
    assert counted["completion_tokens_details"] == {"reasoning_tokens": 30}
    assert "estimated" not in counted


@pytest.mark.parametrize(
    ("event", "delta"),
    [
        (Text("a"), {"content": "a"}),
        (Reasoning("hm"), {"reasoning_content": "hm"}),
        (Refusal("no"), {"refusal": "no"}),
        (
            ToolCall(0, "call_1", "look", ""),
            {
                "tool_calls": [
                    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
                ]
            },
        ),
        (ToolCall(0, arguments='{"q"'), {"tool_calls": [{"index": 0, "function": {"arguments": '{"q"'}}]}),
        (
            ToolCall(2, name="look"),
            {"tool_calls": [{"index": 2, "function": {"name": "look", "arguments": ""}}]},
        ),
        (Attempt(2, "takeover", "continued"), {}),
    ],
    ids=["text", "reasoning", "refusal", "call", "arguments", "name", "attempt"],
)
def test_each_kind_of_event_has_its_delta_and_the_first_of_all_the_role(event: Event, delta: Any) -> None:
    assert one(Span(4, 5, 7, event, 7)) == delta
    first = one(Span(0, 1, 7, event))
    assert first.pop("role") == "assistant"
    assert first == (delta or {"content": ""})


def test_an_end_without_a_word_has_the_role() -> None:
    first, *_ = told(CHAT.spans([Span(0, 1, 7, STOP)]))
    assert delta_of(first) == {"role": "assistant"}
    assert first.id == "0-0"


@pytest.mark.parametrize(
    "text",
    ["100 %", "%s %d %b %%", '"quoted"', "back\\slash", "a\nb\r\nc", "\u2028\u2029\u0085", "\0", "👨‍👩", ""],
)
def test_any_text_arrives_as_it_was(text: str) -> None:
    odd = Chat(Head("run_x7", f"mo%d{text}el%", 0.0, RunRequest(input="hi")))
    for after in (0, 4):
        (message,) = told(odd.spans([Span(after, 5, 7, Text(text))]))
        assert delta_of(message)["content"] == text
        assert (message.json["model"], message.id) == (f"mo%d{text}el%", "5-7")
    (message,) = told(odd.snapshot(Position(5, 7), [{"text": text}], replaces=False))
    assert delta_of(message)["content"] == text


# -- ends


@pytest.mark.parametrize(
    ("end", "finish"),
    [
        (End("completed", "stop"), "stop"),
        (End("completed", "tool_calls"), "tool_calls"),
        (End("incomplete", "length", "length"), "length"),
        (End("incomplete", "content_filter", "content_filter"), "content_filter"),
        (End("incomplete", None, "length", Failure("length", "over our own limit")), "length"),
    ],
)
def test_an_answer_that_came_to_its_end_says_why(end: End, finish: str) -> None:
    frame = CHAT.spans([Span(4, 5, 7, end, 7)])
    last, done = told(frame)
    assert last.json["choices"] == [{"index": 0, "delta": {}, "finish_reason": finish}]
    assert (done.data, frame.after) == ("[DONE]", After.CLOSE)


@pytest.mark.parametrize(
    ("end", "code", "kind"),
    [
        (End("incomplete", None, "upstream_cut", Failure("upstream_cut", "why")), "upstream_cut", "server_error"),
        (
            End("failed", None, "upstream_error", Failure("upstream_error", "why", 401)),
            "upstream_error",
            "server_error",
        ),
        (End("failed", None, "x", Failure("x", "why", 429)), "x", "rate_limit_error"),
        (End("failed", None, "x", Failure("x", "why", 400)), "x", "invalid_request_error"),
        (End("cancelled"), "cancelled", "invalid_request_error"),
    ],
)
def test_an_answer_that_is_not_whole_ends_in_an_error_and_is_never_done(end: End, code: str, kind: str) -> None:
    for form in (CHAT, COUNTED):
        frame = form.spans([Span(4, 5, 7, Text("a"), 7), Span(5, 6, 7, end, 7)])
        text, error = told(frame)
        assert text.json["choices"][0]["finish_reason"] is None
        detail = "why" if end.error else "The run was cancelled."
        assert error.json == {"error": {"message": detail, "type": kind, "param": None, "code": code}}
        assert (error.id, frame.after) == (None, After.CLOSE)
        assert b"[DONE]" not in frame.data


RESTARTED = Span(4, 5, 8, Attempt(2, "failover", "restarted"), 7)


def test_what_was_sent_cannot_be_taken_back() -> None:
    again = Span(5, 6, 8, Text("other"), 8)
    frames = (
        CHAT.spans([Span(1, 4, 7, Text("old")), RESTARTED, again]),
        CHAT.snapshot(Position(5, 8), [], replaces=True),
    )
    for frame in frames:
        *_, error = told(frame)
        assert (error.json["error"]["code"], frame.after) == ("restarted", After.CLOSE)
        assert b"other" not in frame.data and b"[DONE]" not in frame.data


def test_what_was_withdrawn_before_it_was_sent_is_never_sent() -> None:
    frame = CHAT.spans([Span(0, 4, 7, Text("old")), RESTARTED, Span(5, 6, 8, Text("new"), 8)])
    assert frame.after is After.GO_ON
    assert [delta_of(message) for message in told(frame)] == [{"role": "assistant", "content": ""}, {"content": "new"}]


def test_an_attempt_that_takes_nothing_back_is_not_felt() -> None:
    first = Span(0, 1, 7, Attempt(2, "failover", "restarted"))
    going_on = Span(2, 3, 8, Attempt(3, "takeover", "continued"), 7)
    frame = CHAT.spans([first, Span(1, 2, 7, Text("a"), 7), going_on, Span(3, 4, 8, Text("b"), 8)])
    assert frame.after is After.GO_ON
    assert "".join(delta_of(message).get("content", "") for message in told(frame)) == "ab"


# -- whoever comes late


def test_a_late_joiner_gets_everything_in_one_chunk() -> None:
    """Of several, one that was cut off behind the first would lose the others, or see it twice."""
    parts: list[Part] = [
        {"reasoning": "h"},
        {"text": "a"},
        {"reasoning": "m"},
        {"tool_call": {"index": 0, "id": "c", "name": "look", "arguments": '{"q"'}},
        {"refusal": "no"},
        {"tool_call": {"index": 1, "arguments": ""}},
        {"text": "b"},
    ]
    assert CHAT.snapshot(Position(17, TAG), parts, replaces=False) == Frame(
        chunk(
            "17-80472913",
            b'{"role":"assistant","reasoning_content":"hm","content":"ab","refusal":"no","tool_calls":['
            b'{"index":0,"id":"c","type":"function","function":{"name":"look","arguments":"{\\"q\\""}},'
            b'{"index":1,"function":{"arguments":""}}]}',
        )
    )
