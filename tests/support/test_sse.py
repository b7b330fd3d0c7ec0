"""The reader that judges the server is judged here: by the standard's examples, and by a lying server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest

from tests.support.event_source import EventSource, Over, Refused
from tests.support.sse import EventStreamParser, Follower, Message

pytestmark = pytest.mark.anyio

RUN = 'event: run\ndata: {"id":"run_1","status":"in_progress"}\n\n'
HELLO = 'id: 1-7\nevent: delta\ndata: {"after":0,"seq":1,"text":"👩‍🚀 h"}\n\n'
WORLD = 'id: 3-7\nevent: delta\ndata: {"after":1,"seq":3,"text":"i\\u2028日"}\n\n'
END = 'id: 4-7\nevent: end\ndata: {"after":3,"seq":4,"status":"completed"}\n\n'
STREAM = (RUN + HELLO + ": still here\n\n" + WORLD + END).encode()

STANDARD = [
    ("data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", None)]),
    (
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", None)],
    ),
    ("data\n\ndata\ndata\n\ndata:", [("message", "", None), ("message", "\n", None)]),
    ("data:test\n\ndata: test\n\n", [("message", "test", None), ("message", "test", None)]),
    ("\ufeffevent: a\r\ndata: 1\r\rdata:2\r\n\r\nid: 5\n\ndata: cut off\n", [("a", "1", None), ("message", "2", None)]),
    ("id: with\0null\nunknown: field\ndata: {\n\n", [("message", "{", None)]),
]


@pytest.mark.parametrize(("stream", "expected"), STANDARD, ids=range(len(STANDARD)))
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_parser_reads_the_standards_examples_in_any_pieces(
    stream: str, expected: list[tuple[str, str, str | None]], size: int
) -> None:
    raw, parser = stream.encode(), EventStreamParser()
    got = [message for at in range(0, len(raw), size) for message in parser.feed(raw[at : at + size])]
    assert got == [Message(*fields) for fields in expected]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([("delta", {"after": 1, "seq": 2, "text": "x"})], "a gap"),
        ([("delta", {"after": 0, "seq": 2, "text": "x"}), ("delta", {"after": 1, "seq": 3, "text": "x"})], "overlap"),
        ([("delta", {"after": 0, "seq": 0, "text": "x"})], "wrong range"),
        ([("delta", {"after": 0, "seq": 1, "text": "x", "refusal": "y"})], "one kind"),
        ([("end", {"after": 0, "seq": 2})], "wrong range"),
        ([("end", {"after": 0, "seq": 1}), ("end", {"after": 1, "seq": 2})], "after the end"),
        ([("news", {})], "unknown event"),
    ],
    ids=["gap", "overlap", "empty", "two kinds", "long end", "two ends", "unknown"],
)
def test_the_follower_sees_each_broken_promise(messages: list[tuple[str, dict[str, object]]], complaint: str) -> None:
    follower = Follower()
    follower.take(Message("run", "{}", None))
    with pytest.raises(AssertionError, match=complaint):
        for event, data in messages:
            follower.take(Message(event, json.dumps(data), f"{data.get('seq')}-7"))


def test_the_follower_wants_the_run_first_and_the_id_of_each_event() -> None:
    with pytest.raises(AssertionError, match="comes first"):
        Follower().take(Message("snapshot", '{"seq":1,"parts":[]}', "1-7"))
    follower = Follower()
    follower.take(Message("run", "{}", None))
    with pytest.raises(AssertionError, match="differ"):
        follower.take(Message("snapshot", '{"seq":1,"parts":[]}', "2-7"))


def test_a_snapshot_replaces_and_a_restart_clears() -> None:
    follower = Follower()
    for event, data in [
        ("run", {}),
        ("snapshot", {"seq": 5, "parts": [{"text": "old"}]}),
        ("snapshot", {"seq": 7, "parts": [{"reasoning": "hm"}, {"text": "new"}]}),
        ("delta", {"after": 7, "seq": 8, "text": "er"}),
        ("delta", {"after": 8, "seq": 9, "tool_call": {"index": 0, "id": "c", "name": "f", "arguments": "{"}}),
        ("delta", {"after": 9, "seq": 10, "tool_call": {"index": 0, "arguments": "}"}}),
    ]:
        follower.take(Message(event, json.dumps(data), f"{data['seq']}-7" if data else None))
    call = {"tool_call": {"index": 0, "id": "c", "name": "f", "arguments": "{}"}}
    assert follower.parts == [{"reasoning": "hm"}, {"text": "newer"}, call]
    follower.take(Message("attempt", '{"after":10,"seq":11,"number":2,"how":"restarted"}', "11-9"))
    assert (follower.text, follower.seq) == ("", 11)


@asynccontextmanager
async def server(answer: Callable[[str], bytes]) -> AsyncIterator[str]:
    """An HTTP server whose raw response to a request's head is `answer(head)`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(head.decode()))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/events?format=native"


def whole(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def resuming(head: str) -> bytes:
    """An honest server of STREAM: what lies after Last-Event-ID, and 204 once that is the end."""
    last = next((line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Last-Event-ID")), "0-0")
    rest = [block for block in (HELLO, WORLD, END) if int(block[4]) > int(last[0])]
    return whole((RUN + "".join(rest)).encode()) if rest else b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_an_event_source_cut_at_every_byte_reads_everything_once() -> None:
    async with server(resuming) as url:
        source = EventSource(url)
        await source.follow(cuts=range(len(whole(STREAM)) + 1))
        assert (source.text, source.last_id) == ("👩‍🚀 hi\u2028日", "4-7")
        assert source.follower.end == {"after": 3, "seq": 4, "status": "completed"}
        assert source.connections > 10


async def test_an_event_source_tells_why_a_connection_is_over() -> None:
    answers = count()
    replies = [whole(b"retry: 700\n\n"), whole(STREAM)[:-40], b"", whole(b"gone", "404 Not Found")]
    async with server(lambda _: replies[next(answers)]) as url:
        source = EventSource(url)
        assert await source.read() is Over.CLOSED
        assert source.parser.retry_ms == 700
        assert await source.read(until=lambda follower: follower.seq == 1) is Over.CUT
        assert await source.read() is Over.LOST
        with pytest.raises(Refused) as refused:
            await source.read()
        assert (refused.value.status, refused.value.body) == (404, b"gone")


async def test_an_event_source_does_not_accept_a_204_before_the_end() -> None:
    async with server(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n") as url:
        with pytest.raises(AssertionError, match="not seen the end"):
            await EventSource(url).follow()
