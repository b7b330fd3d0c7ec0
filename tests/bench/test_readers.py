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


def end(after: int = TOKENS, status: str = "completed") -> str:
    return f'id: {after + 1}-7\nevent: end\ndata: {{"after":{after},"seq":{after + 1},"status":"{status}"}}'


def chunk(content: str, finish: str = "null") -> str:
    return f'data: {{"choices":[{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{finish}}}]}}'


RUN = 'retry: 700\n\nevent: run\ndata: {"id":"run_1"}\n\n: keep-alive'
SNAPSHOT = f'id: 2-7\nevent: snapshot\ndata: {{"seq":2,"parts":[{{"text":"{text(0, 2)}"}}]}}'
NATIVE = response(RUN, delta(0, 1), delta(1, 4), delta(4, 6), end())
CHAT = response(chunk(text(0, 1)), chunk(text(1, TOKENS)), chunk("", '"stop"'), "data: [DONE]")


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("read", "whole"),
    [(read_native, NATIVE), (read_native, response(RUN, SNAPSHOT, delta(2, 6), end())), (read_chat, CHAT)],
    ids=["native", "snapshot first", "chat"],
)
def test_a_whole_answer_is_read_in_pieces_of_any_size(
    read: Callable[[Pieces, int], Answer], whole: bytes, size: int
) -> None:
    answer = read([(2000, whole[at : at + size]) for at in range(0, len(whole), size)], TOKENS)
    assert answer.text == text(0, TOKENS)
    assert answer.first_at_us == 2000
    assert answer.delays_us == [1000, 999, 998, 997, 996, 995]


@pytest.mark.parametrize(
    "broken",
    [
        response(RUN, delta(0, 1), delta(1, 4), end(4)),
        response(RUN, delta(0, 4), delta(3, 6), end()),
        response(RUN, delta(0, 4), delta(4, 6, text(3, 6)), end()),
        response(RUN, delta(0, 4), delta(4, 6, text(5, 6)), end()),
        response(RUN, delta(0, 6)),
        response(RUN, delta(0, 6), end(status="incomplete")),
        response(RUN, delta(0, 6), end(), end()),
        response(RUN, delta(0, 2), SNAPSHOT, delta(2, 6), end()),
        response(RUN, delta(0, 6).replace("6-7", "5-7"), end()),
        response(RUN, delta(0, 6), end(), end=b""),
        NATIVE.replace(b"200 OK", b"503 Busy"),
        b"",
    ],
    ids=[
        "last tokens lost", "range overlaps", "token twice", "token lost in a delta", "no end", "incomplete", "two ends",
        "late snapshot", "wrong id", "cut", "refused", "nothing",
    ],
)  # fmt: skip
def test_a_damaged_native_answer_is_refused(broken: bytes) -> None:
    with pytest.raises(Damaged):
        read_native([(2000, broken)] if broken else [], TOKENS)


@pytest.mark.parametrize(
    "broken",
    [
        response(chunk(text(0, 5)), chunk("", '"stop"'), "data: [DONE]"),
        response(chunk(text(0, TOKENS)), "data: [DONE]"),
        response(chunk(text(0, TOKENS)), chunk("", '"stop"')),
    ],
    ids=["token lost", "no finish reason", "no [DONE]"],
)
def test_a_damaged_chat_answer_is_refused(broken: bytes) -> None:
    with pytest.raises(Damaged):
        read_chat([(2000, broken)], TOKENS)
