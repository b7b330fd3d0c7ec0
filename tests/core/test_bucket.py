"""How fast somebody may go."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.bucket import Bucket, Rate

RATE = Rate(per_s=2, burst=4)


def emptied(now: float = 100.0) -> Bucket:
    bucket = Bucket(RATE)
    assert [bucket.take(now) for _ in range(RATE.burst + 1)] == [True] * RATE.burst + [False]
    return bucket


@pytest.mark.parametrize("start", [0.0, 1e9, -1e9])
def test_it_is_full_whenever_it_begins(start: float) -> None:
    emptied(start)


def test_it_fills_again_with_time() -> None:
    bucket = emptied(100.0)
    assert not bucket.take(100.25)
    assert bucket.take(100.5) and not bucket.take(100.5)
    assert bucket.take(101.5) and bucket.take(101.5) and not bucket.take(101.5)


def test_it_never_holds_more_than_a_burst() -> None:
    bucket = emptied(100.0)
    assert [bucket.take(1e6) for _ in range(RATE.burst + 1)] == [True] * RATE.burst + [False]


def test_what_is_refused_costs_nothing() -> None:
    bucket = emptied(100.0)
    assert not any(bucket.take(100.25) for _ in range(100))
    assert bucket.take(100.5)


def test_a_time_that_was_told_before_fills_nothing_again() -> None:
    bucket = emptied(100.0)
    assert bucket.take(100.5)
    assert not bucket.take(100.0) and not bucket.take(100.5)
    assert bucket.take(101.0)


@given(
    st.floats(0.01, 1e4),
    st.integers(1, 50),
    st.lists(st.one_of(st.just(0.0), st.floats(-1e3, 1e3), st.floats(0, 1e4)), max_size=100),
)
def test_in_no_span_of_time_more_is_taken_than_a_burst_and_what_came_in(
    per_s: float, burst: int, steps: list[float]
) -> None:
    bucket = Bucket(Rate(per_s=per_s, burst=burst))
    now, latest = 1e3, -math.inf  # it has been told no time yet
    taken: list[float] = []
    for step in steps:
        now += step
        latest = max(latest, now)
        if bucket.take(now):
            taken.append(latest)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) * per_s + 1e-3


@given(st.floats(0.01, 1e4), st.integers(1, 50), st.floats(0, 1e6))
def test_whoever_waits_for_one_gets_it(per_s: float, burst: int, now: float) -> None:
    bucket = Bucket(Rate(per_s=per_s, burst=burst))
    while bucket.take(now):
        pass
    assert bucket.take(now + 1.001 / per_s + 1e-6)
