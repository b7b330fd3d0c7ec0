"""What chaos holds against a run: each of its charges can be brought."""

import json
from typing import Any

import pytest

from tests.chaos.checks import judge_run, kind_of
from tests.chaos.load import Asked
from tests.chaos.questions import Question
from tests.chaos.stored import Stored, stored_from
from tests.support.upstream import Exchange, Script

WHOLE = "one two three"
ATTEMPT: dict[str, Any] = {"event": "attempt", "number": 2, "reason": "takeover", "how": "continued"}


def log(*events: dict[str, Any], tag: int = 1) -> str:
    """The lines of a log; an event's own `tag` is also that of what follows."""
    lines: list[dict[str, Any]] = [{"event": "run", "id": "run_1", "status": "in_progress", "model": "steady"}]
    for seq, event in enumerate(events):
        tag = event.pop("tag", tag)
        lines.append(event | {"id": f"{seq + 1}-{tag}", "after": seq, "seq": seq + 1})
    return "".join(json.dumps(line) + "\n" for line in lines)


def text(piece: str, **more: Any) -> dict[str, Any]:
    return {"event": "delta", "text": piece, **more}


def end(status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"event": "end", "status": status, **more}


def stored(*events: dict[str, Any], **fields: Any) -> Stored:
    """The run of this log, as the server would give it, but for `fields`."""
    made = stored_from({}, log(*events))
    run = {"id": "run_1", "status": made.end["status"], "reason": made.end.get("reason"), "output": made.text}
    made.run = run | {"attempts": [], "usage": None, "error": None} | fields
    return made


def charges(run: Stored, *, model: str = "steady", cancelled: bool = False, script: Script | None = None) -> list[str]:
    """What is brought against it."""
    question = Question(model, {}, WHOLE, script=script)
    asked = Asked(question, "run_1", 0.0, 0.0, cancelled_at=1.0 if cancelled else 0.0, cancel_owed=cancelled)
    return [kind for kind, _ in judge_run(asked, run, [Exchange("POST", "/", {}, None, status=200)])]


def test_a_run_that_is_whole_is_charged_with_nothing() -> None:
    assert charges(stored(text(WHOLE), end())) == []
    assert charges(stored(text("one "), {**ATTEMPT, "tag": 2}, text("two three"), end())) == []


@pytest.mark.parametrize(
    ("run", "charge"),
    [
        (stored(text("one "), end()), "false completed"),
        (stored(text("one "), end("incomplete", reason="producer_lost")), "not whole"),
        (stored(text("one one "), end("incomplete")), "wrong texts"),
        (stored(text(WHOLE), end(), output="one"), "wrong texts"),
        (stored(text("one"), end("cancelled")), "wrong texts"),
        (stored(text("one "), {**ATTEMPT, "number": 3}, text("two three"), end()), "wrong attempts"),
        (stored(text("one "), {**ATTEMPT, "how": "restarted"}, text(WHOLE), end()), "wrong attempts"),
        (stored(text("one "), text("two ", tag=2), text("three", tag=1), end()), "wrong attempts"),
        (
            stored(text(WHOLE), end(usage={"output_tokens": 3}), attempts=[{"usage": {"output_tokens": 2}}]),
            "wrong attempts",
        ),
    ],
    ids=[
        "half an answer is completed",
        "an answer that can be continued is given up",
        "something came twice",
        "the run is read otherwise than its log",
        "nobody cancelled it",
        "an attempt is missing",
        "what could be continued is withdrawn",
        "an old writer wrote once more",
        "usage is not the sum",
    ],
)
def test_a_broken_promise_is_charged(run: Stored, charge: str) -> None:
    assert charge in charges(run)


def test_what_cannot_be_continued_may_not_be_withdrawn_unasked() -> None:
    run = stored(text("one "), {**ATTEMPT, "how": "restarted"}, text(WHOLE), end())
    assert charges(run, model="brittle") == ["wrong attempts"]
    assert charges(run, model="anew") == []


def test_a_cancel_that_was_accepted_is_how_it_ends() -> None:
    assert charges(stored(text(WHOLE), end()), cancelled=True) == ["false completed"]
    assert charges(stored(text("one "), end("cancelled")), cancelled=True) == []


def test_completed_is_false_where_no_upstream_said_so() -> None:
    assert charges(stored(text(WHOLE), end()), script=Script(fault="done")) == ["false completed"]


def test_a_gap_and_a_repeat_are_told_apart() -> None:
    for events, kind in (([text("a"), text("c", gap=2)], "gaps"), ([text("a"), text("a", gap=-1)], "repeats")):
        lines = log(*events).splitlines()
        last = json.loads(lines[-1])
        shift = last.pop("gap")
        lines[-1] = json.dumps(last | {"after": last["after"] + shift, "seq": last["seq"] + shift})
        with pytest.raises(AssertionError) as caught:
            stored_from({}, "\n".join(lines))
        assert kind_of(caught.value) == kind
