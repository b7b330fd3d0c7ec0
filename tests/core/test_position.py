"""A position is written one way, and everything else is refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.position import SEQ_MAX, START, TAG_MAX, Position, parse_position


@given(st.integers(1, SEQ_MAX), st.integers(1, TAG_MAX))
def test_what_is_written_is_read(seq: int, tag: int) -> None:
    assert parse_position(str(Position(seq, tag))) == Position(seq, tag)


def test_the_start_can_be_asked_for() -> None:
    assert parse_position("0-0") == START
    assert str(START) == "0-0"


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "1", "1-", "-1", "1-2-3", "01-2", "1-02", "+1-2", "1 -2", "1-2\n", "１-2", "1-2x", "0x1-2",
        "1-0", "0-1", f"{SEQ_MAX + 1}-1", f"1-{TAG_MAX + 1}", "9" * 400 + "-1",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        parse_position(text)
