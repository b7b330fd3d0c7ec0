"""The parser of event streams gives the same events however their bytes come."""

import pytest

from headwater_client.core import sse
from headwater_client.core.sse import EventParser, Message
from headwater_client.core.trouble import Broken

STREAM = (
    "\ufeffretry: 1372\n: a comment\n\nevent: run\ndata: {}\n\nid: 1-2\r\nevent: delta\r\ndata: {\r\ndata:  1}\r\n\r\n"
    "data: \u65e5\u672c\u2028\U0001f469\u200d\U0001f680\r\rid: 3-4\n\nid\ndata\n\nevent: cut\ndata: never"
).encode()
MESSAGES = [
    Message("run", "{}", ""),
    Message("delta", "{\n 1}", "1-2"),
    Message("message", "\u65e5\u672c\u2028\U0001f469\u200d\U0001f680", ""),
    Message("message", "", ""),
]


def parsed(*pieces: bytes) -> list[Message]:
    parser = EventParser()
    messages = [message for piece in pieces for message in parser.feed(piece)]
    assert (parser.retry_ms, parser.comment) == (1372, "a comment")
    return messages


def test_a_stream_that_is_cut_anywhere_gives_the_same_events() -> None:
    assert parsed(STREAM) == MESSAGES
    assert parsed(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == MESSAGES
    for at in range(len(STREAM)):
        assert parsed(STREAM[:at], b"", STREAM[at:]) == MESSAGES


def test_what_is_no_utf8_is_no_event_stream() -> None:
    with pytest.raises(Broken):
        list(EventParser().feed(b"data: \xff\n\n"))


def test_an_event_without_an_end_is_not_collected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 100)
    parser = EventParser()
    for _ in range(10):
        assert len(list(parser.feed(b"data: " + b"x" * 80 + b"\n\n"))) == 1
    assert not list(parser.feed(b"data: " + b"x" * 80))
    with pytest.raises(Broken):
        list(parser.feed(b"x" * 80))
