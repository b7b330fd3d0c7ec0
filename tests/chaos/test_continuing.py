"""A kill has its witnesses, and whoever was kept waiting for too long is noticed, unless more was wrong."""

from pathlib import Path

import httpx2
import pytest

from tests.chaos.continuing import PROMISED_S, Wait, waits
from tests.chaos.faults import Havoc, Window
from tests.chaos.load import Asked, Kill, Load
from tests.chaos.questions import Question
from tests.chaos.report import Tally
from tests.chaos.stored import Stored
from tests.chaos.streams import Chat, Ndjson
from tests.chaos.subscribers import Subscriber
from tests.chaos.test_checks import ATTEMPT, end, stored, text
from tests.chaos.world import World

KILLED_AT, LEASE_S = 100.0, 3.0
WITHIN_S = LEASE_S + PROMISED_S
RUN = stored(text("one "), {**ATTEMPT, "tag": 2}, text("two"), end())
CLIENT = httpx2.AsyncClient()


def aware(heard_at: float) -> Subscriber:
    """One that is told of the takeover then."""
    subscriber = Ndjson(lambda: "", "run_1", CLIENT)
    subscriber.opened = [KILLED_AT - 1]
    subscriber.resumed_at[2] = heard_at
    return subscriber


def unaware(*grown: tuple[float, int]) -> Subscriber:
    """One whose text was so long then."""
    subscriber = Chat(lambda: "", "run_1", CLIENT)
    subscriber.opened = [KILLED_AT - 1]
    subscriber._grown = list(grown)
    return subscriber


def wait_of(
    subscriber: Subscriber, *troubles: Window, lost: Window | None = None, run: Stored = RUN, fault: str = ""
) -> Wait | None:
    havoc = Havoc(Load(World(Path(), "seed", lease_s=LEASE_S), "load", Tally()), "havoc")
    havoc.troubles = [Window(KILLED_AT, KILLED_AT), *troubles]
    havoc.windows = [lost] if lost is not None else []
    asked = Asked(Question("steady", {}, "one two", fault=fault), "run_1", 0.0, 0.0, kills=[Kill(KILLED_AT, 1)])
    asked.subscribers.append(subscriber)
    return next(waits(asked, run, havoc), None)


def test_who_is_told_of_attempts_waits_for_the_next() -> None:
    assert wait_of(one := aware(104.0)) == Wait(one, 4.0, WITHIN_S, bounded=True)


def test_who_is_not_waits_for_text_beyond_what_was_shown_before_the_kill() -> None:
    one = unaware((99.0, 2), (100.1, 4), (104.5, 7))
    assert wait_of(one) == Wait(one, 4.5, WITHIN_S, bounded=True)


def test_where_nobody_took_over_the_end_is_waited_for() -> None:
    one = aware(0.0)
    one.ended_at = 105.5
    wait = wait_of(one, run=stored(text("one "), end("incomplete", reason="producer_lost")))
    assert wait is not None and wait.late and wait.bounded


def test_who_lost_the_connection_has_time_to_be_back() -> None:
    one = aware(106.0)
    assert (wait := wait_of(one)) and wait.late
    one.opened.append(103.0)
    assert (wait := wait_of(one)) and not wait.late


@pytest.mark.parametrize("trouble", [Window(98.0, 98.5), Window(90.0), Window(104.9, 110.0)])
def test_what_else_was_wrong_near_a_kill_excuses(trouble: Window) -> None:
    assert (wait := wait_of(aware(109.0), trouble)) and wait.late and not wait.bounded


@pytest.mark.parametrize("trouble", [Window(95.0, 96.9), Window(105.1, 110.0)])
def test_what_was_wrong_at_another_time_does_not(trouble: Window) -> None:
    assert (wait := wait_of(aware(109.0), trouble)) and wait.late and wait.bounded


def test_an_upstream_that_fails_excuses_too() -> None:
    assert (wait := wait_of(aware(109.0), fault="stall")) and not wait.bounded


def test_who_came_later_or_left_before_is_no_witness() -> None:
    late, left = aware(104.0), aware(104.0)
    late.opened = [101.0]
    left.resumed_at.clear()
    assert wait_of(late) is None and wait_of(left) is None


def test_nobody_is_where_writes_were_lost_after_it() -> None:
    one = aware(104.0)
    one.ended_at = 106.0
    assert wait_of(one, lost=Window(105.5, 107.0)) is None
    for lost in (Window(90.0, 91.0), Window(107.0, 108.0)):
        assert wait_of(one, lost=lost) == Wait(one, 4.0, WITHIN_S, bounded=True)
