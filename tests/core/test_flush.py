"""The flush window opens where it pays."""

import pytest

from headwater.core.flush import BUSY_WRITES_PER_S, FEW_SUBSCRIBERS, HUMAN_EVENTS_PER_S, flush_window


def window(subscribers: int = 1, events_per_s: float = 50, writes_per_s: float = 0) -> float:
    return flush_window(
        subscribers=subscribers, events_per_s=events_per_s, writes_per_s=writes_per_s, window_s=0.025, busy_s=0.1
    )


def test_one_reader_at_human_speed_waits_for_no_timer() -> None:
    assert window() == 0
    assert window(subscribers=FEW_SUBSCRIBERS, events_per_s=HUMAN_EVENTS_PER_S) == 0


@pytest.mark.parametrize(("subscribers", "events_per_s"), [(FEW_SUBSCRIBERS + 1, 1), (1, HUMAN_EVENTS_PER_S + 1)])
def test_many_readers_or_a_fast_stream_get_the_window(subscribers: int, events_per_s: float) -> None:
    assert window(subscribers, events_per_s) == 0.025


def test_a_busy_worker_widens_it_up_to_a_limit() -> None:
    at_load = [window(500, 50, BUSY_WRITES_PER_S * load) for load in (0.5, 1, 2, 4, 1000)]
    assert at_load == [0.025, 0.025, 0.05, 0.1, 0.1]


def test_a_busy_limit_below_the_window_does_not_narrow_it() -> None:
    assert flush_window(subscribers=9, events_per_s=1, writes_per_s=1e9, window_s=0.025, busy_s=0) == 0.025


def test_no_window_is_no_window() -> None:
    assert flush_window(subscribers=9, events_per_s=1, writes_per_s=0, window_s=0, busy_s=0) == 0
