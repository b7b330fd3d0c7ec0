"""The text alone. What it cannot say it breaks off, so that nobody takes it for complete."""

import pytest

from headwater.core.content import Part
from headwater.core.events import Attempt, End, Reasoning, Refusal, Span, Text, ToolCall
from headwater.core.position import Position
from headwater.core.run import RunRequest
from headwater.formats.base import After, Frame, Head
from headwater.formats.text import PlainText

FORMAT = PlainText(Head("run_1", "demo", 0.0, RunRequest(input="hi")))


def test_only_text_is_sent() -> None:
    spans = [
        Span(0, 1, 7, Reasoning("hm")),
        Span(1, 2, 7, Text("a\u2028b")),
        Span(2, 3, 7, ToolCall(0, "c", "f", "{}")),
    ]
    assert FORMAT.spans([*spans, Span(3, 4, 7, Refusal("no")), Span(4, 5, 7, Text("c"))]) == Frame("a\u2028bc".encode())
    assert FORMAT.opening(1) == FORMAT.run("in_progress", first=True) == FORMAT.keep_alive == b""


def test_a_completed_answer_is_whole() -> None:
    spans = [Span(0, 1, 7, Text("all")), Span(1, 2, 7, End("completed", "stop"))]
    assert FORMAT.spans(spans) == Frame(b"all", After.CLOSE)


@pytest.mark.parametrize("end", [End("failed"), End("cancelled"), End("incomplete")], ids=lambda end: end.status)
def test_any_other_end_breaks_the_body_off(end: End) -> None:
    assert FORMAT.spans([Span(0, 1, 7, Text("part")), Span(1, 2, 7, end)]) == Frame(b"part", After.BREAK)


def test_a_restart_breaks_the_body_off_and_says_no_more() -> None:
    restart = Span(1, 2, 8, Attempt(2, "failover", "restarted"))
    assert FORMAT.spans([restart, Span(2, 3, 8, Text("new"))]) == Frame(b"", After.BREAK)


def test_what_was_withdrawn_before_it_was_sent_is_never_sent() -> None:
    restart = Span(1, 2, 8, Attempt(2, "failover", "restarted"))
    assert FORMAT.spans([Span(0, 1, 7, Text("old")), restart, Span(2, 3, 8, Text("new"))]) == Frame(b"new")


def test_a_continuation_goes_on() -> None:
    spans = [
        Span(0, 1, 7, Text("to")),
        Span(1, 2, 8, Attempt(2, "takeover", "continued")),
        Span(2, 3, 8, Text("gether")),
    ]
    assert FORMAT.spans(spans) == Frame(b"together")


def test_a_snapshot_is_its_text_unless_it_must_replace() -> None:
    parts: list[Part] = [
        {"reasoning": "hm"},
        {"text": "a"},
        {"tool_call": {"index": 0, "arguments": ""}},
        {"text": "b"},
    ]
    assert FORMAT.snapshot(Position(9, 7), parts, replaces=False) == Frame(b"ab")
    assert FORMAT.snapshot(Position(9, 7), parts, replaces=True) == Frame(b"", After.BREAK)
