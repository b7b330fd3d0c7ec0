"""What a client received, read and checked after the fact.

A reader keeps the pieces of its response with the time of each, and these functions turn them into tokens: every one
there, once, in order, or `Damaged` says what is wrong.
"""

import re
from collections.abc import Iterator, Sequence

import httptools
from msgspec import Struct, field
from msgspec.json import Decoder

Pieces = Sequence[tuple[int, bytes]]
"""(arrival in microseconds, bytes as they came from the socket)"""

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n")


class Damaged(Exception):
    """A response that is not what the upstream sent."""


class Answer(Struct, frozen=True):
    """A whole answer. Times in microseconds: when the first token came, and each token's way from upstream to here."""

    text: str
    first_at_us: int
    delays_us: list[int]


class _Part(Struct):
    text: str


class _Event(Struct):
    """The data of any native event that has a place in the log."""

    seq: int
    after: int = -1
    text: str | None = None
    parts: list[_Part] = field(default_factory=list)
    status: str | None = None


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta
    finish_reason: str | None = None  # some leave out what is null


class _Chunk(Struct):
    choices: list[_Choice]


_native = Decoder(_Event)
_chat = Decoder(_Chunk)


class _Body:
    """Collects the body of a response, piece by piece."""

    def __init__(self) -> None:
        self.complete = False
        self._new = b""

    def on_body(self, body: bytes) -> None:
        self._new += body

    def on_message_complete(self) -> None:
        self.complete = True

    def take(self) -> bytes:
        new, self._new = self._new, b""
        return new


class _Tokens:
    """Takes text as it comes and checks the tokens in it."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.first_at_us = 0
        self.delays_us: list[int] = []
        self._rest = ""

    def take(self, text: str, at_us: int) -> None:
        self.text.append(text)
        *tokens, self._rest = (self._rest + text).split(" ")
        for token in tokens:
            number, _, sent_us = token.partition(":")
            if number != str(len(self.delays_us)):
                raise Damaged(f"token {len(self.delays_us)} expected, {token!r} came")
            self.first_at_us = self.first_at_us or at_us
            self.delays_us.append(at_us - int(sent_us))

    def answer(self, tokens: int) -> Answer:
        if len(self.delays_us) != tokens or self._rest:
            raise Damaged(f"{len(self.delays_us)} of {tokens} tokens came")
        return Answer("".join(self.text), self.first_at_us, self.delays_us)


def _blocks(pieces: Pieces) -> Iterator[tuple[int, dict[bytes, bytes]]]:
    """The events of a response: when each was complete, and its fields."""
    body = _Body()
    parser = httptools.HttpResponseParser(body)
    rest = b""
    for at_us, piece in pieces:
        parser.feed_data(piece)
        *blocks, rest = _BLANK_LINE.split(rest + body.take())
        for block in blocks:
            yield at_us, dict(line.split(b": ", 1) for line in block.splitlines() if not line.startswith(b":"))
    if not pieces or parser.get_status_code() != 200:
        raise Damaged(f"answered {pieces[0][1][:300]!r}" if pieces else "closed without an answer")
    if not body.complete:
        raise Damaged("the connection broke off")


def read_native(pieces: Pieces, tokens: int) -> Answer:
    """An answer as Headwater's native SSE: each event joins the one before, one end, `completed`, nothing after it."""
    found = _Tokens()
    seq, ended = 0, False
    for at_us, block in _blocks(pieces):
        kind = block.get(b"event", b"")
        if kind in (b"", b"run"):
            continue
        event = _native.decode(block[b"data"])
        if ended:
            raise Damaged(f"{kind!r} after the end")
        if kind == b"snapshot" and seq == 0:
            found.take("".join(part.text for part in event.parts), at_us)
        elif kind == b"delta" and event.after == seq and event.text:
            found.take(event.text, at_us)
        elif kind == b"end" and event.after == seq and event.status == "completed":
            ended = True
        else:
            raise Damaged(f"after seq {seq} came {block!r}")
        seq = event.seq
        if block.get(b"id", b"%d-" % seq).partition(b"-")[0] != b"%d" % seq:
            raise Damaged(f"the id does not fit: {block!r}")
    if not ended:
        raise Damaged("no end came")
    return found.answer(tokens)


def read_chat(pieces: Pieces, tokens: int) -> Answer:
    """An answer as chat completions: the tokens, a finish reason, `[DONE]`."""
    found = _Tokens()
    finish, done = None, False
    for at_us, block in _blocks(pieces):
        data = block.get(b"data", b"")
        if not data:
            continue  # a comment that keeps the line alive
        if data == b"[DONE]":
            done = True
            continue
        for choice in _chat.decode(data).choices:
            finish = choice.finish_reason
            found.take(choice.delta.content or "", at_us)
    if not done or finish != "stop":
        raise Damaged(f"ended with finish_reason {finish}, [DONE]: {done}")
    return found.answer(tokens)
