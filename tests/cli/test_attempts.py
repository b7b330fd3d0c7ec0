"""What `chat` and `watch` say of an answer that changes hands: one line on stderr, and none in the answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest

from headwater.cli.answer import _Reader
from headwater.cli.attempts import how_it_goes_on
from headwater.cli.terminal import Terminal
from headwater_client import AsyncWatch, Attempt, Delta, End, RunEvent


class Watch:
    """A run of these events."""

    run_id, position, parts = "run_1", "9-1", ()

    def __init__(self, events: Sequence[RunEvent]) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[RunEvent]:
        for event in self._events:
            yield event


def delta(text: str) -> Delta:
    return Delta(0, 1, "1-1", text)


END = End(8, 9, "9-1", "completed", "stop")
TAKEN_OVER = Attempt(1, 2, "2-1", 2, "takeover", "continued")
ANEW = Attempt(1, 2, "2-1", 2, "failover", "restarted", "backup")


def read(*events: RunEvent) -> int:
    """The exit code."""
    return asyncio.run(_Reader(cast(AsyncWatch, Watch(events)), None, Terminal("http://app.test")).to_the_end())


def test_one_that_is_continued_is_one_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert read(delta("to"), TAKEN_OVER, delta("gether"), END) == 0
    assert capsys.readouterr() == ("together\n", "continued after its worker was lost\n")


def test_one_that_begins_anew_is_no_success_where_its_beginning_cannot_be_taken_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert read(delta("old"), ANEW, delta("new"), END) == 1
    out, err = capsys.readouterr()
    assert out == "old" and err.startswith("headwater: the answer was begun anew")


def test_before_the_first_word_nothing_is_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert read(ANEW, delta("new"), END) == 0
    assert capsys.readouterr().out == "new\n"


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (ANEW, "begun anew by backup"),
        (Attempt(1, 2, "2-1", 2, "drain", "continued"), "continued by the next worker"),
        (Attempt(1, 2, "2-1", 2, "failover", "continued"), "continued, after a fault of the model's server"),
        (Attempt(1, 2, "2-1", 2, "failover", "continued", "two\nlines"), "continued by two lines"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_says_who_goes_on_and_how(attempt: Attempt, said: str) -> None:
    assert how_it_goes_on(attempt) == said
