"""Every tool call has an id of its own, and has it once."""

from headwater.core.calls import CallIds
from headwater.core.events import ToolCall


def kept(*calls: ToolCall) -> list[ToolCall]:
    ids = CallIds("made")
    return [ids.identified(call) for call in calls]


def test_what_a_model_gave_is_kept() -> None:
    given = [ToolCall(0, "call_a", "look", ""), ToolCall(0, arguments="{"), ToolCall(1, "call_b", "look", "{}")]
    assert kept(*given, ToolCall(0, arguments="}")) == [*given, ToolCall(0, arguments="}")]


def test_a_call_without_an_id_gets_one() -> None:
    assert kept(ToolCall(0, None, "look"), ToolCall(1, "", "look"), ToolCall(0, arguments="{}")) == [
        ToolCall(0, "made_0", "look"),
        ToolCall(1, "made_1", "look"),
        ToolCall(0, arguments="{}"),
    ]


def test_two_calls_never_share_one() -> None:
    assert kept(ToolCall(0, "call_a", "look"), ToolCall(1, "call_a", "look"))[1] == ToolCall(1, "made_1", "look")


def test_an_id_that_comes_later_changes_nothing_any_more() -> None:
    assert kept(ToolCall(0, None, "look"), ToolCall(0, "call_a", None, "{}"))[1] == ToolCall(0, None, None, "{}")
