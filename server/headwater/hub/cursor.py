"""One subscriber: a position in a live log, and the next bytes to write."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from headwater.core.events import Entry, Status
from headwater.core.position import START, Position
from headwater.core.window import Miss
from headwater.errors import StoreUnavailable
from headwater.formats.base import After, Format, Frame, Remembering
from headwater.hub.live import LiveLog

# A larger chunk goes out by the task, in pieces and as the socket takes them.
WRITE_THROUGH_BYTES = 64 * 1024


class Line(Protocol):
    """The way to a reader's socket past its task: 500 readers are not 500 tasks to be woken."""

    def write(self, data: bytes) -> bool:
        """Hand over a piece of the body, if the socket takes it at once; else do nothing and say False."""

    def abort(self) -> None:
        """Drop the connection and what it did not take."""


class Cursor:
    """Follows a log in one form, from a position, or from a snapshot where that is None.

    `next` gives frame after frame. Whoever writes them tells `writing` and `written`, so that
    the hub can see a reader whose socket takes nothing. While a reader keeps up, its chunks go
    straight to its `line`, where it has one, and `next` does not return.
    """

    __slots__ = (  # of 10,000 that are silent, each
        "_ahead",
        "_announced",
        "_asks",
        "_epoch",
        "_keep_alive",
        "_missed_call",
        "_now",
        "_on_close",
        "_read_bytes",
        "_replaces",
        "_verified",
        "_waiter",
        "form",
        "format",
        "gone_because",
        "line",
        "log",
        "position",
        "waits_for_store",
        "writes",
        "writing_since",
        "written_at",
    )

    def __init__(
        self,
        log: LiveLog,
        form: type[Format],
        position: Position | None,
        *,
        read_bytes: int,
        now: Callable[[], float],
        on_close: Callable[["Cursor"], None],
    ) -> None:
        self.log = log
        self.form = form
        self.format = log.format(form)
        self.position = position
        self.line: Line | None = None
        self.gone_because: str | None = None
        """Why this reader is to get nothing more."""
        self.writing_since: float | None = None
        self.written_at = now()
        self.writes = 0
        self.waits_for_store = False
        """What this reader needs is in nobody's news: it must ask again."""
        self._read_bytes = read_bytes
        self._now = now
        self._on_close = on_close
        self._epoch = log.epoch
        self._verified = position is None or position == START
        self._replaces = False
        self._announced: Status | None = None
        self._keep_alive = False
        self._asks = False
        self._missed_call = False
        self._waiter: asyncio.Future[None] | None = None
        self._ahead: bytes | None = None

    def __repr__(self) -> str:
        return f"<Cursor {self.log.head.id} {self.form.__name__} at {self.position}>"

    # -- for the hub

    def wake(self) -> None:
        """There is something new."""
        if self._waiter is None:
            self._missed_call = True  # it is reading: what it finds may be older than this
            return
        if self._waiter.done():
            return
        if self.line is None or not self._write_through(self.line):
            self._waiter.set_result(None)

    def ask_again(self) -> None:
        """Ask the store what no news has brought."""
        self._asks = True
        self.wake()

    def _write_through(self, line: Line) -> bool:
        """Write what the window has, without the task; False where the task must see to it."""
        log = self.log
        while self.gone_because is None and self._epoch == log.epoch and not (log.gone or self._has_status_news):
            if self.position is None:
                return False
            got = log.window.read(self.position, self.format.key, self.format.encode)
            if got is Miss.NOTHING_NEW:
                return True
            if isinstance(got, Miss):
                return False
            position, frame = got
            if type(frame) is not Frame or frame.after is not After.GO_ON:
                return False
            if len(frame.data) > WRITE_THROUGH_BYTES or frame.rest:
                return False
            if frame.data and not line.write(frame.data):
                return False
            self.position = position
            self._note_written()
            if position is log.window.flushed:
                return True
        return False

    def keep_alive(self) -> None:
        """Write something harmless: the connection has been silent for long."""
        if self._waiter is None or not self.format.keep_alive:
            return
        if self.line is not None and self.line.write(self.format.keep_alive):
            self._note_written()
        else:
            self._keep_alive = True
            self.wake()

    def let_go(self, because: str) -> None:
        """End this reader's connection; it may come back with its position."""
        self.gone_because = self.gone_because or because
        if self.writing_since is not None and self.line is not None:
            self.line.abort()  # its socket takes nothing: there is no point in waiting for it
        self.wake()

    # -- for the connection

    def writing(self) -> None:
        """A frame, or the next piece of one, is being written from now on."""
        self.writing_since = self._now()

    def written(self) -> None:
        """The frame has been taken by the socket."""
        self.writing_since = None
        self._note_written()

    def _note_written(self) -> None:
        self.written_at = self._now()
        self.writes += 1

    def close(self) -> None:
        """The connection is over."""
        self._on_close(self)

    async def prepare(self) -> None:
        """Make ready a form that repeats what came before. Raises StoreUnavailable, UnknownRun, DamagedLog."""
        form = self.format
        if not isinstance(form, Remembering):
            return
        if self._announced is None and self.position is not None and self.position != START:
            self._announced = "in_progress"  # it was, before there was such a position
        await self.log.teach(type(form))
        if self.position is not None and self.position.seq > form.reached.seq:
            await self.log.teach(type(form))  # it was being told already when this position came to be
        if self.position == START or (self.position is None and not self._replaces):
            self.position = form.begin

    def go_on(self, position: Position, ahead: bytes) -> None:
        """Before the first `next`: write `ahead`, then what lies after the position; the run was announced before."""
        self.position, self._ahead = position, ahead
        self._verified = position == START
        self._announced = self.log.status

    async def one_after(self, position: Position) -> Entry | None:
        """The one event after a position, from the store; None if there is none, or if it does not join.

        Raises StoreUnavailable, DamagedLog.
        """
        read = await self.log.store.read(self.log.head.id, position, 1)
        if read is None or not read.entries:
            return None
        first = read.entries[0]
        return Entry(position, position.seq + 1, first.tag, first.events[:1])

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended, as far as is known here."""
        return self.log.ended.is_set()

    async def check(self) -> None:
        """Whether what comes first can be read at all: else it is refused, before a response begins.

        Raises DamagedLog, UnknownRun.
        """
        with suppress(StoreUnavailable):  # that passes, and a reader that has begun can wait for it
            if self.position is None:
                await self.log.snapshot(self.form, replaces=False)
            elif self.position.seq < self.log.window.start.seq:
                await self.log.store.read(self.log.head.id, self.position, 1)

    async def next(self) -> Frame | None:
        """The next bytes to write, or None once the reader was let go.

        Raises StoreUnavailable where only the store can tell how it goes on.
        """
        while self.gone_because is None:
            self._missed_call = False
            frame = await self.poll()
            if frame is not None:
                return frame
            if self._keep_alive:
                self._keep_alive = False
                return Frame(self.format.keep_alive)
            if not self._missed_call and self.gone_because is None:
                await self._wait()
        return None

    async def poll(self) -> Frame | None:
        """The next bytes, or None if there are none yet, or the reader was let go. Raises as `next` does."""
        while self.gone_because is None:
            frame = self._news_of_status() or await self._read()
            if frame is None or frame.data or frame.after is not After.GO_ON:
                return frame
        return None

    def _news_of_status(self) -> Frame | None:
        if self._ahead is not None:
            frame, self._ahead = Frame(self._ahead), None
            return frame
        if not self._has_status_news:
            return None
        first, self._announced = self._announced is None, self.log.status
        return Frame(self.format.run(self._announced, first=first))

    @property
    def _has_status_news(self) -> bool:
        if self._announced is None:
            return True
        # One who has seen output knows that it is in progress.
        begins = self.position is None or self.position.seq == 0
        return self._announced == "queued" and self.log.status == "in_progress" and begins

    async def _read(self) -> Frame | None:
        """What lies after the position, from the window or the store; None if there is nothing yet."""
        if self.log.gone:
            self.let_go("gone")
            return None
        if self._epoch != self.log.epoch:
            self._epoch = self.log.epoch
            self._verified = False
            await self.prepare()
        if self.position is None:
            return await self._read_snapshot()
        got = self.log.window.read(self.position, self.format.key, self.format.encode)
        if got is Miss.ELSEWHERE:
            return await self._read_store(self.position)
        self.waits_for_store = False
        if got is Miss.NOTHING_NEW:
            return None
        assert not isinstance(got, Miss)
        self.position, frame = got
        self._verified = True
        return frame

    async def _read_snapshot(self) -> Frame | None:
        self.position, frame = await self.log.snapshot(self.form, replaces=self._replaces)
        self._replaces = False
        self._verified = True
        return frame or Frame(b"")

    async def _read_store(self, position: Position) -> Frame | None:
        top, asks, self._asks = self.log.window.top, self._asks, False
        if self._verified and not asks and (position.seq > top.seq or position == top):
            self.waits_for_store = True  # a read from it was ahead of the news, or of a history that is no more
            return None
        self.waits_for_store = False
        read = await self.log.store.read(self.log.head.id, position, self._read_bytes)
        if read is None:
            self.let_go("gone")
            return None
        if not read.joined:
            if self._verified and read.top.position.seq < self.log.window.top.seq:
                self.waits_for_store = True  # it lost writes that their producer may yet heal
                return None
            if not self.log.has_snapshots:
                self.let_go("lost")
                return None
            self.log.drop_snapshot(position)
            self.position = None
            self._replaces = True
            return Frame(b"")
        self._verified = True
        if read.top.position.seq > self.log.window.top.seq:
            self.log.refill()
        if not read.entries:
            self.waits_for_store = True
            return None
        self.position = read.entries[-1].position
        return self.format.encode(read.entries)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
