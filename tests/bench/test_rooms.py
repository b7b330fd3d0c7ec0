"""The load's members read their sockets' frames in any pieces. Not part of the suite's default run."""

import asyncio

import pytest

from tests.bench.rooms import Member, Native, SocketIO, Wire

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
LONG = b'{"type":"message","text":"' + b"x" * 300 + b'"}'
SHORT = b'{"type":"message","text":"y"}'


class Wired(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


def frame(payload: bytes, kind: int = 1) -> bytes:
    size = len(payload)
    return bytes((0x80 | kind, min(size, 126))) + (size.to_bytes(2, "big") if size > 125 else b"") + payload


def hear(wire: Wire, data: bytes, size: int, messages: int = 2) -> tuple[Member, bytes]:
    """A member who was told this in pieces of so many bytes, and what it wrote after its handshake."""
    member, wired = Member(wire, 7, messages), Wired()
    member.connection_made(wired)
    asked = len(wired.written)
    for at in range(0, len(data), size):
        member.data_received(data[at : at + size])
    return member, wired.written[asked:]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
async def test_messages_are_told_from_all_else_in_any_pieces(size: int) -> None:
    other = frame(b'{"type":"joined"}') + frame(b'{"type":"presence"}')
    data = HEAD + other + frame(SHORT) + frame(b"are you there", 9) + frame(LONG)
    member, written = hear(Native(), data, size)
    assert [said for _, said in member.said] == [SHORT, LONG]
    assert member.joined.done() and member.enough.done()
    join, pong = b'{"type":"join","name":"member 7"}', b"are you there"
    assert written == b"\x81" + bytes((0x80 | len(join),)) + bytes(4) + join + b"\x8a\x8d" + bytes(4) + pong


async def test_engine_io_is_answered_too() -> None:
    data = HEAD + frame(b'0{"sid":"a"}') + frame(b'40{"sid":"b"}') + frame(b"2") + frame(b'42["message",{"text":"hi"}]')
    member, written = hear(SocketIO(), data, 10_000, messages=1)
    assert written.endswith(b"\x81\x81" + bytes(4) + b"3")
    assert member.joined.done() and SocketIO().text(member.said[0][1]) == "hi"


async def test_a_refused_handshake_is_said() -> None:
    member, _ = hear(Native(), b"HTTP/1.1 403 Forbidden\r\n\r\n", 10_000)
    member.connection_lost(None)
    for future in (member.joined, member.enough):
        with pytest.raises(ConnectionError, match="403 Forbidden"):
            await future
