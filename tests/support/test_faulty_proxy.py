"""The bad network does exactly the bad that it was asked for; and the splitter of replies that it needs."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.faulty_proxy import FaultyProxy
from tests.support.redis_server import RedisServer
from tests.support.resp import ReplySplitter, is_message
from tests.support.server import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

LOOPS = 500  # turns of the loop, in which megabytes pass where nothing holds them up
SOME = b"some" * 2 * 1024 * 1024
MUCH = 32 * 1024 * 1024  # bytes, more than all buffers on the way take

MESSAGE_2 = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\n*3\r\n$7\r\n"
MESSAGE_3 = b">" + MESSAGE_2[1:]
REPLIES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":-12\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"$8\r\n\r\n$3\r\n\r\n\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*3\r\n*2\r\n:1\r\n*-1\r\n$-1\r\n*1\r\n*1\r\n$2\r\nhi\r\n",
    MESSAGE_2,
    b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$4\r\nnews\r\n$1\r\nx\r\n",
    b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",3.14\r\n",
    b"(349\r\n",
    b"!5\r\nERR x\r\n",
    b"=6\r\ntxt:\r\n\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n~1\r\n#f\r\n*0\r\n",
    b"%0\r\n",
    b"|1\r\n+ttl\r\n:60\r\n*2\r\n|1\r\n+a\r\n%0\r\n:1\r\n:2\r\n",
    MESSAGE_3,
    b">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 10_000])
def test_replies_are_split_in_whatever_pieces_they_come(size: int) -> None:
    stream, splitter = b"".join(REPLIES), ReplySplitter()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [reply for piece in pieces for reply in splitter.feed(piece)] == REPLIES
    assert splitter.rest() == b""


@pytest.mark.parametrize("reply", REPLIES, ids=range(len(REPLIES)))
def test_a_reply_is_whole_at_its_last_byte_and_not_before(reply: bytes) -> None:
    splitter = ReplySplitter()
    assert splitter.feed(reply[:-1]) == [] and splitter.rest() == reply[:-1]
    assert splitter.feed(reply[-1:] + b"+") == [reply] and splitter.rest() == b"+"


def test_only_messages_are_messages() -> None:
    assert [reply for reply in REPLIES if is_message(reply)] == [MESSAGE_2, MESSAGE_3]


@pytest.mark.parametrize("strange", [b"HTTP/1.1 200 OK\r\n", b"$?\r\n", b"*x\r\n", b"\r\n"], ids=repr)
def test_what_is_no_reply_is_refused(strange: bytes) -> None:
    with pytest.raises(ValueError):
        ReplySplitter().feed(strange)


@dataclass
class Side:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    def breaks(self) -> None:
        """Go with a RST: lingering for no time makes the kernel send that for a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hears(self, data: bytes) -> bool:
        """Whether exactly this comes next."""
        return await self.reader.readexactly(len(data)) == data

    async def is_left(self) -> bool:
        """Whether the other end goes away, having said nothing more."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True


async def many_turns() -> None:
    for _ in range(LOOPS):
        await asyncio.sleep(0)


class Stage:
    """A proxy with clients before it and a server of ours behind it."""

    def __init__(self) -> None:
        self.proxy = FaultyProxy("127.0.0.1", 0)
        self._accepted = asyncio.Queue[Side]()
        self._sides: list[Side] = []

    async def connect(self) -> Side:
        """A client, through the proxy."""
        near = Side(*await asyncio.open_connection("127.0.0.1", self.proxy.port))
        self._sides.append(near)
        return near

    async def line(self) -> tuple[Side, Side]:
        """A client and, at the other end, the server."""
        near = await self.connect()
        far = await self._accepted.get()
        self._sides.append(far)
        return near, far

    @asynccontextmanager
    async def set(self) -> AsyncIterator["Stage"]:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._accepted.put_nowait(Side(reader, writer))

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            self.proxy.target = server.sockets[0].getsockname()
            async with self.proxy:
                yield self
            assert self.proxy.open == 0
            for side in self._sides:
                side.writer.transport.abort()


@pytest.fixture
async def stage(anyio_backend: Any) -> AsyncIterator[Stage]:
    async with Stage().set() as stage:
        yield stage


async def test_without_a_fault_everything_passes_in_order(stage: Stage) -> None:
    near, far = await stage.line()
    question = Random(1).randbytes(3_000_000)
    answer = b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in (b"", b"x" * 3_000_000, b"\r\n+\r\n"))
    near.say(question)
    far.say(answer)
    assert await far.hears(question) and await near.hears(answer)
    assert (stage.proxy.connections, stage.proxy.open, stage.proxy.dropped) == (1, 1, 0)


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
async def test_an_end_comes_after_all_that_was_said(stage: Stage, delay_s: float) -> None:
    stage.proxy.delay_s = delay_s
    stage.proxy.drop_messages = 1.0
    near, far = await stage.line()
    near.say(b"QUIT")
    near.writer.write_eof()
    assert await far.hears(b"QUIT") and await far.is_left()
    answer = b"$%d\r\n" % len(SOME) + SOME + b"\r\n+half of a re"
    far.say(answer)
    far.writer.close()
    assert await near.hears(answer) and await near.is_left()
    await eventually(lambda: stage.proxy.open == 0)


async def test_a_server_that_is_away_closes_the_connection(stage: Stage) -> None:
    stage.proxy.target = ("127.0.0.1", free_port())
    near = await stage.connect()
    assert await near.is_left()
    await eventually(lambda: stage.proxy.open == 0)


@pytest.mark.parametrize("delay_s", [0.0, 1000.0], ids=["full", "delayed"])
async def test_who_sends_more_than_is_taken_waits(stage: Stage, delay_s: float) -> None:
    near, far = await stage.line()
    stage.proxy.delay_s = delay_s
    near.say(b"x" * MUCH)
    far.say(b"$%d\r\n" % MUCH + b"y" * MUCH + b"\r\n")
    await many_turns()
    for side in (near, far):
        assert side.writer.transport.get_write_buffer_size() > MUCH // 2
    if not delay_s:
        assert await far.hears(b"x" * MUCH) and await near.hears(b"$%d\r\n" % MUCH + b"y" * MUCH + b"\r\n")


async def test_refused_connections_are_closed_and_others_stay(stage: Stage) -> None:
    near, far = await stage.line()
    stage.proxy.refuse = True
    assert await (await stage.connect()).is_left()
    near.say(b"PING")
    assert await far.hears(b"PING")
    assert (stage.proxy.connections, stage.proxy.open) == (1, 1)
    stage.proxy.refuse = False
    late, _ = await stage.line()
    late.say(b"PING")
    assert stage.proxy.connections == 2


async def test_a_cut_ends_every_connection_at_both_ends(stage: Stage) -> None:
    lines = [await stage.line() for _ in range(3)]
    stage.proxy.cut()
    assert all([await side.is_left() for line in lines for side in line])
    assert stage.proxy.open == 0
    near, far = await stage.line()
    near.say(b"PING")
    assert await far.hears(b"PING")


async def test_delayed_pieces_come_later_and_in_order(stage: Stage) -> None:
    near, far = await stage.line()
    loop = asyncio.get_running_loop()
    began = loop.time()
    stage.proxy.delay_s = 0.2
    near.say(b"first ")
    far.say(b"+first\r\n")
    await eventually(lambda: all(stage.proxy.held))
    stage.proxy.delay_s = 0.0
    near.say(b"second")
    far.say(b"+second\r\n")
    assert await far.hears(b"first second") and await near.hears(b"+first\r\n+second\r\n")
    assert loop.time() - began >= 0.199  # uvloop counts in milliseconds


async def test_in_a_black_hole_everything_vanishes_and_nobody_hears_of_it(stage: Stage) -> None:
    near, far = await stage.line()
    leaver, left = await stage.line()
    breaker, broken = await stage.line()
    stuck, _ = await stage.line()
    stuck.say(b"x" * MUCH)
    await many_turns()
    assert stuck.writer.transport.get_write_buffer_size()
    stage.proxy.delay_s = 0.05
    far.say(b"+held\r\n")
    await eventually(lambda: stage.proxy.held[1])
    due = asyncio.get_running_loop().time() + 0.05
    stage.proxy.delay_s = 0.0

    stage.proxy.black_hole = True
    assert stage.proxy.held == (0, 0)
    newcomer = await stage.connect()
    for side in (near, newcomer):
        side.say(b"lost")
    far.say(b"+lost\r\n")
    leaver.writer.close()
    breaker.breaks()
    await eventually(lambda: stuck.writer.transport.get_write_buffer_size() == 0, what="it swallows what was stuck")
    await eventually(lambda: asyncio.get_running_loop().time() > due, what="what was held would have come")
    unaware = (near, far, left, broken, newcomer)
    assert not any(side.reader.at_eof() or side.reader.exception() for side in unaware)

    stage.proxy.black_hole = False
    assert all([await side.is_left() for side in unaware])
    near, far = await stage.line()
    near.say(b"PING")
    assert await far.hears(b"PING")


async def test_a_half_closed_connection_goes_on_in_one_direction(stage: Stage) -> None:
    near, far = await stage.line()
    far.say(b"+before\r\n")
    assert await near.hears(b"+before\r\n")
    stage.proxy.delay_s = 0.05
    far.say(b"+held\r\n")
    await eventually(lambda: stage.proxy.held[1])
    stage.proxy.half_close()
    assert stage.proxy.held == (0, 0)
    far.say(b"+after\r\n")
    assert await near.is_left()
    near.say(b"still here")
    assert await far.hears(b"still here") and not far.reader.at_eof()
    near.writer.close()
    assert await far.is_left()
    await eventually(lambda: stage.proxy.open == 0)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_messages_are_dropped_by_chance_and_nothing_else(tmp_path: Path, protocol: int) -> None:
    async with (
        RedisServer(tmp_path) as redis,
        FaultyProxy("127.0.0.1", redis.port, Random(7)) as proxy,
        Redis.from_url(proxy.url, protocol=protocol, decode_responses=True) as client,
        client.pubsub() as listener,
    ):
        proxy.drop_messages = 0.3
        await listener.subscribe("news")
        assert (await listener.get_message(timeout=None))["type"] == "subscribe"
        for number in range(100):
            assert await client.publish("news", str(number)) == 1
        chance = Random(7)
        expected = [str(number) for number in range(100) if chance.random() >= 0.3]
        assert [(await listener.get_message(timeout=None))["data"] for _ in expected] == expected
        proxy.drop_messages = 1.0
        await client.publish("news", "unheard")
        await listener.psubscribe("new?")
        assert (await listener.get_message(timeout=None))["type"] == "psubscribe"
        await client.publish("news", "by its pattern")
        assert (await listener.get_message(timeout=None))["type"] == "pmessage"
        assert proxy.dropped == 100 - len(expected) + 2
        proxy.drop_messages = 0.0
        await client.publish("news", "heard")
        assert (await listener.get_message(timeout=None))["data"] == "heard"


async def test_a_message_of_which_a_part_went_on_is_not_dropped_any_more(stage: Stage) -> None:
    near, far = await stage.line()
    far.say(MESSAGE_2[:30])
    assert await near.hears(MESSAGE_2[:30])
    stage.proxy.drop_messages = 1.0
    far.say(MESSAGE_2[30:] + MESSAGE_2 + b"+OK\r\n" + MESSAGE_3[:-1])
    assert await near.hears(MESSAGE_2[30:] + b"+OK\r\n")
    far.say(MESSAGE_3[-1:] + b"+half")
    await eventually(lambda: stage.proxy.dropped == 2)
    stage.proxy.drop_messages = 0.0
    far.say(b" a reply\r\n")
    assert await near.hears(b"+half a reply\r\n")
