"""The load of a room: members on raw sockets, spread over two workers, of whom one after another says something.

A member keeps what is said, with the time that it came, and reads it only afterwards. Each message says when it was
sent, so that a delay is from its sending to its receipt, here both times.
"""

import asyncio
import resource
import secrets
import struct
from collections.abc import Sequence
from typing import Protocol, cast

import msgspec
from msgspec import Struct

from tests.bench.job import Job, Result
from tests.bench.measure import now_us, percentile
from tests.bench.meter import Meter

# Members come one after another: all at once would measure the accepting of connections.
JOIN_EVERY_S = 1 / 200
# After the last one came until the first word: what there is to say about their coming is said by then.
SETTLE_S = 2.0
# About as long as what people write in a chat.
TEXT_BYTES = 80
# So that neighbours in time are far apart, on one worker and the other in turn.
STRIDE = 37
# Files that are open beside the sockets.
FILES = 64

TEXT, PING, PONG = 0x1, 0x9, 0xA


# -- what is spoken


class _Said(Struct):
    text: str


class Wire(Protocol):
    """How a room is spoken to. A message's frame begins with `mark`, one that says that one is in with `welcome`."""

    path: str
    mark: bytes
    welcome: bytes

    def join(self, number: int) -> bytes:
        """The frame by which a member comes in."""

    def say(self, client_id: str, text: str) -> bytes:
        """The frame that says something."""

    def text(self, frame: bytes) -> str:
        """What a message's frame says."""


class Native:
    """Headwater's own."""

    path = "/v1/rooms/bench/ws"
    mark = b'{"type":"message"'
    welcome = b'{"type":"joined"'

    def join(self, number: int) -> bytes:
        return b'{"type":"join","name":"member %d"}' % number

    def say(self, client_id: str, text: str) -> bytes:
        return msgspec.json.encode({"type": "message", "client_id": client_id, "text": text})

    def text(self, frame: bytes) -> str:
        return _said.decode(frame).text


class SocketIO:
    """Socket.IO 5 in Engine.IO 4's frames."""

    path = "/socket.io/?EIO=4&transport=websocket"
    mark = b'42["message"'
    welcome = b"40"

    def join(self, number: int) -> bytes:
        return b'40{"name":"member %d"}' % number

    def say(self, client_id: str, text: str) -> bytes:
        return b"42" + msgspec.json.encode(["message", {"client_id": client_id, "text": text}])

    def text(self, frame: bytes) -> str:
        return _emitted.decode(frame[2:])[1].text


_said = msgspec.json.Decoder(_Said)
_emitted = msgspec.json.Decoder(tuple[str, _Said])


# -- members


class Member(asyncio.Protocol):
    """One socket. `said` are the messages that came, each with its time; `enough` is done when all have come."""

    def __init__(self, wire: Wire, number: int, messages: int) -> None:
        loop = asyncio.get_running_loop()
        self.said: list[tuple[int, bytes]] = []
        self.joined: asyncio.Future[None] = loop.create_future()
        self.enough: asyncio.Future[None] = loop.create_future()
        self._wire = wire
        self._number = number
        self._messages = messages
        self._mark = wire.mark
        self._rest = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        head = f"GET {self._wire.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        self._transport.write(head.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.joined, self.enough):
            if not future.done():
                future.set_exception(ConnectionError(f"member {self._number} was let go: {self._rest[:300]!r}"))

    def data_received(self, data: bytes) -> None:
        at_us = now_us()
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self._open:
            head, blank, data = data.partition(b"\r\n\r\n")
            if not blank or b" 101 " not in head.split(b"\r\n", 1)[0]:
                self._rest = head + blank + data
                return
            self._open = True
            self.write(TEXT, self._wire.join(self._number))
        start, length = 0, len(data)
        while length - start >= 2:
            size, begin = data[start + 1], start + 2
            if size > 125:
                begin += 2 if size == 126 else 8
                size = int.from_bytes(data[start + 2 : begin]) if length >= begin else length
            if begin + size > length:
                break
            self._take(data[start] & 0x0F, data[begin : begin + size], at_us)
            start = begin + size
        self._rest = data[start:]

    def _take(self, kind: int, frame: bytes, at_us: int) -> None:
        if kind == PING:
            self.write(PONG, frame)
        elif frame.startswith(self._mark):
            self.said.append((at_us, frame))
            if len(self.said) == self._messages:
                self.enough.set_result(None)
        elif frame == b"2":  # Engine.IO's ping
            self.write(TEXT, b"3")
        elif not self.joined.done() and frame.startswith(self._wire.welcome):
            self.joined.set_result(None)

    def say(self, client_id: str, text: str) -> None:
        """Say something."""
        self.write(TEXT, self._wire.say(client_id, text))

    def write(self, kind: int, frame: bytes) -> None:
        """Send a frame, under a mask of zeros, which leaves it as it is."""
        size = len(frame)
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
        self._transport.write(bytes((0x80 | kind,)) + length + bytes(4) + frame)

    def leave(self) -> None:
        """Be gone at once."""
        self.enough.cancel()
        self._transport.abort()


# -- the load


async def rooms(job: Job, result: Result) -> None:
    """Everybody comes in, then `tokens` messages are said, `rate` a second; all of them come to all."""
    _allow_files(job.streams + FILES)
    wire: Wire = SocketIO() if job.chat else Native()
    members = [Member(wire, number, job.tokens) for number in range(job.streams)]
    try:
        await asyncio.gather(*(_come_in(job, number, member) for number, member in enumerate(members)))
        await asyncio.sleep(SETTLE_S)
        meter = Meter(job)
        late = await _talk(job, members)
        await asyncio.gather(*(member.enough for member in members))
        server_s, redis_s = meter.read(result)
    finally:
        missing = sum(max(0, job.tokens - len(member.said)) for member in members)
        if missing:
            result.errors.append(f"{missing} of {job.streams * job.tokens} deliveries have not come")
        for member in members:
            member.leave()
    deliveries = job.streams * job.tokens
    result.cpu_us, result.redis_us = server_s * 1e6 / deliveries, redis_s * 1e6 / deliveries
    result.late_p99_ms = percentile(sorted(late), 99) / 1000
    _evaluate(job, wire, members, result)


async def _come_in(job: Job, number: int, member: Member) -> None:
    await asyncio.sleep(number * JOIN_EVERY_S)
    port = job.server.beside if number % 2 and job.server.beside is not None else job.server.port
    await asyncio.get_running_loop().create_connection(lambda: member, "127.0.0.1", port)
    await member.joined


async def _talk(job: Job, members: Sequence[Member]) -> list[int]:
    """Say all messages at their times: how late each was, in microseconds."""
    start, late = now_us(), []
    talk = secrets.token_hex(4)  # the warm-up's was another
    for number in range(job.tokens):
        due = start + number * 1_000_000 // job.rate
        await asyncio.sleep(max(0, due - now_us()) / 1e6)
        at_us = now_us()
        late.append(at_us - due)
        text = f"{number}:{at_us}:".ljust(TEXT_BYTES, "-")
        members[number * STRIDE % len(members)].say(f"{talk}-{number}", text)
    return late


def _evaluate(job: Job, wire: Wire, members: Sequence[Member], result: Result) -> None:
    """Read what came: every message once at every member. In which order is told by `unlike`."""
    delays: list[int] = []
    orders: list[list[int]] = []
    for member in members:
        order: list[int] = []
        for at_us, frame in member.said:
            number, sent_us, _ = wire.text(frame).split(":", 2)
            order.append(int(number))
            delays.append(at_us - int(sent_us))
        orders.append(order)
    for who, order in enumerate(orders):
        if sorted(order) != list(range(job.tokens)):
            result.errors.append(f"member {who}: {len(order)} of {job.tokens} messages, {len(set(order))} different")
    result.unlike = sum(order != orders[0] for order in orders)
    if result.unlike and not job.chat:
        result.errors.append(f"{result.unlike} members did not see the order that the first one saw")
    delays.sort()
    result.delay_ms = percentile(delays, 50) / 1000, percentile(delays, 99) / 1000


def _allow_files(count: int) -> None:
    """Raises OSError where the machine does not let a process open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise OSError(f"{count} open files are needed, and the hard limit is {hard}: see ulimit -Hn")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
