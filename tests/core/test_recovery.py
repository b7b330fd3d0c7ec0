"""Who may go on with an answer that broke off, and when enough was tried."""

from typing import Any

import pytest

from headwater.core.events import Attempt, End, Failure, Reasoning, Refusal, Text, ToolCall
from headwater.core.recovery import Shown, deaths_in_a_row, is_refusal, may_pass
from headwater.core.run import RunRequest

ASKED = RunRequest(input="hello")


def shown(*events: Any) -> Shown:
    taken = Shown()
    for event in events:
        taken.add(event)
    return taken


def broken(reason: str, status: int | None = None) -> End:
    return End("failed", reason=reason, error=Failure(reason, "why", upstream_status=status))


def test_text_is_continued() -> None:
    some = shown(Text("a"), Text(" b"))
    assert (some.began, some.text, some.tokens) == (True, "a b", 2)
    assert some.may_be_continued(ASKED, 3)


def test_a_run_s_parts_count_as_what_made_them() -> None:
    some = Shown([{"text": "a b"}], 2)
    some.add(Text(" c"))
    assert (some.text, some.tokens) == ("a b c", 3)


@pytest.mark.parametrize("other", [Reasoning("hm"), Refusal("no"), ToolCall(0, "call_1", "look", "{")])
def test_nothing_else_is(other: Any) -> None:
    assert not shown(other).may_be_continued(ASKED, 100)
    assert not shown(Text("a"), other, Text("b")).may_be_continued(ASKED, 100)
    assert not Shown([{"text": "a"}, {"tool_call": {"index": 0, "arguments": ""}}], 2).may_be_continued(ASKED, 100)


def test_what_was_withdrawn_does_not_count() -> None:
    anew = shown(Reasoning("hm"), Attempt(2, "failover", "restarted"))
    assert (anew.began, anew.tokens) == (False, 0)
    anew.add(Text("a"))
    assert anew.may_be_continued(ASKED, 100)


def test_an_attempt_that_continues_withdraws_nothing() -> None:
    assert shown(Text("a"), Attempt(2, "takeover", "continued"), Text("b")).text == "ab"


@pytest.mark.parametrize(("kind", "sound"), [("text", True), ("json_object", False), ("json_schema", False)])
def test_a_document_is_not_continued(kind: str, sound: bool) -> None:
    request = RunRequest(input="hello", response_format={"type": kind})
    assert shown(Text("{")).may_be_continued(request, 100) is sound


@pytest.mark.parametrize(
    "extra", [{"format": "json"}, {"guided_json": {}}, {"response_format": {"type": "json_object"}}]
)
def test_nor_is_one_that_an_upstream_was_asked_for_in_its_own_words(extra: dict[str, Any]) -> None:
    assert not shown(Text("{")).may_be_continued(RunRequest(input="hello", extra=extra), 100)
    assert shown(Text("a")).may_be_continued(RunRequest(input="hello", extra={"top_k": 4}), 100)


def test_the_limit_counts_bytes() -> None:
    assert shown(Text("ä")).may_be_continued(ASKED, 2)
    assert not shown(Text("ä")).may_be_continued(ASKED, 1)


def test_failures_of_an_upstream_may_pass() -> None:
    for reason in ("upstream_cut", "idle_timeout", "bad_upstream_data", "first_token_timeout", "no_finish_reason"):
        assert may_pass(broken(reason), continuing=False)


def test_what_the_model_or_we_decided_does_not() -> None:
    for reason in ("length", "content_filter", "producer_lost", "drained"):
        assert not may_pass(broken(reason), continuing=True)
    for status in ("completed", "cancelled"):
        assert not may_pass(End(status), continuing=True)


@pytest.mark.parametrize(
    ("status", "request_s_fault"), [(400, True), (413, True), (422, True), (401, False), (429, False)]
)
def test_a_refused_request_is_refused_by_all_unless_it_was_a_continuation(status: int, request_s_fault: bool) -> None:
    end = broken("upstream_error", status)
    assert is_refusal(end) is request_s_fault
    assert may_pass(end, continuing=False) is not request_s_fault
    assert may_pass(end, continuing=True)


def takeover(number: int) -> Attempt:
    return Attempt(number, "takeover", "continued")


def drained(number: int) -> Attempt:
    return Attempt(number, "drain", "continued")


def failed_over(number: int) -> Attempt:
    return Attempt(number, "failover", "continued")


@pytest.mark.parametrize(
    ("attempts", "tries", "leases", "released", "deaths"),
    [
        ([], [0], 1, False, 1),
        ([], [5], 1, False, 0),
        ([takeover(2)], [0, 0], 2, False, 2),
        ([takeover(2)], [5, 0], 2, False, 1),
        ([takeover(2), takeover(3)], [0, 0, 0], 3, False, 3),
        ([takeover(2), takeover(3)], [0, 1, 0], 3, False, 1),
        # Upstreams that failed killed nobody.
        ([failed_over(2), failed_over(3)], [0, 0, 0], 1, False, 1),
        # Nor did a worker die that has left.
        ([drained(2)], [0, 0], 1, True, 0),
        ([drained(2)], [0, 0], 2, False, 1),
        ([takeover(2), drained(3)], [0, 0, 0], 2, True, 1),
        # Two died before they could say that they had taken over.
        ([], [5], 3, False, 2),
        ([takeover(2)], [0, 0], 3, False, 3),
    ],
)
def test_workers_that_died_over_it_without_a_token(
    attempts: list[Attempt], tries: list[int], leases: int, released: bool, deaths: int
) -> None:
    assert deaths_in_a_row(attempts, tries, leases, released=released) == deaths
