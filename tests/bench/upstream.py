"""The upstream that plays the model: chat completions at an exact pace, as cheaply as Python can.

A prompt is an order: `rate=50 tokens=200` is answered with 200 tokens, 50 a second, the first at once. With `hold` in
it nothing comes before `POST /release`. A token is `<number>:<microseconds> `, the monotonic clock at its sending; that
clock is one for all processes of a machine. `GET /stats` tells how late tokens were sent, and starts counting anew.
"""

import asyncio
import heapq
import re
import sys
from itertools import count
from typing import cast

import httptools
import msgspec
import uvloop

from tests.bench.measure import now_us, percentile

# A token is at most this late by design: a tenth of what a person could notice, and 1000 wake-ups a second are cheap.
TICK_S = 0.001

# The fields that such servers send, about 200 bytes a chunk.
_EVENT = (
    b'data: {"id":"chatcmpl-BnchBnchBnchBnchBnch","object":"chat.completion.chunk","created":1750000000,'
    b'"model":"bench","choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}\n\n'
)
_USAGE = (
    b'data: {"id":"chatcmpl-BnchBnchBnchBnchBnch","object":"chat.completion.chunk","created":1750000000,'
    b'"model":"bench","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":%d,"total_tokens":%d}}\n\n'
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
_ORDER = re.compile(rb"rate=([0-9]+) tokens=([0-9]+)( hold)?")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream:
    """One answer under way."""

    def __init__(self, transport: asyncio.WriteTransport, rate: int, tokens: int, usage: bool) -> None:
        self.transport = transport
        self.period_us = 1_000_000 // rate
        self.tokens = tokens
        self.usage = usage
        self.sent = 0

    def send(self) -> bool:
        """Send the next token. False once there is no next one."""
        if self.transport.is_closing():
            return False
        token = b'{"content":"%d:%d "}' % (self.sent, now_us())
        self.transport.write(_chunk(_EVENT % (token, b"null")))
        self.sent += 1
        if self.sent < self.tokens:
            return True
        self.transport.write(_chunk(_EVENT % (b"{}", b'"stop"')))
        if self.usage:
            self.transport.write(_chunk(_USAGE % (self.tokens, self.tokens + 4)))
        self.transport.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        return False


class Pacer:
    """One timer for all streams: a token is due a period after the one before was due, however late that was sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.held: list[Stream] = []
        self.late_us: list[int] = []
        self._loop = loop
        self._due: list[tuple[int, int, Stream]] = []
        self._numbers = count()  # makes entries of one time comparable

    def add(self, stream: Stream) -> None:
        if not self._due:
            self._loop.call_later(TICK_S, self._tick)
        heapq.heappush(self._due, (now_us(), next(self._numbers), stream))

    def release(self) -> None:
        for stream in self.held:
            self.add(stream)
        self.held.clear()

    def _tick(self) -> None:
        due = self._due
        while due and (late := now_us() - due[0][0]) >= 0:
            at, number, stream = due[0]
            self.late_us.append(late)
            if stream.send():
                heapq.heapreplace(due, (at + stream.period_us, number, stream))
            else:
                heapq.heappop(due)
        if due:
            self._loop.call_later(TICK_S, self._tick)

    def stats(self) -> bytes:
        late, self.late_us = sorted(self.late_us), []
        return msgspec.json.encode({"late_p99_us": percentile(late, 99), "late_max_us": percentile(late, 100)})


class Connection(asyncio.Protocol):
    """One client connection; requests on it follow one another."""

    transport: asyncio.WriteTransport

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._parser = httptools.HttpRequestParser(self)
        self._url = self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._url == b"/v1/chat/completions":
            self._answer()
        elif self._url == b"/release":
            self._pacer.release()
            self._reply(b"{}")
        elif self._url == b"/stats":
            self._reply(self._pacer.stats())
        else:
            self._reply(b"{}")

    def _answer(self) -> None:
        order = _ORDER.search(self._body)
        if order is None:
            raise SystemExit(f"not an order: {self._body!r}")
        stream = Stream(self.transport, int(order[1]), int(order[2]), b'"include_usage"' in self._body)
        self.transport.write(_HEAD)
        if order[3]:
            self._pacer.held.append(stream)
        else:
            self._pacer.add(stream)

    def _reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    # All streams may connect at once, so the backlog holds them.
    server = await loop.create_server(lambda: Connection(pacer), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
