"""Upstreams that fail again and again rest, and are tried again."""

from headwater.executor.breakers import MODELS_MAX, REST_TIMES_MAX, Breakers


def failing(times: int, *, at: float = 0.0) -> Breakers:
    breakers = Breakers(3, 10.0)
    for _ in range(times):
        breakers.failed("fast", at)
    return breakers


def test_a_few_failures_are_chance() -> None:
    breakers = failing(2)
    assert not breakers.rests("fast", 0.0)
    assert breakers.failed("fast", 0.0), "the one that makes it rest says so"
    assert breakers.rests("fast", 9.9)
    assert not breakers.rests("other", 0.0)


def test_an_answer_makes_them_forgotten() -> None:
    breakers = failing(2)
    breakers.answered("fast")
    assert not breakers.failed("fast", 0.0)
    assert not breakers.rests("fast", 0.0)


def test_after_its_rest_one_tries_and_the_others_wait_for_what_comes_of_it() -> None:
    breakers = failing(3)
    assert not breakers.rests("fast", 10.0)
    breakers.asked("fast", 10.0)
    assert breakers.rests("fast", 10.0)
    breakers.answered("fast")
    assert not breakers.rests("fast", 10.0)


def test_each_rest_is_longer_up_to_a_limit() -> None:
    breakers, now, rests = failing(3), 0.0, []
    for _ in range(6):
        now += 10.0 * REST_TIMES_MAX
        breakers.asked("fast", now)
        breakers.failed("fast", now)
        rests.append(next(s for s in range(1, 200) if not breakers.rests("fast", now + s)))
    assert rests == [20, 40, 80, 80, 80, 80]


def test_those_that_were_under_way_make_no_rest_longer() -> None:
    breakers = failing(20)
    assert not breakers.rests("fast", 10.0)


def test_one_that_asks_for_it_is_left_alone_at_once_and_not_for_good() -> None:
    breakers = Breakers(3, 10.0)
    assert breakers.failed("fast", 0.0, 60.0)
    assert breakers.rests("fast", 59.0)
    assert not breakers.rests("fast", 60.0)
    breakers.failed("fast", 60.0, 1e9)
    assert not breakers.rests("fast", 60.0 + 10.0 * REST_TIMES_MAX)


def test_of_many_names_the_latest_are_known() -> None:
    breakers = failing(3)
    for number in range(MODELS_MAX):
        breakers.failed(f"m{number}", 0.0)
    assert not breakers.rests("fast", 0.0)
