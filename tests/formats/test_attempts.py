"""An answer that changes hands: whoever follows it, in whatever form, from wherever, holds what it is, or is told."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.content import Content
from headwater.core.events import Attempt, Entry, Event, Text, merge
from headwater.core.frames import messages_in
from headwater.core.position import START
from headwater.core.run import RunRequest
from headwater.core.window import cut
from headwater.formats.base import After, Format, Frame, Head, Remembering
from headwater.formats.chat import Chat
from headwater.formats.native import Native
from headwater.formats.ndjson import Ndjson
from headwater.formats.responses import Responses
from headwater.formats.responses.items import attempt_of, items_of
from headwater.formats.room import AnswerOverSocket
from headwater.formats.text import PlainText
from tests.core.logs import deltas, in_pieces, log_of, tags
from tests.formats.responses import encoder_of, events
from tests.support.sse import EventStreamParser

HEAD = Head("run_1", "demo", 0.0, RunRequest(input="hi"))


def content_of(log: Iterable[Entry]) -> Content:
    content = Content()
    for entry in log:
        for event in entry.events:
            content.add(event)
    return content


class Reader:
    """Makes of frames the text that a client holds; `over` once it was told that what it held is not so any more."""

    def __init__(self) -> None:
        self.text = ""
        self.has_been_shown = False
        self.over = False

    def read(self, form: Format, frame: Frame) -> None:
        match form:
            case PlainText():
                self._grow(frame.data.decode())
            case Chat():
                for delta in _deltas(frame.data):
                    self._grow(delta.get("content", ""), bool(delta.keys() - {"role"}))
            case Responses():
                for event in events(frame.data):
                    is_text = event["type"] == "response.output_text.delta"
                    self._grow(event["delta"] if is_text else "", "item_id" in event or "item" in event)
            case _:
                for name, data in _events(form, frame.data):
                    self._take(name, data)
        if frame.after is not After.GO_ON:
            assert not form.says_its_end and (isinstance(form, PlainText) or b'"code":"restarted"' in frame.data)
            self.over = True

    def _take(self, event: str, data: dict[str, Any]) -> None:
        if event == "snapshot":
            self.text = "".join(part.get("text", "") for part in data["parts"])
        elif event == "attempt" and data["how"] == "restarted":
            self.text = ""
        else:
            self._grow(data.get("text", ""))

    def _grow(self, text: str, shows: bool = True) -> None:
        self.text += text
        self.has_been_shown |= shows


def _deltas(data: bytes) -> list[dict[str, Any]]:
    """Of chat completions."""
    return [one["delta"] for message in EventStreamParser().feed(data) for one in message.json.get("choices", ())]


def _events(form: Format, data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Of the forms that say the same in other brackets."""
    match form:
        case Native():
            return [(message.event, message.json) for message in EventStreamParser().feed(data)]
        case Ndjson():
            return [(line["event"], line) for line in map(json.loads, data.splitlines())]
        case _:
            return [(push["type"], push) for push in map(json.loads, messages_in(data))]


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Deltas and attempts as executors write them: `restarted` is only what withdraws something."""
    content, batches, number = Content(), [], 1
    for tag in draw(st.lists(tags, min_size=1, max_size=6)):
        batch: list[Event] = []
        for drawn in draw(st.lists(st.one_of(deltas, deltas, st.booleans()), min_size=1, max_size=4)):
            event: Event
            if isinstance(drawn, bool):
                number += 1
                event = Attempt(number, "failover", "restarted" if drawn and content.parts() else "continued")
            else:
                event = drawn
            content.add(event)
            batch.append(event)
        batches.append((tag, batch))
    return log_of(batches)


def joins(form: Format, log: Sequence[Entry], reader: Reader) -> list[Entry]:
    """One comes when there is this much of it. What of the log one has been told already is left out of the rest."""
    position = log[-1].position if log else START
    if isinstance(form, Remembering):
        form.learn(log)
        position = form.begin
    elif log:
        reader.read(form, form.snapshot(position, content_of(log).parts(), replaces=False))
    return list(log) if position == START else cut(log, position)


@pytest.mark.parametrize("kind", [Native, Ndjson, AnswerOverSocket, Chat, PlainText, Responses])
@given(st.data(), histories())
def test_a_reader_holds_the_answer_or_is_told_that_it_began_anew(
    kind: type[Format], data: st.DataObject, log: list[Entry]
) -> None:
    form, reader = kind(HEAD), Reader()
    there = data.draw(st.integers(0, len(log)))
    unread = [*joins(form, log[:there], reader), *log[there:]]
    before = unread[0].after.seq if unread else 0
    for piece in data.draw(in_pieces(unread)):
        reader.read(form, form.encode(piece))
        if reader.over:
            assert reader.has_been_shown, "nothing was withdrawn from it"
            assert any(
                isinstance(span.event, Attempt) and span.event.how == "restarted" and span.after >= before
                for span in merge(unread)
            )
            return
    assert reader.text == content_of(log).text


@given(st.data(), histories())
def test_a_response_that_is_over_for_nobody_else_begins_at_its_newest_try(
    data: st.DataObject, log: list[Entry]
) -> None:
    encoder, reader = encoder_of(log), Reader()
    rest = list(log) if encoder.begin == START else cut(log, encoder.begin)
    for piece in data.draw(in_pieces(rest)):
        reader.read(encoder, encoder.encode(piece))
    assert (reader.text, reader.over) == (content_of(log).text, False)


@given(histories())
def test_a_continued_answer_is_of_one_piece(log: list[Entry]) -> None:
    """Its parts, and the items by which a response knows them, are the same for one who followed and one who asks."""
    content, encoder = content_of(log), encoder_of(log)
    items = items_of("run_1", content.parts(), attempt_of(content.attempts))
    assert [(one.item.id, one.content) for one in encoder._output.items] == [(item.id, text) for item, text in items]


def test_text_of_two_attempts_is_one_item() -> None:
    log = log_of([(1, [Text("to")]), (2, [Attempt(2, "takeover", "continued"), Text("gether")])])
    encoder = encoder_of()
    told = [event for entry in log for event in events(encoder.encode([entry]).data)]
    kinds = [event["type"].removeprefix("response.") for event in told]
    assert kinds == ["output_item.added", "content_part.added", "output_text.delta", "output_text.delta"]
    assert content_of(log).parts() == [{"text": "together"}]


def test_one_who_was_shown_nothing_of_what_is_withdrawn_is_told_of_no_restart() -> None:
    """It stands behind an attempt that came before the first word."""
    first, rest = log_of(
        [
            (1, [Attempt(2, "failover", "continued")]),
            (2, [Text("old"), Attempt(3, "failover", "restarted"), Text("new")]),
        ]
    )
    encoder, reader = Responses(HEAD), Reader()
    for entry in (first, rest):
        reader.read(encoder, encoder.encode([entry]))
    assert (reader.text, reader.over) == ("new", False)
