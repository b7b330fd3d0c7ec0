"""Whom a message asks, which answers may begin, and what a model is told."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.position import Position
from headwater.core.room import Concurrency, Place, Policy, Post, RoomSettings, Turn
from headwater.core.run import Message
from headwater.core.turns import (
    ASKED_MAX,
    PARALLEL_MAX,
    Decision,
    asked_models,
    conversation,
    conversation_bytes,
    next_turns,
)

PLENTY = 10_000
"""Bytes."""


# -- whom a message asks

MODELS = {"a", "b", "c", "d", "e", "own"}


def asked(
    policy: Policy, mentions: Sequence[str] = (), replied: Post | None = None, model: str | None = None
) -> tuple[str, ...]:
    settings = RoomSettings(policy=policy, model=model)
    return asked_models(settings, mentions, replied, default="default", is_model=MODELS.__contains__)


ANSWER = Post(id="msg_r", by="user:ann", at=0.0, run="run_r", model="b")
WORDS = Post(id="msg_w", by="user:bob", at=0.0)


@pytest.mark.parametrize(
    ("policy", "said", "models"),
    [
        ("mention", {}, ()),
        ("mention", {"mentions": ["user:bob", "a", "b", "a"]}, ("a", "b")),
        ("mention", {"replied": ANSWER}, ()),
        ("mention", {"mentions": ["passed on"], "model": "passed on"}, ("passed on",)),
        ("reply", {}, ()),
        ("reply", {"replied": WORDS}, ()),
        ("reply", {"replied": ANSWER}, ("b",)),
        ("reply", {"mentions": ["a", "b"], "replied": ANSWER}, ("a", "b")),
        ("always", {}, ("default",)),
        ("always", {"model": "own"}, ("own",)),
        ("always", {"mentions": ["user:bob"], "replied": WORDS}, ("default",)),
        ("always", {"replied": ANSWER}, ("b",)),
        ("always", {"mentions": ["a"], "replied": ANSWER}, ("a",)),
        ("never", {"mentions": ["a"], "replied": ANSWER, "model": "own"}, ()),
    ],
)
def test_a_message_asks_whom_the_policy_says(policy: Policy, said: dict[str, Any], models: tuple[str, ...]) -> None:
    assert asked(policy, **said) == models


def test_a_message_asks_no_crowd() -> None:
    assert asked("mention", ["e", "d", "c", "b", "a"]) == ("e", "d", "c", "b")
    assert ASKED_MAX == 4


# -- which answers may begin


def a_turn(name: str) -> Turn:
    """`q1.a` is the turn of the model `a` that the message `q1` asks, with a `*` one whose answer grows."""
    id = name.removesuffix("*")
    question, _, model = id.partition(".")
    return Turn(id=id, asked=question, client_id="", by="", name="", caller="", model=model, at=0.0, open=id != name)


def decided(concurrency: Concurrency, turns: str) -> dict[str, str]:
    decision = next_turns([a_turn(name) for name in turns.split()], concurrency)
    todo = {"cancel": decision.cancel, "drop": decision.drop, "begin": decision.begin}
    return {name: " ".join(turn.id for turn in those) for name, those in todo.items() if those}


@pytest.mark.parametrize(
    ("turns", "todo"),
    [
        ("", {}),
        ("q1.a", {"begin": "q1.a"}),
        ("q1.a q1.b q2.a", {"begin": "q1.a"}),
        ("q1.a* q2.a", {}),
        ("q1.a* q2.a*", {}),
    ],
)
def test_in_a_queue_one_answers_after_the_other(turns: str, todo: dict[str, str]) -> None:
    assert decided("queue", turns) == todo


def test_in_parallel_all_answer_up_to_a_bound() -> None:
    assert decided("parallel", "q1.a* q1.b q2.a") == {"begin": "q1.b q2.a"}
    names = [f"q{number}.a" for number in range(PARALLEL_MAX + 2)]
    assert decided("parallel", " ".join(names)) == {"begin": " ".join(names[:PARALLEL_MAX])}
    assert decided("parallel", " ".join(f"{name}*" for name in names)) == {}


@pytest.mark.parametrize(
    ("turns", "todo"),
    [
        ("", {}),
        ("q1.a", {"begin": "q1.a"}),
        ("q1.a q1.b", {"begin": "q1.a q1.b"}),
        ("q1.a* q1.b", {"begin": "q1.b"}),
        ("q1.a*", {}),
        ("q1.a* q2.a", {"cancel": "q1.a"}),
        ("q1.a q2.a", {"drop": "q1.a", "begin": "q2.a"}),
        ("q1.a* q1.b q2.a q3.a q3.b", {"cancel": "q1.a", "drop": "q1.b q2.a"}),
        ("q1.a q2.a*", {"drop": "q1.a"}),
        ("q1.a* q2.a*", {}),
    ],
)
def test_the_newest_question_wins_where_answers_are_restarted(turns: str, todo: dict[str, str]) -> None:
    assert decided("cancel-and-restart", turns) == todo


turn_names = st.lists(
    st.builds(
        lambda number, model, under_way: f"q{number}.{model}{'*' * under_way}",
        st.integers(1, 6),
        st.sampled_from("abcd"),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda name: name.removesuffix("*"),
).map(sorted)


@given(turn_names, st.sampled_from(["queue", "parallel", "cancel-and-restart"]))
def test_no_more_begin_than_may_be_open(names: list[str], concurrency: Concurrency) -> None:
    turns = [a_turn(name) for name in names]
    decision = next_turns(turns, concurrency)
    assert_possible(turns, decision)
    if decision.begin:
        goes_on = sum(turn.open for turn in turns)
        assert goes_on + len(decision.begin) <= decision.most <= PARALLEL_MAX
        assert concurrency != "queue" or decision.most == 1


@given(turn_names, st.sampled_from(["queue", "parallel", "cancel-and-restart"]))
def test_whatever_waits_is_seen_to_in_the_end(names: list[str], concurrency: Concurrency) -> None:
    turns = [a_turn(name) for name in names]
    for _ in range(2 * len(turns) + 1):
        decision = next_turns(turns, concurrency)
        assert_possible(turns, decision)
        begun = {turn.id for turn in decision.begin}
        gone = {turn.id for turn in (*decision.cancel, *decision.drop)}
        turns = [a_turn(f"{turn.id}*") if turn.id in begun else turn for turn in turns if turn.id not in gone]
        if not (begun or gone):  # then an answer ends
            over = next((turn for turn in turns if turn.open), None)
            assert over is not None or not turns
            turns = [turn for turn in turns if turn is not over]
    assert not turns


def assert_possible(turns: list[Turn], decision: Decision) -> None:
    assert all(turn.open for turn in decision.cancel)
    assert not any(turn.open for turn in (*decision.drop, *decision.begin))
    assert not set(decision.drop) & set(decision.begin)
    assert {*decision.cancel, *decision.drop, *decision.begin} <= set(turns)


# -- what a model is told


def a_place(seq: int, post: Post) -> Place:
    return Place(post, Position(seq, 7), Position(seq, 7))


def words(seq: int, text: str, name: str = "Ann", **fields: Any) -> Place:
    """What a person says."""
    return a_place(seq, Post(id=f"m{seq}", at=0.0, text=text, **{"by": f"user:{name}", "name": name, **fields}))


def answer(seq: int, text: str, to: int, model: str = "a", status: str = "completed", **fields: Any) -> Place:
    """What a model says to the message of that seq."""
    post = Post(
        id=f"m{seq}",
        by="user:Ann",
        name=model,
        at=0.0,
        text=text,
        run="run",
        model=model,
        asked=f"m{to}",
        status=status,
        **fields,
    )
    return a_place(seq, post)


def told(places: list[Place], to: int, model: str = "a", budget_bytes: int = PLENTY) -> list[str]:
    """The conversation, a line for each message: `Ann: hi` of a person, `= hi` of the model, `b= hi` of another."""
    (asked,) = [place for place in places if place.created.seq == to]
    return [line(message) for message in conversation(places, asked, model, budget_bytes)]


def line(message: Message) -> str:
    assert message.role in ("user", "assistant")
    return f"{message.name or ''}{':' if message.role == 'user' else '='} {message.content}"


def test_people_have_names_and_the_model_its_own_answers() -> None:
    talk = [
        words(1, "hi"),
        answer(2, "I am a.", to=1),
        words(3, "and you?", "Bob"),
        answer(4, "I am b.", to=3, model="b"),
        words(5, "so?"),
    ]
    before = ["Ann: hi", "= I am a.", "Bob: and you?", "b= I am b.", "Ann: so?"]
    assert told(talk, to=5) == before
    assert told(talk, to=5, model="b") == ["Ann: hi", "a= I am a.", "Bob: and you?", "= I am b.", "Ann: so?"]
    assert told(talk, to=3) == before[:3]


def test_two_people_of_one_name_are_told_apart() -> None:
    talk = [words(1, "hi", by="user:1"), words(2, "ho", by="user:2"), words(3, "hm", "Bob")]
    assert told(talk, to=3) == ["Ann (user:1): hi", "Ann (user:2): ho", "Bob: hm"]


def test_deleted_empty_and_unfinished_ones_are_left_out_and_broken_ones_are_not() -> None:
    talk = [
        words(1, "hi"),
        words(2, "", deleted=True),
        answer(3, "", to=1, deleted=True),
        answer(4, "", to=1, status="in_progress"),
        answer(5, "", to=1, model="b", status="failed", reason="upstream_error"),
        answer(6, "I am", to=1, model="c", status="cancelled"),
        answer(7, "It is", to=1, status="incomplete", parts=[{"reasoning": "hm"}, {"text": "It is"}]),
        words(8, "so?"),
    ]
    assert told(talk, to=8) == ["Ann: hi", "= It is", "c= I am", "Ann: so?"]


def test_each_answer_stands_behind_its_question_and_later_ones_are_left_out() -> None:
    talk = [
        words(1, "one"),
        words(2, "two", "Bob"),
        words(3, "three"),
        answer(4, "to one", to=1),
        words(5, "four", "Bob"),
        answer(6, "to two", to=2),
        answer(7, "of b to three", to=3, model="b"),
        answer(8, "to four", to=5),
    ]
    assert told(talk, to=3) == ["Ann: one", "= to one", "Bob: two", "= to two", "Ann: three"]


def test_an_answer_whose_question_is_not_there_is_left_out() -> None:
    assert told([answer(4, "of old", to=1), words(5, "hi"), words(6, "so?")], to=6) == ["Ann: hi", "Ann: so?"]


def test_no_conversation_begins_with_an_answer() -> None:
    talk = [words(1, "", deleted=True), answer(2, "of old", to=1), words(3, "hi"), answer(4, "ho", to=3), words(5, "?")]
    assert told(talk, to=5) == ["Ann: hi", "= ho", "Ann: ?"]
    assert told(talk, to=5, budget_bytes=len("ho" + "Ann?")) == ["Ann: ?"]


def test_the_asked_message_is_whole_whatever_it_takes() -> None:
    assert told([words(1, "hi"), words(2, "x" * 500)], to=2, budget_bytes=1) == ["Ann: " + "x" * 500]


def test_whole_messages_are_cut_off_from_the_oldest_by_their_bytes() -> None:
    talk = [words(1, "one"), words(2, "zwö"), words(3, "three")]
    assert told(talk, to=3, budget_bytes=len("Ann") * 2 + 4 + 5) == ["Ann: zwö", "Ann: three"]
    assert told(talk, to=3, budget_bytes=len("Ann") * 2 + 4 + 4) == ["Ann: three"]


@st.composite
def talks(draw: st.DrawFn) -> list[Place]:
    places = [words(1, "first")]
    for seq in range(2, draw(st.integers(2, 12))):
        text = draw(st.text(max_size=9))
        if draw(st.booleans()):
            places.append(words(seq, text, draw(st.sampled_from(["Ann", "Bob"])), deleted=draw(st.booleans())))
        else:
            models, statuses = st.sampled_from("abc"), st.sampled_from(["completed", "failed", "in_progress"])
            places.append(answer(seq, text, draw(st.integers(1, seq)), draw(models), draw(statuses)))
    return [*places, words(99, "so?")]


@given(talks(), st.integers(0, 150))
def test_a_conversation_keeps_to_its_budget_and_is_the_end_of_the_whole_one(talk: list[Place], budget: int) -> None:
    asked = talk[-1]
    whole = conversation(talk, asked, "a", PLENTY)
    cut = conversation(talk, asked, "a", budget)
    assert cut == whole[-len(cut) :]
    assert (cut[-1].content, cut[0].role) == ("so?", "user")
    assert len(cut) == 1 or size_of(cut) <= budget
    if size_of(whole) <= budget:
        assert cut == whole
    if len(cut) < len(whole):  # nothing that had room was left out: up to the person's words before it
        left_out = whole[: -len(cut)]
        since = max(number for number, message in enumerate(left_out) if message.role == "user")
        assert size_of([*left_out[since:], *cut]) > budget


@given(talks())
def test_what_a_conversation_takes_is_what_it_would_take_whole(talk: list[Place]) -> None:
    whole = conversation_bytes(talk, talk[-1], "a")
    assert conversation(talk, talk[-1], "a", whole) == conversation(talk, talk[-1], "a", PLENTY)
    assert size_of(conversation(talk, talk[-1], "a", PLENTY)) <= whole


def size_of(messages: list[Message]) -> int:
    return sum(len(str(message.content).encode()) + len((message.name or "").encode()) for message in messages)
