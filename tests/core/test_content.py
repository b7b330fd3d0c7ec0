"""What a reader makes of the events: parts in order, calls by index, restarts from nothing."""

from hypothesis import given
from hypothesis import strategies as st

from headwater.core.content import Content
from headwater.core.events import Attempt, Delta, End, Event, Reasoning, Refusal, Text, ToolCall
from tests.core.logs import deltas, events, parts_of


def content_of(*given: Event) -> Content:
    content = Content()
    for event in given:
        content.add(event)
    return content


def test_adjacent_deltas_of_a_kind_are_one_part() -> None:
    content = content_of(Reasoning("h"), Reasoning("m"), Text("a"), Text("b"), Refusal("no"), Text("c"))
    assert content.parts() == [{"reasoning": "hm"}, {"text": "ab"}, {"refusal": "no"}, {"text": "c"}]
    assert content.text == "abc"


def test_fragments_of_a_tool_call_meet_by_index() -> None:
    content = content_of(
        ToolCall(0, "call_a", "look", ""),
        ToolCall(1, "call_b", "find", '{"x"'),
        ToolCall(0, arguments='{"q":'),
        Text("meanwhile"),
        ToolCall(1, arguments=":1}"),
        ToolCall(0, arguments="2}"),
    )
    assert content.parts() == [
        {"tool_call": {"index": 0, "id": "call_a", "name": "look", "arguments": '{"q":2}'}},
        {"tool_call": {"index": 1, "id": "call_b", "name": "find", "arguments": '{"x":1}'}},
        {"text": "meanwhile"},
    ]


def test_a_call_keeps_its_first_name_and_takes_a_late_one() -> None:
    content = content_of(ToolCall(0, None, None, "{"), ToolCall(0, "id", "name", "}"), ToolCall(0, "other", "else"))
    assert content.parts() == [{"tool_call": {"index": 0, "id": "id", "name": "name", "arguments": "{}"}}]


def test_nothing_makes_no_parts() -> None:
    assert content_of().parts() == []
    assert content_of(Attempt(2, "takeover", "continued"), End("failed")).parts() == []


def test_a_restart_withdraws_all_before_it() -> None:
    restart = Attempt(2, "failover", "restarted")
    content = content_of(Text("lost"), ToolCall(0, "c", "n", "x"), restart, Text("new"), ToolCall(0, None, None, "y"))
    assert content.parts() == [{"text": "new"}, {"tool_call": {"index": 0, "arguments": "y"}}]
    assert content.attempts == [restart]


def test_a_continuation_goes_on_in_the_same_part() -> None:
    content = content_of(Text("to"), Attempt(2, "takeover", "continued"), Text("gether"))
    assert content.parts() == [{"text": "together"}]


def test_the_end_is_kept() -> None:
    assert content_of(Text("a"), End("completed", "stop")).end == End("completed", "stop")


@given(st.lists(events), st.lists(deltas))
def test_only_what_follows_the_last_restart_counts(before: list[Event], after: list[Delta]) -> None:
    assert parts_of([*before, Attempt(2, "takeover", "restarted"), *after]) == parts_of(after)


@given(st.lists(deltas))
def test_the_output_is_the_text_parts_joined(given_deltas: list[Delta]) -> None:
    content = content_of(*given_deltas)
    assert content.text == "".join(part.get("text", "") for part in content.parts())
    assert content.text == "".join(delta.text for delta in given_deltas if isinstance(delta, Text))
