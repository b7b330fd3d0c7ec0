"""Logs for tests: random ones for hypothesis, and short ways to write one down."""

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from headwater.core.content import Content, Part
from headwater.core.events import Attempt, Delta, End, Entry, Event, Reasoning, Refusal, Span, Text, ToolCall, Usage
from headwater.core.position import START, Position

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
"""Whatever UTF-8 can carry: emoji, joiners, line separators, NUL."""

some_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
maybe_text = st.none() | some_text

tool_calls = st.builds(ToolCall, st.integers(0, 2), maybe_text, maybe_text, st.none() | words)
deltas: st.SearchStrategy[Delta] = st.one_of(
    st.builds(Text, words), st.builds(Reasoning, words), st.builds(Refusal, words), tool_calls
)
attempts = st.builds(
    Attempt,
    st.integers(2, 9),
    st.sampled_from(["takeover", "failover", "drain"]),
    st.sampled_from(["continued", "restarted"]),
)
ends = st.builds(End, st.sampled_from(["completed", "failed", "cancelled", "incomplete"]), usage=st.just(Usage(1, 2)))
events: st.SearchStrategy[Event] = st.one_of(deltas, deltas, deltas, attempts)
tags = st.integers(1, 3)  # few, so that two writers of one seq often look alike but for the seq


def entry(after: Position, tag: int, *events: Event) -> Entry:
    """The entry of these events."""
    return Entry(after, after.seq + len(events), tag, events)


def log_of(batches: Iterable[tuple[int, Sequence[Event]]], after: Position = START) -> list[Entry]:
    """Entries that follow one another, each given as its tag and its events."""
    log = []
    for tag, batch in batches:
        log.append(entry(after, tag, *batch))
        after = log[-1].position
    return log


logs = st.lists(st.tuples(tags, st.lists(events, min_size=1, max_size=4)), min_size=1, max_size=8).map(log_of)


@st.composite
def in_pieces(draw: st.DrawFn, log: Sequence[Entry]) -> list[list[Entry]]:
    """The same log, as a store or a window may hand it out: cut anywhere, several entries at a time."""
    cuts = [entry for one in log for entry in _cut(draw, one)]
    pieces: list[list[Entry]] = []
    for entry in cuts:
        if not pieces or draw(st.booleans()):
            pieces.append([])
        pieces[-1].append(entry)
    return pieces


def _cut(draw: st.DrawFn, entry: Entry) -> list[Entry]:
    at = draw(st.integers(1, len(entry.events)))
    if at == len(entry.events):
        return [entry]
    middle = Position(entry.after.seq + at, entry.tag)
    return [Entry(entry.after, middle.seq, entry.tag, entry.events[:at]), entry.cut(middle)]


def positions(log: Sequence[Entry]) -> list[Position]:
    """Every position that joins this log."""
    return [START, *(Position(seq, one.tag) for one in log for seq in range(one.after.seq + 1, one.seq + 1))]


def events_after(log: Sequence[Entry], position: Position) -> list[Event]:
    """What a reader there still has to see."""
    return [event for one in log for event in one.events][position.seq :]


def parts_of(events: Iterable[Event]) -> list[Part]:
    """The output that these events make."""
    content = Content()
    for event in events:
        content.add(event)
    return content.parts()


def events_of(spans: Iterable[Span]) -> list[Event]:
    """What is in the spans, in order."""
    return [span.event for span in spans]
