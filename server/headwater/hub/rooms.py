"""A room as it is followed here: a cursor on its log, and on those of the answers that grow in it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ClassVar

from headwater.broadcaster.base import Broadcaster
from headwater.config import Config
from headwater.core.events import Entry
from headwater.core.position import START, Position
from headwater.core.room import Deleted, Edited, RoomEvent, RunEnded, Said, room_events
from headwater.core.run import RunRequest
from headwater.errors import DamagedLog, HeadwaterError, StoreUnavailable, UnknownRoom
from headwater.formats.base import Frame, Head
from headwater.formats.room import AnswerForm, RoomForm, RoomFrame
from headwater.hub.cursor import WRITE_THROUGH_BYTES, Cursor, Line
from headwater.hub.live import LiveLog
from headwater.hub.notes import TOGETHER_S, Note, Notes
from headwater.metrics import Metrics
from headwater.store.base import Logs

_NO_REQUEST = RunRequest(input="")
# Of an event beside its text: names, ids and times.
EVENT_BYTES = 200


class RoomLog(LiveLog):
    """A room's log that somebody follows here, and what passes beside it."""

    has_snapshots: ClassVar[bool] = False
    may_heal: ClassVar[bool] = False  # what people said is in nobody's memory

    def __init__(
        self,
        room_id: str,
        store: Logs,
        broadcaster: Broadcaster,
        config: Config,
        metrics: Metrics,
        writes_per_s: Callable[[], float],
    ) -> None:
        super().__init__(Head(room_id, "", 0.0, _NO_REQUEST), store, broadcaster, config, metrics, writes_per_s)
        self.status = "in_progress"
        self.notes = Notes()
        self._noted_at = 0.0
        self._noting: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
        await super().close()

    def note(self, note: Note) -> None:
        """Tell those who are here: at once, or what comes soon after something else together."""
        self.notes.add(note)
        now, due = self._loop.time(), self._noted_at + TOGETHER_S
        if due <= now:
            self._flush_notes()
        elif self._noting is None:
            self._noting = self._loop.call_at(due, self._flush_notes)

    def _flush_notes(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
            self._noting = None
        self._noted_at = self._loop.time()
        self.notes.flush()
        self._wake()

    def _add(self, entry: Entry) -> None:
        """Whoever is not there yet reads what was taken back from the store, which knows of it."""
        takes_back = any(isinstance(event, Deleted) for event in room_events(entry))
        if takes_back:
            self._flush(self._loop.time())
        super()._add(entry)
        if takes_back:
            self._flush(self._loop.time())
            self.window.keep_newest()

    @staticmethod
    def weigh(entry: Entry) -> int:
        """About how many bytes an entry holds."""
        return sum([_weight(event) for event in room_events(entry)])

    def _unknown(self) -> HeadwaterError:
        return UnknownRoom("There is no such room any more.")


Follow = Callable[["RoomCursor", str, Position | None], Awaitable["AnswerCursor | None"]]
"""Gives a cursor on a run's log, which wakes the room's; None if there is no such run any more."""


class RoomCursor(Cursor):
    """Follows a room: its log from a position, its open answers, and its notes.

    What people say never waits for an answer, and no delta of an answer follows its end.
    """

    __slots__ = ("_answers", "_beginning", "_follow", "_heard", "_notes", "_turn", "on_closed")

    log: LiveLog
    format: RoomForm

    def __init__(
        self,
        log: LiveLog,
        form: type[RoomForm],
        position: Position,
        *,
        notes: Notes,
        follow: Follow,
        read_bytes: int,
        now: Callable[[], float],
        on_close: Callable[[Cursor], None],
    ) -> None:
        super().__init__(log, form, position, read_bytes=read_bytes, now=now, on_close=on_close)
        self._announced = "in_progress"
        self._notes = notes
        self._heard = notes.top
        self._follow = follow
        self._answers: dict[str, AnswerCursor] = {}
        self._beginning: list[str] = []
        self._turn = False
        self.on_closed: Callable[[], object] = _nothing
        """Called once it is closed."""

    async def open(self, run_id: str, position: Position | None) -> None:
        """Follow an answer too, from a position, or from a snapshot; of one that is damaged the end says what there is.

        Raises StoreUnavailable.
        """
        if run_id not in self._answers:
            answer = None
            with suppress(DamagedLog):
                answer = await self._follow(self, run_id, position)
            if answer is not None:
                self._answers[run_id] = answer

    def close(self) -> None:
        for answer in self._answers.values():
            answer.close()
        self._answers.clear()
        super().close()
        on_closed, self.on_closed = self.on_closed, _nothing
        on_closed()

    def say_first(self, ahead: bytes) -> None:
        """Before everything else."""
        self._ahead = ahead

    # -- without the task

    def _write_through(self, line: Line) -> bool:
        if self._beginning or not super()._write_through(line):
            return False
        for answer in self._answers.values():
            if not answer._write_through(line):
                return False
        if self._heard == self._notes.top:
            return True
        data = self._read_notes()
        if data is None or len(data) > WRITE_THROUGH_BYTES or (data and not line.write(data)):
            return False
        self._heard = self._notes.top
        self._note_written()
        return True

    # -- by the task

    async def _read(self) -> Frame | None:
        """In turn, so that neither waits for the other for long."""
        while self._beginning:
            await self.open(self._beginning[-1], START)
            self._beginning.pop()
        self._turn = not self._turn
        if self._turn:
            return await self._read_room() or await self._read_answers()
        return await self._read_answers() or await self._read_room()

    async def _read_room(self) -> Frame | None:
        frame = await super()._read()
        if frame is None:
            return self._read_passing()
        if isinstance(frame, RoomFrame):
            for run_id in frame.ended:
                answer = self._answers.pop(run_id, None)
                if answer is not None:
                    answer.close()
            self._beginning += frame.started  # once it is told that they begin
        return frame

    async def _read_answers(self) -> Frame | None:
        for run_id, answer in tuple(self._answers.items()):
            try:
                frame = await answer.poll()
            except HeadwaterError as error:
                if isinstance(error, StoreUnavailable):
                    raise
                answer.let_go("unreadable")  # its end, which is the room's, has what there is
                frame = None
            if frame is not None:
                return frame
            if answer.gone_because is not None:
                del self._answers[run_id]
                answer.close()
        return None

    def _read_passing(self) -> Frame | None:
        if self._heard == self._notes.top:
            return None
        data = self._read_notes()
        if data is None:
            self.let_go("slow")
            return None
        self._heard = self._notes.top
        return Frame(data)

    def _read_notes(self) -> bytes | None:
        return self._notes.read(self._heard, self.form, self.format.push)


class AnswerCursor(Cursor):
    """One open answer in the eyes of one who follows the room: it wakes the room's cursor."""

    __slots__ = ("_room",)

    def __init__(
        self,
        room: RoomCursor,
        log: LiveLog,
        form: type[AnswerForm],
        position: Position | None,
        *,
        read_bytes: int,
        now: Callable[[], float],
        on_close: Callable[[Cursor], None],
    ) -> None:
        super().__init__(log, form, position, read_bytes=read_bytes, now=now, on_close=on_close)
        self._room = room

    def wake(self) -> None:
        self._room.wake()

    def _note_written(self) -> None:
        """To the room's socket, and so counted there, once."""
        self._room._note_written()


def _weight(event: RoomEvent) -> int:
    size = EVENT_BYTES
    if isinstance(event, Said | Edited | RunEnded):
        size += len(event.text)
    if isinstance(event, RunEnded):
        size += len(str(event.parts))
    return size


def _nothing() -> None:
    pass
