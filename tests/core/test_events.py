"""Events survive storage, and merging changes nothing that a reader can make out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.events import (
    EMPTY_DELTA_BYTES,
    Attempt,
    Delta,
    End,
    Entry,
    Event,
    Failure,
    Reasoning,
    Span,
    Text,
    ToolCall,
    Usage,
    decode_events,
    delta_bytes,
    encode_events,
    entry_bytes,
    merge,
)
from headwater.core.position import START, Position
from headwater.core.window import cut
from tests.core.logs import ends, entry, events, events_after, events_of, log_of, logs, parts_of, positions


@given(st.lists(events | ends))
def test_what_is_stored_is_read(given_events: list[Event]) -> None:
    assert decode_events(encode_events(given_events)) == tuple(given_events)


@pytest.mark.parametrize(
    ("event", "stored"),
    [
        (Text("Hello"), b'["t","Hello"]'),
        (Reasoning("h\u2028m"), '["r","h\u2028m"]'.encode()),
        (ToolCall(1, "c", "n", "{"), b'["c",1,"c","n","{"]'),
        (Attempt(2, "takeover", "continued"), b'["a",2,"takeover","continued",null,null]'),
        (
            End("failed", None, "upstream_error", Failure("upstream_error", "it broke"), Usage(1, 2)),
            b'["e","failed",null,"upstream_error",{"code":"upstream_error","detail":"it broke"},'
            b'{"input_tokens":1,"output_tokens":2}]',
        ),
    ],
)
def test_the_stored_form_does_not_change(event: Event, stored: bytes) -> None:
    """Files of older versions must stay readable."""
    assert encode_events([event]) == b"[" + stored + b"]"


@pytest.mark.parametrize("payload", [b"", b"[", b'[["x","?"]]', b'[["t"]]', b'[["t",1]]', b'[["e","queued"]]', b"\xff"])
def test_a_damaged_payload_is_refused(payload: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        decode_events(payload)


@given(logs)
def test_merged_spans_cover_the_log_without_a_hole(log: list[Entry]) -> None:
    spans = merge(log)
    assert spans[0].after == log[0].after.seq
    assert [span.after for span in spans[1:]] == [span.seq for span in spans[:-1]]
    assert Position(spans[-1].seq, spans[-1].tag) == log[-1].position


@given(logs)
def test_a_span_bears_the_tag_found_at_its_seq(log: list[Entry]) -> None:
    places = positions(log)
    assert all(Position(span.seq, span.tag) in places for span in merge(log))


@given(logs, st.data())
def test_a_span_begins_at_the_place_before_it(log: list[Entry], data: st.DataObject) -> None:
    """Also where the log is read on from within an entry."""
    at = data.draw(st.sampled_from(positions(log)[:-1]))
    spans = merge(cut(log, at) if at != START else log)
    assert spans[0].before == at
    assert [span.before for span in spans[1:]] == [Position(span.seq, span.tag) for span in spans[:-1]]


@given(logs)
def test_merging_changes_no_output(log: list[Entry]) -> None:
    assert parts_of(events_of(merge(log))) == parts_of(events_after(log, START))


@given(logs, st.data())
def test_a_reader_can_stop_at_any_span_and_go_on_from_there(log: list[Entry], data: st.DataObject) -> None:
    """What was read up to a span and what is read after it make the whole."""
    spans = merge(log)
    stop = data.draw(st.integers(0, len(spans) - 1))
    at = Position(spans[stop].seq, spans[stop].tag)
    rest = merge(cut(log, at))
    assert all(span.after >= at.seq for span in rest)
    assert parts_of(events_of([*spans[: stop + 1], *rest])) == parts_of(events_after(log, START))


@given(logs)
def test_nothing_is_merged_across_an_attempt(log: list[Entry]) -> None:
    seqs = {seq for seq, event in enumerate(events_after(log, START), 1) if isinstance(event, Attempt)}
    for span in merge(log):
        covered = seqs & set(range(span.after + 1, span.seq + 1))
        assert not covered or (span.seq - span.after == 1 and isinstance(span.event, Attempt))


def test_adjacent_deltas_of_a_kind_become_one() -> None:
    log = log_of([(7, [Text("a"), Text("b")]), (7, [Text("c"), Reasoning("x")]), (7, [End("completed", "stop")])])
    assert merge(log) == [
        Span(0, 3, 7, Text("abc")),
        Span(3, 4, 7, Reasoning("x"), 7),
        Span(4, 5, 7, End("completed", "stop"), 7),
    ]


def test_fragments_of_one_call_become_one_and_two_calls_stay_apart() -> None:
    first = [ToolCall(0, "a", "f", ""), ToolCall(0, arguments="{"), ToolCall(0, arguments="}")]
    second = [ToolCall(1, "b", "g"), ToolCall(1, arguments="1"), ToolCall(0, arguments=" ")]
    assert events_of(merge(log_of([(7, first), (7, second)]))) == [
        ToolCall(0, "a", "f", "{}"),
        ToolCall(1, "b", "g", "1"),
        ToolCall(0, arguments=" "),
    ]


def test_a_call_that_says_its_name_again_is_not_joined_to_the_one_before() -> None:
    log = log_of([(7, [ToolCall(0, "a", "f", "1"), ToolCall(0, "a", "f", "2")])])
    assert len(merge(log)) == 2


def test_nothing_merges_to_nothing() -> None:
    assert merge([]) == []


def test_an_entry_is_cut_at_any_seq_it_covers() -> None:
    one = entry(Position(4, 9), 7, Text("a"), Text("b"), Text("c"))
    assert one.cut(Position(4, 9)) == one
    assert one.cut(Position(6, 7)) == Entry(Position(6, 7), 7, 7, (Text("c"),))
    assert one.cut(Position(7, 7)).events == ()


def test_output_is_weighed_in_utf8() -> None:
    family = "\N{MAN}\u200d\N{WOMAN}"
    assert delta_bytes(Text("abc")) == 3
    assert delta_bytes(Text(family)) == len(family.encode()) == 11
    assert delta_bytes(ToolCall(0, "id", "name", "{}")) == 8
    assert delta_bytes(ToolCall(0, arguments="1")) == 1
    assert delta_bytes(Attempt(2, "drain", "continued")) == delta_bytes(End("failed")) == 0


@pytest.mark.parametrize("nothing", [ToolCall(0), ToolCall(7, "", "", ""), Text("")])
def test_a_delta_that_says_nothing_weighs_something_so_that_no_limit_is_passed_without_end(nothing: Delta) -> None:
    assert delta_bytes(nothing) == EMPTY_DELTA_BYTES > 0
    assert entry_bytes(Entry(START, 3, 7, (nothing, Text("ab"), nothing))) == 2 * EMPTY_DELTA_BYTES + 2
