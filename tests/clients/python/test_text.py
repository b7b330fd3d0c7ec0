"""Text that was given out stays given out, or an error says that it does not."""

import pytest

from headwater_client import Attempt, Delta, End, Failure, NotCompleted, Part, Run, RunEvent, Snapshot, TakenBack
from headwater_client.core.text import TextTail

RUN = Run(id="run_1", status="queued", model="demo", created_at=0.0, position="0-0")


def given(*events: RunEvent) -> list[str]:
    tail = TextTail()
    pieces = [piece for event in events if (piece := tail.take(event, RUN))]
    assert tail.text == "".join(pieces)
    return pieces


def delta(text: str | None, reasoning: str | None = None) -> Delta:
    return Delta(0, 1, "1-1", text, reasoning)


def snapshot(text: str) -> Snapshot:
    return Snapshot(1, "1-1", (Part(reasoning="hm"), Part(text=text)))


def attempt(how: str) -> Attempt:
    return Attempt(0, 1, "1-1", 2, "takeover", "restarted" if how == "restarted" else "continued")


def test_only_text_is_given() -> None:
    assert given(delta("a"), delta(None, reasoning="hm"), attempt("continued"), delta("b")) == ["a", "b"]


def test_of_a_snapshot_only_what_is_new_is_given() -> None:
    assert given(snapshot("ab"), delta("c"), snapshot("abcd"), delta("e")) == ["ab", "c", "d", "e"]


def test_what_is_not_so_any_more_is_an_error() -> None:
    for event in (snapshot("b"), snapshot(""), attempt("restarted")):
        with pytest.raises(TakenBack):
            given(delta("a"), event)


def test_a_restart_before_the_first_word_takes_nothing_back() -> None:
    assert given(attempt("restarted"), delta("a")) == ["a"]


def test_a_part_is_not_taken_for_the_whole() -> None:
    assert given(delta("a"), End(1, 2, "2-1", "completed")) == ["a"]
    with pytest.raises(NotCompleted, match="incomplete: length") as caught:
        given(delta("a"), End(1, 2, "2-1", "incomplete", reason="length"))
    assert (caught.value.text, caught.value.code) == ("a", "length")
    with pytest.raises(NotCompleted, match="it burned"):
        given(End(1, 2, "2-1", "failed", reason="upstream_error", error=Failure("upstream_error", "it burned")))
    with pytest.raises(NotCompleted) as caught:
        given(End(1, 2, "2-1", "cancelled"))
    assert caught.value.code == "cancelled"
