"""A large answer is repeated when it ends: made once, those bytes are the same for all readers."""

from collections.abc import Sequence

import pytest

from headwater.core.events import Attempt, End, Entry, Event, Reasoning, Text
from headwater.core.position import START
from headwater.formats.base import LARGE_BYTES, After, Frame, joined
from headwater.formats.responses import Responses
from tests.core.logs import log_of
from tests.formats.responses import encoder_of, events

BIG = "x" * (LARGE_BYTES + 1)
DONE = End("completed", "stop")


def whole(frame: Frame) -> bytes:
    return b"".join((frame.data, *frame.rest))


def large(frame: Frame) -> list[bytes]:
    return [piece for piece in (frame.data, *frame.rest) if len(piece) > LARGE_BYTES]


def entries(*given: Event) -> list[Entry]:
    return log_of([(7, [event]) for event in given])


def test_small_pieces_are_joined_and_large_ones_stay_as_they_are() -> None:
    big = BIG.encode()
    assert joined([b"a", b"b"], After.CLOSE) == Frame(b"ab", After.CLOSE)
    assert joined([]) == Frame(b"")
    frame = joined([b"a", b"b", big, b"c", b"d", big])
    assert (frame.data, frame.rest) == (b"ab", (big, b"cd", big))
    assert frame.rest[0] is frame.rest[2] is big


@pytest.mark.parametrize(
    ("given", "shared"),
    [([Text(BIG), DONE], 4), ([Reasoning(BIG), Text("a"), DONE], 4)],
    ids=["the end", "an item that ends before it"],
)
def test_what_repeats_a_large_answer_is_made_once_for_all_readers(given: Sequence[Event], shared: int) -> None:
    log = entries(*given)
    encoder = encoder_of(log)
    one, two = ([encoder.encode([entry]) for entry in log[1:]] for _ in range(2))
    first, second = ([piece for frame in frames for piece in large(frame)] for frames in (one, two))
    assert len(first) == shared
    assert all(mine is yours for mine, yours in zip(first, second, strict=True))
    together = encoder.encode(log)
    assert [id(piece) for piece in large(together)[1:]] == [id(piece) for piece in first], (
        "however much is read at once"
    )


def test_large_pieces_make_the_same_events_as_small_ones() -> None:
    small, big = (entries(Reasoning(text), Text(text), DONE) for text in ("s", BIG))
    told = [events(whole(encoder_of().encode(log))) for log in (small, big)]
    assert [(e["type"], e["sequence_number"]) for e in told[0]] == [(e["type"], e["sequence_number"]) for e in told[1]]
    assert told[1][-1]["response"]["output"][1]["content"][0]["text"] == BIG


def test_what_was_made_of_an_end_is_forgotten_with_it() -> None:
    encoder = encoder_of(entries(Text("lost"), DONE))
    assert b"lost" in whole(encoder.encode(entries(Text("lost"), DONE)[1:]))
    encoder.forget()
    assert b"lost" not in whole(encoder.encode(log_of([(9, [Text("kept")]), (9, [DONE])])))


# -- the encoder was told beyond what a reader's window has, and the store lost that


def rewritten() -> tuple[Responses, list[Entry]]:
    """An encoder that knows what was lost, and the history with what was written in its place."""
    kept, lost, too = log_of([(7, [Text("kept ")]), (7, [Text("lost")]), (7, [Text("too")])])
    history = [kept, *log_of([(9, [Attempt(2, "takeover", "continued")]), (9, [Text("new")])], kept.position)]
    return encoder_of([kept, lost, too]), history


def test_what_was_written_in_the_place_of_what_it_knows_is_not_told_as_that() -> None:
    encoder, history = rewritten()
    key = encoder.key
    assert encoder.encode(history[1:]) == Frame(b"", After.BREAK)
    assert encoder.reached == START, "it is to be told anew"
    assert encoder.key != key, "and whoever is told then finds nothing of this"
    key = encoder.key
    assert encoder.encode(history[1:]).after is After.BREAK and encoder.key != key, "nor of this"
    encoder.learn(history)
    assert [event["delta"] for event in events(encoder.encode(history[1:]).data)] == ["new"]


def test_a_reader_from_the_start_is_told_the_new_history_at_once() -> None:
    encoder, history = rewritten()
    told = events(encoder.encode([*history, *log_of([(9, [DONE])], history[-1].position)]).data)
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "kept new"


def test_an_entry_that_goes_beyond_what_it_knows_must_agree_with_it_too() -> None:
    kept, lost = log_of([(7, [Text("kept ")]), (7, [Text("lost")])])
    (other,) = log_of([(9, [Text("n"), Text("e"), Text("w")])], kept.position)
    assert encoder_of([kept, lost]).encode([other]).after is After.BREAK
    (longer,) = log_of([(7, [Text("lost"), Text(" and "), Text("more")])], kept.position)
    (told,) = events(encoder_of([kept, lost]).encode([longer]).data)
    assert told["delta"] == "lost and more"
