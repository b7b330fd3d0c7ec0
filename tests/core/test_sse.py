"""Server-sent events, whole and in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.sse import FrameTooLarge, Parser, ServerSentEvent, encode, encode_comment, encode_retry


def parse(*chunks: bytes) -> list[ServerSentEvent]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def message(data: str, event: str = "message", id: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(data.encode(), event, id)


STREAMS = {
    "one frame": (b"data: a\n\n", [message("a")]),
    "two frames": (b"data: a\n\ndata: b\n\n", [message("a"), message("b")]),
    "no space after the colon": (b"data:a\n\n", [message("a")]),
    "only one space is taken off": (b"data:  a\n\n", [message(" a")]),
    "CR LF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [message("a"), message("b")]),
    "CR": (b"data: a\r\rdata: b\r\r", [message("a"), message("b")]),
    "line ends mixed": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\ndata: d\n\n", [message(x) for x in "abcd"]),
    "CR inside a line that ends with LF": (b"data: a\rdata: b\n\n", [message("a\nb")]),
    "more blank lines than needed": (b"\n\ndata: a\n\n\n\ndata: b\n\n", [message("a"), message("b")]),
    "several data lines": (b"data: a\ndata: b\ndata\n\n", [message("a\nb\n")]),
    "an empty data line": (b"data\n\n", [message("")]),
    "event and id": (b"id: 7\nevent: delta\ndata: a\n\n", [message("a", "delta", "7")]),
    "neither is kept for the next": (
        b"event: x\nid: 1\ndata: a\n\ndata: b\n\n",
        [message("a", "x", "1"), message("b")],
    ),
    "nothing without data": (b"event: x\nid: 1\n\ndata: b\n\n", [message("b")]),
    "an id with NUL is ignored": (b"id: 1\0\ndata: a\n\n", [message("a")]),
    "comments": (b": hi\n\ndata: a\n: there\n\n:\n\n", [message("a")]),
    "unknown fields": (b"foo: 1\nbar\ndata: a\n\n", [message("a")]),
    "a byte order mark at the start": (b"\xef\xbb\xbfdata: a\n\n", [message("a")]),
    "no second byte order mark": (b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", [message("a"), message("c")]),
    "U+2028, U+0085 and VT are no line ends": (
        "data: a\u2028b\u0085c\x0b\n\n".encode(),
        [message("a\u2028b\u0085c\x0b")],
    ),
    "emoji with joiners, and CJK": ("data: 👩‍👩‍👧 漢字\n\n".encode(), [message("👩‍👩‍👧 漢字")]),
    "an unfinished frame": (b"data: a\n\ndata: b\n", [message("a")]),
}


@pytest.mark.parametrize(("data", "events"), STREAMS.values(), ids=STREAMS)
def test_a_stream_gives_its_events_however_it_is_cut(data: bytes, events: list[ServerSentEvent]) -> None:
    assert parse(data) == events
    assert parse(*bytewise(data)) == events
    for at in range(len(data) + 1):
        assert parse(data[:at], data[at:]) == events
        assert parse(data[:at], b"", data[at:]) == events


def test_an_event_comes_with_the_last_byte_of_its_blank_line() -> None:
    for end in (b"\n\n", b"\r\r"):
        parser = Parser()
        assert parser.feed(b"data: a" + end[:1]) == []
        assert parser.feed(end[1:]) == [message("a")]


LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))
NAME = LINE.filter(bool)


@given(
    st.data(),
    st.lists(st.tuples(LINE, st.none() | NAME, st.none() | LINE.filter(lambda id: "\0" not in id)), max_size=6),
)
def test_what_is_encoded_is_what_is_parsed(
    data: st.DataObject, frames: list[tuple[str, str | None, str | None]]
) -> None:
    # One space after the colon belongs to the format, so leading spaces survive.
    encoded = b"".join(encode(text.encode(), event=event, id=id) for text, event, id in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=8)))
    chunks = [encoded[start:end] for start, end in zip([0, *cuts], [*cuts, len(encoded)], strict=True)]
    assert parse(*chunks) == [message(text, event or "message", id) for text, event, id in frames]


@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_give_the_same_events_whole_and_cut(data: bytes, at: int) -> None:
    data = data.replace(b"a", b"data: x\n").replace(b"b", b"\r\n").replace(b"c", b"\n\n")
    assert parse(data) == parse(data[:at], data[at:]) == parse(*bytewise(data))


def test_the_fields_come_in_the_order_of_the_protocol() -> None:
    assert encode(b"{}", event="delta", id="3-9") == b"id: 3-9\nevent: delta\ndata: {}\n\n"
    assert encode(b"{}", event="run") == b"event: run\ndata: {}\n\n"
    assert encode(b"{}", id="3-9") == b"id: 3-9\ndata: {}\n\n"
    assert encode(b"{}") == b"data: {}\n\n"


def test_retry_and_comments_are_no_events() -> None:
    parser = Parser()
    assert parser.feed(encode_retry(1372) + encode_comment() + encode_comment("keep-alive")) == []
    assert parser.retry_ms == 1372
    parser.feed(b"retry: 1e3\n\nretry: -1\n\nretry: \xc2\xb2\n\n")
    assert parser.retry_ms == 1372


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_frame_beyond_the_limit_is_refused_with_what_came_before(size: int) -> None:
    data = b"data: a\n\n" + b"data: " + b"b" * 200
    parser = Parser(frame_bytes_max=100)
    events: list[ServerSentEvent] = []
    with pytest.raises(FrameTooLarge) as caught:
        for at in range(0, len(data), size):
            events += parser.feed(data[at : at + size])
    assert events + caught.value.events == [message("a")]
    assert caught.value.limit == 100


@pytest.mark.parametrize("line", [b"data: 123456789\n", b"event: 1234567890123456789012345678901234567890"])
def test_lines_of_one_frame_add_up(line: bytes) -> None:
    parser = Parser(frame_bytes_max=40)
    with pytest.raises(FrameTooLarge):
        for _ in range(20):
            parser.feed(line)


def test_a_whole_frame_beyond_the_limit_is_refused_too() -> None:
    with pytest.raises(FrameTooLarge):
        Parser(frame_bytes_max=20).feed(b"data: 123456789012345678901234567890\n\n")


def test_frames_and_comments_below_the_limit_never_add_up() -> None:
    parser = Parser(frame_bytes_max=40)
    for _ in range(100):
        assert parser.feed(b"data: 1234567890\n\n: comment\n: comment\n\n") == [message("1234567890")]


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"data: a\n", [message("a")]),
        (b"data: a", [message("a")]),
        (b"event: x\ndata: a\r\n", [message("a", "x")]),
        (b"data: a\n\n", []),
        (b": comment", []),
        (b"", []),
    ],
)
def test_the_end_of_the_body_gives_the_frame_whose_blank_line_never_came(
    data: bytes, rest: list[ServerSentEvent]
) -> None:
    for chunks in ([data], bytewise(data)):
        parser = Parser()
        for chunk in chunks:
            parser.feed(chunk)
        assert parser.finish() == rest
        assert parser.finish() == []
