"""The table of a run's life, and the ends that may be said."""

import itertools
from typing import get_args

import pytest

from headwater.core.events import FinishReason, Status, Usage
from headwater.core.lifecycle import ENDED, TRANSITIONS, end_cancelled, end_failed, end_finished, end_incomplete

STATUSES: tuple[Status, ...] = get_args(Status)
USAGE = Usage(3, 4)


def test_every_status_is_in_the_table_and_nowhere_else() -> None:
    assert set(TRANSITIONS) == set(STATUSES)
    assert set().union(*TRANSITIONS.values()) <= set(STATUSES)


def test_four_statuses_are_ends() -> None:
    assert {"completed", "failed", "cancelled", "incomplete"} == ENDED


def test_a_run_never_goes_back() -> None:
    """No way leads from a status to itself, whatever steps it takes."""

    def reachable(status: Status) -> set[Status]:
        return set(TRANSITIONS[status]).union(*(reachable(after) for after in TRANSITIONS[status]))

    assert not [status for status in STATUSES if status in reachable(status)]
    assert reachable("queued") == set(STATUSES) - {"queued"}


def test_a_run_completes_only_out_of_progress() -> None:
    assert [one for one, following in TRANSITIONS.items() if "completed" in following] == ["in_progress"]


@pytest.mark.parametrize("finish", get_args(FinishReason))
def test_only_stop_and_tool_calls_complete(finish: FinishReason) -> None:
    end = end_finished(finish, USAGE)
    assert (end.finish_reason, end.usage, end.error) == (finish, USAGE, None)
    if finish in ("stop", "tool_calls"):
        assert (end.status, end.reason) == ("completed", None)
    else:
        assert (end.status, end.reason) == ("incomplete", finish)


def test_what_stops_short_says_why() -> None:
    for end, status in (
        (end_incomplete("drained", "why", USAGE), "incomplete"),
        (end_failed("internal_error", "why", USAGE), "failed"),
    ):
        assert end.status == status
        assert end.usage == USAGE
        assert end.error is not None
        assert (end.error.code, end.error.detail) == (end.reason, "why")


def test_how_an_upstream_refused_is_kept() -> None:
    for end in (
        end_failed("upstream_error", "why", upstream_status=429, retry_after_s=7.5),
        end_incomplete("upstream_cut", "why", upstream_status=429, retry_after_s=7.5),
    ):
        assert end.error is not None
        assert (end.error.upstream_status, end.error.retry_after_s) == (429, 7.5)


def test_a_cancelled_end_blames_nobody() -> None:
    end = end_cancelled(USAGE)
    assert (end.status, end.reason, end.error, end.finish_reason, end.usage) == ("cancelled", None, None, None, USAGE)


def test_every_end_may_follow_progress() -> None:
    ends = [end_cancelled(), end_failed("upstream_error", ""), end_incomplete("length", ""), end_finished("stop", None)]
    assert {end.status for end in ends} == TRANSITIONS["in_progress"]
    assert not list(itertools.chain(*(TRANSITIONS[end.status] for end in ends)))
