"""Messages that are made once for many sockets, and others, on one connection."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headwater.core.frames import FRAGMENT_BYTES, frame_text, messages_in
from headwater.web.socket_connection import SocketConnection

pytestmark = pytest.mark.anyio


class Transport:
    """Has room for one write, and then says so by `pause`."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self.data = b""
        self._pause = pause

    def write(self, data: bytes) -> None:
        self.data += data
        self._pause()

    def is_closing(self) -> bool:
        return False


def a_connection() -> Any:
    connection: Any = object.__new__(SocketConnection)  # of a server there is nothing here
    connection.close_sent = False
    connection.writable = asyncio.Event()
    connection.writable.set()
    connection.transport = Transport(connection.writable.clear)
    return connection


async def test_nothing_comes_between_the_pieces_of_a_long_message() -> None:
    connection = a_connection()
    long = "a" * (2 * FRAGMENT_BYTES)
    writing = asyncio.ensure_future(connection.write_all(frame_text(long.encode()), lambda: None))
    await asyncio.sleep(0)
    connection.writable.set()  # the client took the first piece; who writes the next has yet to hear of it
    assert not connection.write(frame_text(b"between"))
    while not writing.done():
        connection.writable.set()
        await asyncio.sleep(0)
    assert connection.write(frame_text(b"behind"))
    assert list(messages_in(connection.transport.data)) == [long, "behind"]


async def test_a_long_message_that_is_given_up_keeps_nobody_from_writing() -> None:
    connection = a_connection()
    writing = asyncio.ensure_future(connection.write_all(frame_text(b"a" * (2 * FRAGMENT_BYTES)), lambda: None))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert not connection.amid_message
