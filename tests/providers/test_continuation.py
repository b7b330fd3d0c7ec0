"""How an upstream is asked to go on, and what of its answer is taken off. No I/O."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.core.events import Reasoning, Text, Usage
from headwater.core.run import Message, RunRequest
from headwater.providers.base import Finish, Step
from headwater.providers.continuation import Continuation, Overlap, can_continue, continued, left_of_limits
from headwater.providers.openai_request import request_body

WAYS: list[Continuation] = ["vllm", "prefix", "trailing"]
EACH = pytest.mark.parametrize("way", WAYS)

USER = Message("user", "Sing.")
BEGUN = Message("assistant", "Sure: ")
VLLM: dict[str, Any] = {"add_generation_prompt": False, "continue_final_message": True}
CALLS = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def body(request: RunRequest) -> dict[str, Any]:
    """What a server that speaks chat completions is sent."""
    sent: dict[str, Any] = msgspec.json.decode(request_body(request, model="m"))
    return sent


def ending(request: RunRequest) -> tuple[Any, ...]:
    """The conversation's texts."""
    assert not isinstance(request.input, str)
    return tuple(message.content for message in request.input)


# -- the request


@pytest.mark.parametrize(
    ("extra", "left"),
    [
        ({"max_tokens": 20, "top_k": 4}, {"max_tokens": 14, "top_k": 4}),
        ({"max_completion_tokens": 7}, {"max_completion_tokens": 1}),
        ({"options": {"num_predict": 20, "seed": 1}}, {"options": {"num_predict": 14, "seed": 1}}),
        ({"options": {"num_predict": -1}, "max_tokens": None}, {"options": {"num_predict": -1}, "max_tokens": None}),
        (None, {}),
    ],
)
def test_limits_in_the_upstream_s_own_words_are_less_by_what_is_written(extra: Any, left: Any) -> None:
    assert left_of_limits(extra, 6) == left


@pytest.mark.parametrize("extra", [{"max_tokens": 6}, {"options": {"num_predict": 5}}])
def test_one_that_is_reached_leaves_nothing(extra: Any) -> None:
    assert left_of_limits(extra, 6) is None


def test_vllm_is_told_to_continue_the_last_message() -> None:
    sent = body(continued(RunRequest(input="Sing."), "La ", "vllm"))
    assert sent["messages"] == [{"role": "user", "content": "Sing."}, {"role": "assistant", "content": "La "}]
    assert sent.items() >= VLLM.items()


def test_a_prefix_is_marked_as_one() -> None:
    sent = body(continued(RunRequest(input="Sing."), "La ", "prefix"))
    assert sent["messages"][-1] == {"role": "assistant", "content": "La ", "prefix": True}
    assert not sent.keys() & VLLM.keys()


def test_a_trailing_message_is_one_and_nothing_else() -> None:
    sent = body(continued(RunRequest(input="Sing."), "La ", "trailing"))
    assert sent["messages"][-1] == {"role": "assistant", "content": "La "}
    assert not sent.keys() & VLLM.keys()


@EACH
def test_all_else_of_the_request_stays(way: Continuation) -> None:
    request = RunRequest(
        input=[Message("system", "Be kind."), Message("user", [{"type": "text", "text": "Hi"}], name="Ann")],
        instructions="Sing.",
        temperature=0.5,
        stop=["END"],
        seed=7,
        tools=[{"type": "function", "function": {"name": "f"}}],
        extra={"top_k": 5},
    )
    before, after = body(request), body(continued(request, "La ", way))
    assert after["messages"][:-1] == before["messages"]
    assert after.items() >= {name: value for name, value in before.items() if name != "messages"}.items()
    assert after.keys() - before.keys() <= VLLM.keys()


def test_what_the_caller_began_is_gone_on_with_in_the_same_message() -> None:
    request = RunRequest(input=[USER, BEGUN])
    assert ending(continued(request, "La ", "trailing")) == ("Sing.", "Sure: La ")
    asked = msgspec.structs.replace(request, extra=VLLM)
    assert ending(continued(asked, "La ", "vllm")) == ("Sing.", "Sure: La ")


def test_an_answer_that_began_after_an_assistants_message_has_one_of_its_own() -> None:
    request = RunRequest(input=[USER, BEGUN])  # which no flag asked the server to go on with
    assert ending(continued(request, "La ", "vllm")) == ("Sing.", "Sure: ", "La ")
    assert ending(continued(request, "La ", "prefix")) == ("Sing.", "Sure: ", "La ")


@EACH
def test_a_plain_conversation_can_be_continued(way: Continuation) -> None:
    assert can_continue(RunRequest(input="Sing."), way)
    assert can_continue(RunRequest(input=[BEGUN, USER]), way)
    assert not can_continue(RunRequest(input="Sing."), "none")


@pytest.mark.parametrize(
    "last",
    [
        Message("assistant", [{"type": "text", "text": "Sure: "}]),
        Message("assistant", tool_calls=CALLS),
        Message("assistant", "Sure: ", extra={"content": "No: "}),
    ],
)
def test_a_beginning_of_the_callers_that_is_no_plain_text_cannot(last: Message) -> None:
    assert not can_continue(RunRequest(input=[USER, last]), "trailing")
    assert not can_continue(RunRequest(input=[USER, last], extra=VLLM), "vllm")
    assert can_continue(RunRequest(input=[USER, last]), "vllm")


def test_a_prefix_of_the_callers_cannot_for_it_may_have_come_again() -> None:
    begun = Message("assistant", "Sure: ", extra={"prefix": True})
    assert not can_continue(RunRequest(input=[USER, begun]), "prefix")
    assert can_continue(RunRequest(input=[USER, BEGUN]), "prefix")


# -- what comes again


def taken(overlap: Overlap, text: str, cuts: dict[int, bool], *after: Step) -> str:
    """What is left of a text that is cut at such places, where the next list begins or just the next piece."""
    lists: list[list[Step]] = [[]]
    at = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(text)), len(text)]:
        lists[-1] += [Text(text[at:cut])] if at < cut else []
        lists += [[]] if cuts.get(cut) else []
        at = cut
    steps = [step for some in [*lists, [*after]] for step in overlap.take(some)]
    return "".join(step.text for step in steps if isinstance(step, Text))


cuts = st.dictionaries(st.integers(1, 40), st.booleans())
spaces = st.text(" \n\t", max_size=5)
few = st.text("ab ", max_size=20)
FINISH = Finish("stop")


@given(few, few, cuts)
def test_an_echo_is_taken_off_wherever_it_is_cut(written: str, rest: str, cuts: dict[int, bool]) -> None:
    assert taken(Overlap(written, whole=True), written + rest, cuts, FINISH) == rest


@given(few, few, cuts)
def test_an_answer_without_an_echo_stays_whole(written: str, rest: str, cuts: dict[int, bool]) -> None:
    left = taken(Overlap(written, whole=True), rest, cuts, FINISH)
    assert left == (rest if not rest.startswith(written) else rest[len(written) :])


@given(few, st.integers(0, 20), cuts)
def test_an_echo_that_breaks_off_is_not_shown(written: str, length: int, cuts: dict[int, bool]) -> None:
    assert taken(Overlap(written, whole=True), written[:length], cuts) == ""


@given(spaces, spaces, few.map(str.lstrip), cuts)
@example("\n\n", "\n\n\n", "Next", {})
@example(" ", "", "", {})
def test_the_space_that_is_there_already_is_taken_off(there: str, comes: str, rest: str, cuts: dict[int, bool]) -> None:
    left = taken(Overlap(there, whole=False), comes + rest, cuts, FINISH)
    same = next((n for n, (a, b) in enumerate(zip(there, comes, strict=False)) if a != b), min(len(there), len(comes)))
    assert left == comes[same:] + rest


def test_what_is_held_back_comes_before_whatever_else_comes() -> None:
    overlap = Overlap("abc", whole=True)
    assert overlap.take([Reasoning("hm"), Text("ab"), Usage(1, 1)]) == [Reasoning("hm"), Usage(1, 1)]
    assert overlap.take([FINISH]) == [Text("ab"), FINISH]


def test_what_is_written_once_is_taken_off_once() -> None:
    assert taken(Overlap("la ", whole=True), "la la la ", {3: True, 6: False}, FINISH) == "la la "
