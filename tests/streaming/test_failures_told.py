"""An operator sees why answers fail, and is not drowned in it."""

import logging

import pytest

from headwater.core.events import End
from headwater.core.lifecycle import end_failed, end_incomplete
from headwater.executor.failures import COMPLAIN_S, MODELS_MAX, Failures

DOWN = end_failed("upstream_error", "It answered 503:\nbusy.", upstream_status=503)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "headwater.executor")
    return caplog


def test_a_failure_is_told_with_its_model_and_why_on_one_line(lines: pytest.LogCaptureFixture) -> None:
    Failures().note("m", DOWN, 0.0)
    assert lines.messages == ["model 'm' failed: upstream_error: 'It answered 503:\\nbusy.'; 0 more before it"]


def test_what_did_not_fail_is_not_told(lines: pytest.LogCaptureFixture) -> None:
    for end in (End("completed", "stop"), End("cancelled"), end_incomplete("drained", "bye")):
        Failures().note("m", end, 0.0)
    assert not lines.messages


def test_many_failures_of_a_model_are_a_line_in_a_while_and_their_number(lines: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    for n in range(5):
        failures.note("m", DOWN, n * COMPLAIN_S / 5)
    failures.note("other", DOWN, 1.0)
    failures.note("m", DOWN, COMPLAIN_S)
    failures.note("m", DOWN, 2 * COMPLAIN_S)
    assert [(line.split()[1], line.split(";")[1]) for line in lines.messages] == [
        ("'m'", " 0 more before it"), ("'other'", " 0 more before it"),
        ("'m'", " 4 more before it"), ("'m'", " 0 more before it"),
    ]  # fmt: skip


def test_what_is_remembered_of_models_has_a_limit(lines: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    for n in range(MODELS_MAX + 1):
        failures.note(f"m{n}", DOWN, 0.0)
    lines.clear()
    failures.note(f"m{MODELS_MAX}", DOWN, 0.0)
    assert not lines.messages
    failures.note("m0", DOWN, 0.0)
    assert len(lines.messages) == 1
