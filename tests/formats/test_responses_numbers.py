"""Whoever reads a response, from wherever, in whatever pieces, sees the same events with the same numbers."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.events import Attempt, Delta, End, Entry, Event, Status, Text, ToolCall
from headwater.core.position import START, Position
from headwater.formats.base import After
from headwater.formats.responses import Responses
from tests.core.logs import attempts, deltas, ends, in_pieces, log_of, tags
from tests.formats.responses import encoder_of, events, messages, seen

continued = attempts.filter(lambda attempt: attempt.how == "continued")
some: st.SearchStrategy[Event] = st.one_of(deltas, deltas, deltas, continued)


@st.composite
def logs(draw: st.DrawFn, kinds: st.SearchStrategy[Event] = some) -> list[Entry]:
    """A log of anything, that has ended or not."""
    batches = draw(st.lists(st.tuples(tags, st.lists(kinds, min_size=1, max_size=5)), min_size=1, max_size=6))
    return log_of([*batches, (draw(tags), [draw(ends)])] if draw(st.booleans()) else batches)


def read(encoder: Responses, pieces: Sequence[Sequence[Entry]]) -> list[dict[str, Any]]:
    """All the events of these, one after the other."""
    return [event for piece in pieces for event in events(encoder.encode(piece).data)]


def from_beginning(encoder: Responses, pieces: Sequence[Sequence[Entry]]) -> list[dict[str, Any]]:
    """What one sees who joins at the start."""
    return [*events(encoder.run("in_progress", first=True)), *read(encoder, pieces)]


def resumed(encoder: Responses, log: Sequence[Entry], number: int, data: st.DataObject) -> list[dict[str, Any]]:
    """What one sees who comes back and has seen all up to this number."""
    resume = encoder.resume(number, "in_progress")
    position, ahead = resume.position, resume.ahead
    if resume.over:
        return events(ahead)
    if resume.within:
        (entry,) = (one for one in log if one.after.seq <= position.seq < one.seq)
        rest = entry.cut(position) if entry.after.seq < position.seq else entry
        alone = Entry(position, position.seq + 1, rest.tag, rest.events[:1])
        ahead, position = encoder.rest(alone, number), alone.position
    rest_of_log = [one if one.after.seq >= position.seq else one.cut(position) for one in log if one.seq > position.seq]
    return [*events(ahead), *read(encoder, data.draw(in_pieces(rest_of_log)))]


@given(st.data(), logs())
def test_the_pieces_make_no_difference(data: st.DataObject, log: list[Entry]) -> None:
    """Nor whether the encoder was told of them as they came, or of all before."""
    live = seen(from_beginning(encoder_of(), data.draw(in_pieces(log))))
    late = seen(from_beginning(encoder_of(log), data.draw(in_pieces(log))))
    assert live == late


@given(st.data(), logs())
def test_a_reader_who_was_cut_off_goes_on_after_any_number(data: st.DataObject, log: list[Entry]) -> None:
    whole = from_beginning(encoder_of(), data.draw(in_pieces(log)))
    held = whole[: data.draw(st.integers(1, len(whole)))]
    rest = resumed(encoder_of(log), log, held[-1]["sequence_number"], data)
    assert seen([*held, *rest]) == seen(whole)


@given(st.data(), logs())
def test_a_number_that_was_left_out_is_no_trap(data: st.DataObject, log: list[Entry]) -> None:
    """A merged delta bears the number of its last part only: other readers know the others."""
    alone = [[Entry(START if not seq else Position(seq, 1), seq + 1, 1, (event,))] for seq, event in _events(log)]
    one_by_one = from_beginning(encoder_of(), alone)
    number = data.draw(st.integers(0, one_by_one[-1]["sequence_number"]))
    flat = [entry for (entry,) in alone]
    rest = resumed(encoder_of(flat), flat, number, data)
    assert seen(rest) == seen(event for event in one_by_one if event["sequence_number"] > number)


def _events(log: Sequence[Entry]) -> list[tuple[int, Event]]:
    return list(enumerate(event for entry in log for event in entry.events))


@given(st.data(), logs())
def test_the_id_of_an_event_is_where_to_go_on(data: st.DataObject, log: list[Entry]) -> None:
    encoder = encoder_of()
    told = [message for piece in data.draw(in_pieces(log)) for message in messages(encoder.encode(piece).data)]
    for index, message in enumerate(told):
        if message.id is None:
            continue
        seq, tag = map(int, message.id.split("-"))
        assert encoder.position_at(seq) == Position(seq, tag)
        rest = [one if one.after.seq >= seq else one.cut(Position(seq, tag)) for one in log if one.seq > seq]
        again = read(encoder_of(log), data.draw(in_pieces(rest)))
        held = [one.json for one in told[: index + 1]]
        assert seen([*held, *again]) == seen(one.json for one in told)


@given(st.data(), logs(st.one_of(deltas, deltas, attempts)))
def test_what_was_shown_is_never_contradicted(data: st.DataObject, log: list[Entry]) -> None:
    """A reader of an answer that began anew is told so, or has seen nothing of what was before."""
    encoder, held = encoder_of(), list[dict[str, Any]]()
    pieces, closed = data.draw(in_pieces(log)), False
    for piece in pieces:
        frame = encoder.encode(piece)
        held += events(frame.data)
        if closed := frame.after is After.CLOSE:
            break
    late = encoder_of(log)
    if held and held[-1]["type"] == "error":
        assert closed and held[-1]["code"] == "restarted"
        return
    begin = late.begin
    if not begin.seq:
        assert seen(held) == seen(read(late, [log]))
        return
    rest = [one if one.after.seq >= begin.seq else one.cut(begin) for one in log if one.seq > begin.seq]
    assert seen(held) == seen(read(late, [rest] if rest else []))


@given(st.lists(deltas, min_size=1), st.lists(deltas, min_size=1), st.integers(0, 200))
def test_a_number_from_before_a_restart_is_told_that_it_is_over(
    lost: list[Delta], new: list[Delta], number: int
) -> None:
    log = log_of([(1, [*lost, Attempt(2, "failover", "restarted")]), (2, new)])
    encoder, begin = encoder_of(log), len(lost) + 1
    if number // 16 > begin + len(new):
        with pytest.raises(ValueError, match="sequence_number"):
            encoder.resume(number, "in_progress")
        return
    resume = encoder.resume(number, "in_progress")
    withdrawn = 0 < number // 16 < begin
    assert resume.over is withdrawn
    assert [event["type"] for event in events(resume.ahead) if withdrawn] == ["error"] * withdrawn


@given(logs())
def test_no_number_beyond_the_last_is_taken(log: list[Entry]) -> None:
    encoder = encoder_of(log)
    newest = read(encoder_of(), [log])[-1:]
    if isinstance(log[-1].events[-1], End):
        last = newest[0]["sequence_number"]
        assert encoder.resume(last, "completed").ahead == b"" and encoder.resume(last, "completed").over
        with pytest.raises(ValueError, match="sequence_number"):
            encoder.resume(last + 1, "completed")
    with pytest.raises(ValueError, match="sequence_number"):
        encoder.resume((log[-1].seq + 1000) * 16, "in_progress")


@pytest.mark.parametrize(
    ("status", "number", "told"),
    [
        ("queued", 0, ["response.queued"]),
        ("queued", 1, []),
        ("in_progress", 0, ["response.in_progress"]),
        ("in_progress", 1, ["response.in_progress"]),
        ("in_progress", 2, []),
        ("completed", 1, ["response.in_progress"]),
    ],
)
def test_what_comes_before_all_output_has_numbers_too(status: Status, number: int, told: list[str]) -> None:
    resume = encoder_of().resume(number, status)
    assert (resume.position, resume.over) == (START, False)
    assert [event["type"] for event in events(resume.ahead)] == told


def test_another_history_is_not_told_as_if_it_were_the_same() -> None:
    encoder = encoder_of(log_of([(1, [Text("a"), Text("b")])]))
    (rewritten,) = log_of([(9, [Text("c")])], Position(2, 7))
    frame = encoder.encode([rewritten])
    assert frame.after is After.CLOSE and events(frame.data)[0]["code"] == "restarted"


def test_an_encoder_that_was_not_told_breaks_off() -> None:
    (later,) = log_of([(1, [Text("c")])], Position(5, 1))
    assert encoder_of().encode([later]).after is After.BREAK


def test_an_encoder_that_forgot_is_as_good_as_new() -> None:
    log = log_of([(1, [Text("a"), ToolCall(0, "c", "f", "{}")])])
    encoder = encoder_of(log_of([(2, [Text("x"), Attempt(2, "failover", "restarted"), Text("y")])]))
    encoder.forget()
    encoder.learn(log)
    assert read(encoder, [log]) == read(encoder_of(log), [log])
