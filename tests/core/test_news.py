"""What one worker tells the others survives the wire, and anything else is refused."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.core.events import Entry, Event, Status, Text, encode_events
from headwater.core.news import (
    BadNews,
    Removed,
    cancel_news,
    decode_cancel,
    decode_news,
    entry_head,
    is_from,
    news_channel,
    removal_news,
    status_news,
    worker_channel,
)
from headwater.core.position import SEQ_MAX, START, TAG_MAX, Position
from headwater.core.room import (
    Deleted,
    Edited,
    Reacted,
    RoomEvent,
    RunEnded,
    RunStarted,
    Said,
    encode_room_events,
    room_entry,
)
from tests.core.logs import ends, entry, events, logs

workers = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=12)


def told(worker: str, one: Entry) -> bytes:
    return entry_head(worker, one.after, one.position).encode() + encode_events(one.events)


@given(workers, logs)
def test_entries_are_read_as_they_were_written(worker: str, log: list[Entry]) -> None:
    for one in log:
        assert decode_news(told(worker, one)) == one


@given(workers, st.lists(events | ends, min_size=1))
def test_whatever_a_run_says_can_be_told(worker: str, said: list[Event]) -> None:
    one = entry(Position(4, 9), 7, *said)
    assert decode_news(told(worker, one)) == one


ROOM_EVENTS = [
    Said("msg_1", "user:ann", "Ann  A", "one two\n", 1.5, "c 1", "msg_0", ("demo",)),
    Edited("msg_1", "user:ann", "", 2.0),
    Deleted("msg_1", "user:mod", 3.0),
    Reacted("msg_1", "user:bob", "👍", True, 4.0),
    RunStarted("msg_2", "run_1-x", "user:ann", "demo", "msg_1", 5.0),
    RunEnded("msg_2", "run_1-x", "completed", "e w 0-0", [{"text": "e w 0-0"}], 6.0),
]


@given(workers, st.lists(st.sampled_from(ROOM_EVENTS), min_size=1, max_size=5))
def test_whatever_happens_in_a_room_can_be_told(worker: str, happened: list[RoomEvent]) -> None:
    one = room_entry(Position(4, 9), 7, happened)
    news = f"r {worker} {one.after} {one.position} ".encode() + encode_room_events(happened)
    assert decode_news(news) == one
    assert is_from(worker.encode(), news)


@pytest.mark.parametrize("text", ["", " ", "  two  spaces  ", "lines\nand\r\nmore\n", "e w 0-0 1-1 []", "\0", "\u2028"])
def test_a_text_may_hold_what_separates_news(text: str) -> None:
    one = entry(START, TAG_MAX, Text(text))
    assert decode_news(told("w", one)) == one


def test_the_last_position_can_be_told() -> None:
    one = entry(Position(SEQ_MAX - 1, TAG_MAX), TAG_MAX, Text("x"))
    assert decode_news(told("w", one)) == one


@pytest.mark.parametrize("status", ["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"])
def test_every_status_can_be_told(status: Status) -> None:
    assert decode_news(status_news("w", status).encode()) == status


def test_a_removal_can_be_told() -> None:
    news = removal_news("w").encode()
    assert decode_news(news) == Removed()
    assert is_from(b"w", news) and not is_from(b"w1", news)


DEEP = b'e w 0-0 1-1 [["e","failed",null,null,null,{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]]"


@pytest.mark.parametrize(
    "news",
    [
        b"", b" ", b"e", b"e ", b"s", b"s ", b"hello", b"\xff", b"\xff\xff \xff \xff",
        b"x w completed", b"S w completed", b"s w", b"s w ", b"s w done", b"s w completed ", b"s w a completed",
        b"s w COMPLETED", b"s w removed ", b"s removed", b"r w removed", b"c run_1", b"ee w 0-0 1-1 " + b'[["t","a"]]',
        b"e w", b"e w 0-0", b"e w 0-0 1-1", b"e w 0-0 1-1 ", b"e w 0-0 1-1 []", b"e w 0-0 0-0 []",
        b"e w 0-0 1-1 [", b'e w 0-0 1-1 {"t":"a"}', b"e w 0-0 1-1 null", b'e w 0-0 1-1 ["t","a"]',
        b'e w 0-0 1-1 [["x","a"]]', b'e w 0-0 1-1 [["t",1]]', b'e w 0-0 1-1 [["t","\xff"]]',
        b'e w 0-0 1-1 [["t","a"]] ?', b'e w 0-0 1-1 [["t","a"],["t","b"]]', b'e w 0-0 3-1 [["t","a"]]',
        b'e w 2-1 1-1 [["t","a"]]', b'e w 1-1 1-1 [["t","a"]]', b'e w 0-0 01-1 [["t","a"]]',
        b'e w 0 1-1 [["t","a"]]', b'e w 0-0 1-0 [["t","a"]]', b'e w \xff-0 1-1 [["t","a"]]',
        b'e w 0-0 1-1  [["t","a"]'.replace(b"  ", b" x "),
        b"r", b"r w", b"r w 0-0 1-1 []", b'r w 0-0 1-1 [["t","a"]]', b'e w 0-0 1-1 [["d","msg_1","ann",1.0]]',
        b'r w 0-0 2-1 [["d","msg_1","ann",1.0]]', b'r w 0-0 1-1 [["d","msg_1","ann"]]', b'r w 0-0 1-1 [["d"',
        b'e w 0-0 1-1 [["a",' + b"9" * 5000 + b',"takeover","continued"]]', DEEP,
    ],
)  # fmt: skip
def test_anything_else_is_no_news(news: bytes) -> None:
    with pytest.raises(BadNews) as refused:
        decode_news(news)
    assert len(str(refused.value)) < 500, "it goes to the log"


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda tail: b"e w 0-0 1-1 " + tail))
@example(DEEP)
def test_no_bytes_do_anything_but_be_refused(news: bytes) -> None:
    with contextlib.suppress(BadNews):
        decode_news(news)


@given(logs, st.data())
def test_no_damage_does_anything_but_be_refused(log: list[Entry], data: st.DataObject) -> None:
    news = bytearray(told("w", log[0]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(news) - 1))
        news[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not news:
            break
    try:
        heard = decode_news(bytes(news))
    except BadNews:
        return
    assert not isinstance(heard, Entry) or len(heard.events) == heard.seq - heard.after.seq > 0


@given(workers, logs)
def test_a_worker_knows_its_own_news(worker: str, log: list[Entry]) -> None:
    assert is_from(worker.encode(), told(worker, log[0]))
    assert is_from(worker.encode(), status_news(worker, "completed").encode())


@given(workers, workers, logs)
def test_and_takes_no_others_for_it(worker: str, other: str, log: list[Entry]) -> None:
    for name in {other, worker + other, other + worker, worker + " "} - {worker}:
        assert not is_from(name.encode(), told(worker, log[0]))
        assert not is_from(name.encode(), status_news(worker, "completed").encode())


def test_a_name_that_begins_another_is_not_the_other() -> None:
    assert not is_from(b"w1", status_news("w10", "completed").encode())
    assert not is_from(b"w10", status_news("w1", "completed").encode())
    assert not is_from(b"w1", b"")
    assert not is_from(b"w1", b"s w1")


@given(workers)
def test_a_cancel_is_read_as_it_was_written(run_id: str) -> None:
    assert decode_cancel(cancel_news(run_id).encode()) == run_id


@pytest.mark.parametrize(
    "news", [b"", b"c", b"c ", b"C run_1", b"run_1", b"c  run_1", b"c run 1", b"c \xff", b"cc run_1"]
)
def test_anything_else_is_no_cancel(news: bytes) -> None:
    with pytest.raises(BadNews):
        decode_cancel(news)


@given(st.binary(max_size=20))
def test_no_bytes_cancel_anything_but_what_they_name(news: bytes) -> None:
    try:
        run_id = decode_cancel(news)
    except BadNews:
        return
    assert cancel_news(run_id).encode() == news


def test_channels_lie_behind_the_prefix_and_apart() -> None:
    assert news_channel("p", "run_1") == "p:news:{run_1}"
    assert worker_channel("p", "w") == "p:worker:w"
