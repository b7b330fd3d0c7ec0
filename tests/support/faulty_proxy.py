"""A bad network between clients and a Redis: a TCP proxy in the test's own loop, whose faults are switched as it runs.

In a test:

    async with RedisServer(tmp_path) as redis, FaultyProxy("127.0.0.1", redis.port) as proxy:
        client = Redis.from_url(proxy.url)
        ...
        proxy.black_hole = True
"""

import asyncio
from collections import deque
from random import Random
from typing import Self, cast

from tests.support.resp import ReplySplitter, is_message
from tests.support.waiting import eventually

# Of one direction of a connection, while delayed: beyond, the sender waits, as it would before a long line.
HELD_BYTES = 1_048_576


class FaultyProxy:
    """The proxy. Without a fault it passes bytes and ends of streams on as they come, no faster than they are taken.

    refuse          new connections are closed at once
    delay_s         each piece is held that long, either way; pieces keep their order whatever it changes to
    black_hole      bytes are taken and forwarded nowhere, and nobody hears that the other left; once it is off
                    again the connections that were in it are aborted (what a socket already has still arrives)
    drop_messages   the probability with which a published message does not reach a subscriber; `random` decides
    connections     how many there have been, refused ones not counted
    dropped         messages left out
    """

    def __init__(self, host: str, port: int, random: Random | None = None) -> None:
        self.target = (host, port)
        self.port = 0
        self.random = random or Random(0)
        self.refuse = False
        self.delay_s = 0.0
        self.drop_messages = 0.0
        self.connections = 0
        self.dropped = 0
        self._black_hole = False
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<FaultyProxy {self.port} before {self.target[1]}, {self.open} of {self.connections} open>"

    @property
    def url(self) -> str:
        """Where clients find the Redis, which must want no password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._links)

    @property
    def held(self) -> tuple[int, int]:
        """The bytes that wait for their time, to the server and to clients."""
        return sum(link.up.held_bytes for link in self._links), sum(link.down.held_bytes for link in self._links)

    @property
    def black_hole(self) -> bool:
        """Whether everything vanishes."""
        return self._black_hole

    @black_hole.setter
    def black_hole(self, on: bool) -> None:
        was, self._black_hole = self._black_hole, on
        if was and not on:
            self.cut()
        for link in self._links:
            link.up.swallow()
            link.down.swallow()

    def cut(self) -> None:
        """Abort every connection."""
        for link in self._links:
            link.abort()

    def half_close(self) -> None:
        """Tell each client that the server is done, and pass on only what the clients still say."""
        for link in self._links:
            link.down.shut()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self).client, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.black_hole = False
        self.cut()
        await eventually(lambda: not self._links, what="every connection is gone")
        await self._server.wait_closed()

    # -- for its links

    def accepted(self, link: "_Link") -> bool:
        """Whether a new connection may stay."""
        if self.refuse:
            return False
        self.connections += 1
        self._links.add(link)
        return True

    def gone(self, link: "_Link") -> None:
        """A connection is over."""
        self._links.discard(link)

    def drops(self, reply: bytes) -> bool:
        """Whether this reply is left out."""
        unlucky = is_message(reply) and self.random.random() < self.drop_messages
        self.dropped += unlucky
        return unlucky


class _Link:
    """A client's connection and the one to the server that goes with it."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        self.client = _End(self)
        self.server = _End(self)
        self.up = _Way(self, self.client, self.server)
        self.down = _Replies(self, self.server, self.client)
        self.client.way, self.client.way_back = self.up, self.down
        self.server.way, self.server.way_back = self.down, self.up
        self._connecting: asyncio.Task[None] | None = None
        self._aborted = False

    def made(self, end: "_End") -> None:
        """One of the two is there."""
        if self._aborted or (end is self.client and not self.proxy.accepted(self)):
            self.abort()
        elif end is self.server:
            self.up.release()
        elif not self.proxy.black_hole:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(lambda _: self._look_whether_gone())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, *self.proxy.target)
        except OSError:  # the server is away
            self.abort()

    def lost(self) -> None:
        """One of the two is over."""
        # In the hole the other never hears of it, and after a whole conversation it may still be read.
        if not (self.proxy.black_hole or self._aborted or self._both_ended):
            self.abort()
        self._look_whether_gone()

    def ended(self) -> None:
        """One of the ways has come to its end."""
        if self._both_ended:
            for end in (self.client, self.server):
                if end.transport is not None:
                    end.transport.close()

    def abort(self) -> None:
        """Close both connections at once. What is held is lost."""
        self._aborted = True
        if self._connecting is not None:
            self._connecting.cancel()
        for end, way in ((self.client, self.up), (self.server, self.down)):
            way.swallow()
            if end.transport is not None:
                end.transport.abort()

    @property
    def _both_ended(self) -> bool:
        return self.up.ended and self.down.ended

    def _look_whether_gone(self) -> None:
        connecting = self._connecting is not None and not self._connecting.done()
        if not connecting and self.client.transport is None and self.server.transport is None:
            self.proxy.gone(self)


class _End(asyncio.Protocol):
    """One of the two connections. What comes from it goes its `way`, and what it is sent comes on its `way_back`."""

    way: "_Way"
    way_back: "_Way"

    def __init__(self, link: _Link) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.full = False  # it takes less than it is sent
        self.silent = False  # it has said all

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.link.made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.link.lost()

    def data_received(self, data: bytes) -> None:
        self.way.take(data)

    def eof_received(self) -> bool:
        self.silent = True
        self.way.take(None)
        return True  # the other direction stays open

    def pause_writing(self) -> None:
        self.full = True
        self.way_back.flow()

    def resume_writing(self) -> None:
        self.full = False
        self.way_back.flow()


class _Way:
    """One direction of a link: pieces in, the same pieces out. None among them is the end of the stream."""

    def __init__(self, link: _Link, source: _End, sink: _End) -> None:
        self.proxy = link.proxy
        self.ended = False  # its end was passed on
        self.held_bytes = 0
        self._link = link
        self._source = source
        self._sink = sink
        self._held: deque[tuple[float, bytes | None]] = deque()  # with the time until which it is
        self._timer: asyncio.TimerHandle | None = None

    def take(self, piece: bytes | None) -> None:
        """One more piece."""
        if self.proxy.black_hole or self.ended:
            return
        self._held.append((asyncio.get_running_loop().time() + self.proxy.delay_s, piece))
        self.held_bytes += len(piece or b"")
        self.release()

    def release(self) -> None:
        """Pass on what has been held long enough, once there is somebody to take it."""
        self._stop_timer()
        loop = asyncio.get_running_loop()
        while self._held and self._held[0][0] <= loop.time() and self._sink.transport is not None:
            _, piece = self._held.popleft()
            self.held_bytes -= len(piece or b"")
            if piece is None:
                self._end()
            else:
                self._sink.transport.write(piece)
        if self._held and self._sink.transport is not None:
            self._timer = loop.call_at(self._held[0][0], self.release)
        self.flow()

    def flow(self) -> None:
        """Let the source go on, or wait while its pieces are not taken."""
        source = self._source.transport
        if source is None or source.is_closing() or self._source.silent:
            return
        vanishing = self.proxy.black_hole or self.ended
        if not vanishing and (self._sink.full or self.held_bytes > HELD_BYTES):
            source.pause_reading()
        else:
            source.resume_reading()

    def swallow(self) -> None:
        """Lose what is held."""
        self._stop_timer()
        self._held.clear()
        self.held_bytes = 0
        self.flow()

    def shut(self) -> None:
        """End it here and now; what else comes is lost."""
        if not self.ended and self._sink.transport is not None:
            self._end()
            self.swallow()

    def _end(self) -> None:
        assert self._sink.transport is not None
        if not self._sink.transport.is_closing():
            self._sink.transport.write_eof()
        self.ended = True
        self._link.ended()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Replies(_Way):
    """The direction to the client, from which messages are dropped."""

    def __init__(self, link: _Link, source: _End, sink: _End) -> None:
        super().__init__(link, source, sink)
        self._replies = ReplySplitter()
        self._ahead = 0  # bytes of the unfinished reply that went on already: it is not dropped any more

    def take(self, piece: bytes | None) -> None:
        """One more piece, without the messages that are dropped."""
        if rest := self._chosen(piece):
            super().take(rest)
        if piece is None:
            super().take(None)

    def _chosen(self, piece: bytes | None) -> bytes:
        chosen = []
        for reply in self._replies.feed(piece or b""):
            if self._ahead or not self.proxy.drops(reply):
                chosen.append(reply[self._ahead :])
            self._ahead = 0
        # While messages are dropped, a reply waits until it is whole.
        if not self.proxy.drop_messages or piece is None:
            chosen.append(self._replies.rest(self._ahead))
            self._ahead += len(chosen[-1])
        return b"".join(chosen)
