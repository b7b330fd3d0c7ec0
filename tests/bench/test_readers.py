"""The bench notices what it is there to notice. Not part of the suite's default run: `pytest tests/bench`."""

from collections.abc import Callable

import pytest

from tests.bench.readers import Answer, Damaged, Pieces, read_chat, read_native

TOKENS = 6
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def response(*blocks: str, end: bytes = b"0\r\n\r\n") -> bytes:
    body = [block.encode() + b"\n\n" for block in blocks]
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(data), data) for data in body) + end


def text(first: int, last: int) -> str:
    return "".join(f"{number}:{1000 + number} " for number in range(first, last))


def delta(after: int, seq: int, content: str | None = None) -> str:
    content = text(after, seq) if content is None else content
    return f'id: {seq}-7\nevent: delta\ndata: {{"after":{after},"seq":{seq},"text":"{content}"}}'


def snapshot(first: int, seq: int) -> str:
    return f'id: {seq}-7\nevent: snapshot\ndata: {{"seq":{seq},"parts":[{{"text":"{text(first, seq)}"}}]}}'


def end(after: int = TOKENS, status: str = "completed") -> str:
    return f'id: {after + 1}-7\nevent: end\ndata: {{"after":{after},"seq":{after + 1},"status":"{status}"}}'


def chunk(content: str, finish: str = "null") -> str:
    return f'data: {{"choices":[{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{finish}}}]}}'


RUN = 'retry: 700\n\nevent: run\ndata: {"id":"run_1"}\n\n: keep-alive'
NATIVE = response(RUN, delta(0, 1), delta(1, 4), delta(4, 6), end())
CHAT = response(chunk(text(0, 1)), chunk(text(1, TOKENS)), chunk("", '"stop"'), "data: [DONE]")
# As other servers write it: what is null left out, a comment in between, the usage at the end.
TERSE = response(
    f'data: {{"choices":[{{"delta":{{"content":"{text(0, TOKENS)}","role":"assistant"}}}}]}}',
    ": ping",
    'data: {"choices":[{"delta":{"content":null},"finish_reason":"stop"}]}',
    'data: {"choices":[],"usage":{"completion_tokens":6}}',
    "data: [DONE]",
)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (read_native, NATIVE),
        (read_native, response(RUN, snapshot(0, 2), delta(2, 6), end())),
        (read_chat, CHAT),
        (read_chat, TERSE),
    ],
    ids=["native", "snapshot first", "chat", "chat of others"],
)
def test_a_whole_answer_is_read_in_pieces_of_any_size(
    read: Callable[[Pieces, int], Answer], whole: bytes, size: int
) -> None:
    answer = read([(2000, whole[at : at + size]) for at in range(0, len(whole), size)], TOKENS)
    assert answer.text == text(0, TOKENS)
    assert answer.first_at_us == 2000
    assert answer.delays_us == [1000, 999, 998, 997, 996, 995]


BROKEN = {
    "last tokens lost": response(RUN, delta(0, 1), delta(1, 4), end(4)),
    "range overlaps": response(RUN, delta(0, 4), delta(3, 6, text(4, 6)), end()),
    "tokens swapped": response(RUN, delta(0, 4), delta(4, 6, text(5, 6) + text(4, 5)), end()),
    "token twice": response(RUN, delta(0, 4), delta(4, 6, text(3, 6)), end()),
    "token lost in a delta": response(RUN, delta(0, 4), delta(4, 6, text(5, 6)), end()),
    "no end": response(RUN, delta(0, 6)),
    "incomplete": response(RUN, delta(0, 6), end(status="incomplete")),
    "two ends": response(RUN, delta(0, 6), end(), end(TOKENS + 1)),
    "late snapshot": response(RUN, delta(0, 2), snapshot(2, 4), delta(4, 6), end()),
    "wrong id": response(RUN, delta(0, 6).replace("6-7", "5-7"), end()),
    "cut": response(RUN, delta(0, 6), end(), end=b""),
    "refused": NATIVE.replace(b"200 OK", b"503 Busy"),
    "nothing": b"",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_damaged_native_answer_is_refused(broken: bytes) -> None:
    with pytest.raises(Damaged):
        read_native([(2000, broken)] if broken else [], TOKENS)


@pytest.mark.parametrize(
    "broken",
    [
        response(chunk(text(0, 5)), chunk("", '"stop"'), "data: [DONE]"),
        response(chunk(text(0, TOKENS)), "data: [DONE]"),
        response(chunk(text(0, TOKENS)), chunk("", '"stop"')),
        response(chunk(text(0, 5)), chunk("", '"stop"'), chunk(text(5, TOKENS)), "data: [DONE]"),
    ],
    ids=["token lost", "no finish reason", "no [DONE]", "token after the finish reason"],
)
def test_a_damaged_chat_answer_is_refused(broken: bytes) -> None:
    with pytest.raises(Damaged):
        read_chat([(2000, broken)], TOKENS)
