"""The window against a plain list of events."""

from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headwater.core.events import Entry, Event, Text
from headwater.core.position import START, Position
from headwater.core.window import CHUNK_OVERHEAD, Fit, Miss, Window, cut
from tests.core.logs import entry, events, events_after, log_of, positions, tags

ROOM = 4 * CHUNK_OVERHEAD


def as_they_are(entries: Sequence[Entry]) -> Sequence[Entry]:
    return entries


def texts(*words: str) -> list[Text]:
    return [Text(word) for word in words]


class WindowMachine(RuleBasedStateMachine):
    """Random entries, flushes and looks; the model is the whole log and how far it was flushed."""

    @initialize(at=st.integers(0, 3), tag=tags)
    def stand_somewhere(self, at: int, tag: int) -> None:
        self.base = Position(at, tag) if at else START
        self.window = Window(self.base, ROOM)
        self.log: list[Entry] = []
        self.flushed = 0  # entries

    @rule(tag=tags, batch=st.lists(events, min_size=1, max_size=4), size=st.integers(0, CHUNK_OVERHEAD))
    def something_comes(self, tag: int, batch: list[Event], size: int) -> None:
        new = entry(self.window.top, tag, *batch)
        assert self.window.fit(new) is Fit.NEXT
        self.window.add(new, size)
        assert self.window.fit(new) is Fit.KNOWN
        self.log.append(new)

    @rule()
    def it_is_flushed(self) -> None:
        self.window.flush()
        self.flushed = len(self.log)

    @rule(data=st.data())
    def a_reader_asks(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(self.places()))
        got = self.window.read(position, "form", as_they_are)
        visible = self.log[: self.flushed]
        if position == self.window.flushed:
            assert got is Miss.NOTHING_NEW
        elif self.window.start.seq <= position.seq < self.window.flushed.seq:
            assert not isinstance(got, Miss), f"{position} is within {self.window!r}"
            reached, entries = got
            assert entries[0].after == position
            assert events_after(entries, START) == self.between(position.seq, reached.seq)
            assert reached == entries[-1].position
            assert position.seq < reached.seq <= self.window.flushed.seq
            assert reached in [one.position for one in visible]
        else:
            assert got is Miss.ELSEWHERE

    @rule(data=st.data(), tag=st.integers(4, 5))
    def a_stranger_asks(self, data: st.DataObject, tag: int) -> None:
        """A tag that this log never bore joins nowhere."""
        seq = data.draw(st.integers(1, self.window.top.seq + 2))
        assert self.window.read(Position(seq, tag), "form", as_they_are) is Miss.ELSEWHERE

    def places(self) -> list[Position]:
        return [
            self.base,
            *(Position(seq, one.tag) for one in self.log for seq in range(one.after.seq + 1, one.seq + 1)),
        ]

    def between(self, after: int, seq: int) -> list[Event]:
        whole = [event for one in self.log for event in one.events]
        return whole[after - self.base.seq : seq - self.base.seq]

    @invariant()
    def it_knows_where_it_stands(self) -> None:
        if not hasattr(self, "window"):
            return
        assert self.window.top == (self.log[-1].position if self.log else self.base)
        assert self.window.flushed == (self.log[self.flushed - 1].position if self.flushed else self.base)
        assert self.window.has_pending == (self.flushed < len(self.log))

    @invariant()
    def it_keeps_no_more_than_its_room(self) -> None:
        if hasattr(self, "window"):
            chunks = self.window._chunks
            assert len(chunks) <= 1 or sum(chunk.size for chunk in chunks) <= ROOM


TestWindow = WindowMachine.TestCase
TestWindow.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_readers_at_the_same_position_share_one_object() -> None:
    window = filled("a", "b")
    encodings: list[Sequence[Entry]] = []

    def encode(entries: Sequence[Entry]) -> bytearray:
        encodings.append(entries)
        return bytearray(b"frame")

    first, again = window.read(START, "form", encode), window.read(START, "form", encode)
    assert not isinstance(first, Miss) and not isinstance(again, Miss)
    assert first[1] is again[1]
    assert len(encodings) == 1
    window.read(START, "another form", encode)
    assert len(encodings) == 2


def test_the_newest_chunk_stays_however_large_it_is() -> None:
    window = Window(START, 10)
    for word in ("a", "b"):
        window.add(entry(window.top, 7, Text(word)), 1_000_000)
        window.flush()
    assert window.start == Position(1, 7)
    assert window.read(START, "form", as_they_are) is Miss.ELSEWHERE
    assert not isinstance(window.read(Position(1, 7), "form", as_they_are), Miss)


def test_flushing_nothing_is_nothing() -> None:
    window = filled("a")
    before = repr(window)
    window.flush()
    assert repr(window) == before


@pytest.mark.parametrize(
    ("new", "fit"),
    [
        (entry(Position(2, 7), 7, Text("c")), Fit.NEXT),
        (entry(Position(2, 7), 8, Text("c")), Fit.NEXT),  # another worker carries on
        (entry(Position(1, 7), 7, Text("b")), Fit.KNOWN),
        (entry(START, 7, Text("a")), Fit.KNOWN),
        (entry(Position(3, 7), 7, Text("d")), Fit.APART),  # one is missing
        (entry(Position(2, 8), 8, Text("c")), Fit.APART),  # history was rewritten
        (entry(Position(1, 7), 8, Text("other")), Fit.APART),
        (entry(START, 8, Text("other")), Fit.APART),
        (entry(Position(1, 7), 7, Text("b"), Text("c")), Fit.APART),
    ],
)
def test_a_new_entry_fits_known_or_apart(new: Entry, fit: Fit) -> None:
    assert filled("a", "b").fit(new) is fit


def test_what_lies_before_the_window_is_taken_for_known() -> None:
    window = Window(Position(5, 7), ROOM)
    assert window.fit(entry(Position(3, 7), 7, Text("d"))) is Fit.KNOWN
    assert window.fit(entry(Position(4, 7), 7, Text("e"))) is Fit.KNOWN
    assert window.fit(entry(Position(4, 7), 8, Text("e"))) is Fit.APART


def test_an_entry_is_cut_where_a_reader_stands_in_it() -> None:
    log = log_of([(7, texts("a", "b", "c")), (8, texts("d"))])
    assert cut(log, Position(2, 7)) == [entry(Position(2, 7), 7, Text("c")), log[1]]
    assert cut(log, Position(3, 7)) == [log[1]]
    assert cut(log, Position(3, 8)) == cut(log, Position(4, 8)) == cut(log, Position(9, 7)) == []
    assert [len(cut(log, position)) for position in positions(log)[1:]] == [2, 2, 1, 0]


def filled(*words: str) -> Window:
    """A window with an entry for each word, flushed."""
    window = Window(START, ROOM)
    for one in log_of([(7, [Text(word)]) for word in words]):
        window.add(one, 1)
    window.flush()
    return window
