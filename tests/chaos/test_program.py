"""What the programs refuse, so that nobody takes nothing for a proof; and what they say at the end."""

import pytest

from tests.chaos.__main__ import main
from tests.chaos.report import Pace, Tally
from tests.simulation.__main__ import main as simulate


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--minutes 0", "--minutes"),
        ("--minutes inf", "--minutes"),
        ("--workers 0", "--workers"),
        ("--only takeover --times 0", "--times"),
        ("--times 3", "--times"),
        ("--only upstream --times 3", "--times"),
        ("--only rolling --minutes 1", "--minutes"),
        ("--only rolling --workers 2", "--workers"),
    ],
)
def test_what_would_prove_nothing_or_be_passed_over_is_refused(
    arguments: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_no_schedules_prove_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        simulate(["--schedules", "0"])
    assert caught.value.code == 2
    assert "--schedules" in capsys.readouterr().err


def test_the_verdict_says_what_came_of_it_and_how_to_have_it_again() -> None:
    tally = Tally()
    assert tally.verdict("make it") == "nothing is proven: 0 runs had 0 subscribers; the same draws again: make it"
    tally.runs = tally.subscribers = 3
    assert tally.unproven == "nothing went wrong"
    tally.faults["kills"] += 1
    assert tally.verdict("make it") == "every promise was kept; the same draws again: make it"
    tally.fail("gaps", "one")
    assert tally.verdict("make it") == "promises broken: 1; the same draws again: make it"


def test_it_is_never_further_than_the_whole() -> None:
    pace = Pace(2)
    assert pace.share == 0.0
    pace.step(1e-9)
    assert pace.share == 0.5
    pace.step(1e9)
    assert 0.5 <= pace.share < 0.51
