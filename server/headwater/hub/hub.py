"""The live logs of one worker: opened by their first reader, closed after their last."""

import asyncio
from collections.abc import Callable

from headwater.broadcaster.base import Broadcaster, News
from headwater.config import Config
from headwater.core.news import Removed, Whisper
from headwater.core.position import START, Position
from headwater.core.run import Run
from headwater.errors import StoreUnavailable, TooMany, UnknownRun
from headwater.formats.base import Format, Head
from headwater.formats.room import RoomForm
from headwater.hub.cursor import Cursor
from headwater.hub.farewell import Farewell
from headwater.hub.live import LiveLog
from headwater.hub.notes import Note
from headwater.hub.replays import Replays
from headwater.hub.rooms import AnswerCursor, RoomCursor, RoomLog
from headwater.metrics import Metrics
from headwater.store.base import Store
from headwater.store.rooms import RoomStore

# How long a log without readers stays: a page that reloads is back within this.
LINGER_S = 5.0
TICK_S = 1.0


class Hub:
    """Receives the news of logs and gives cursors on them."""

    def __init__(
        self, store: Store, rooms: RoomStore, broadcaster: Broadcaster, config: Config, metrics: Metrics
    ) -> None:
        self.logs: dict[str, LiveLog] = {}
        self._producing: set[str] = set()
        self.farewell = Farewell(self._readers, lambda: self._subscribers + self._end_waits, metrics)
        self.on_whisper: Callable[[str, bytes], None] = lambda room_id, data: None
        """Hears what other workers whisper about rooms that are followed here."""
        self._store = store
        self._rooms = Replays(rooms)
        self._broadcaster = broadcaster
        self._config = config
        self._metrics = metrics
        self._subscribers = 0
        self._end_waits = 0
        self._known: set[str] = set()
        self._finding: dict[str, asyncio.Task[Run | None]] = {}
        self._writes_per_s = 0.0
        self._compared_at = 0.0
        broadcaster.attach(self)

    def __repr__(self) -> str:
        return f"<Hub logs={len(self.logs)} subscribers={self._subscribers} writes/s={self._writes_per_s:.0f}>"

    # -- news

    def publish(self, log_id: str, news: News) -> None:
        """What this worker wrote, once the store has it: to readers here and to other workers."""
        self.on_news(log_id, news)
        self._broadcaster.publish(log_id, news)

    def on_news(self, log_id: str, news: News) -> None:
        """The broadcaster's news."""
        log = self.logs.get(log_id)
        if log is None:
            return
        if isinstance(news, Whisper):
            self.on_whisper(log_id, news.data)
        elif isinstance(news, Removed):
            log.refill()  # it may be there again by now: the store knows
        else:
            log.on_news(news)

    def on_reconnected(self, log_id: str) -> None:
        """The broadcaster was deaf for a while."""
        log = self.logs.get(log_id)
        if log is not None:
            log.refill()

    def set_producing(self, run_id: str, here: bool) -> None:
        """Say whether this worker produces the log: then its own word is newer than the store's."""
        (self._producing.add if here else self._producing.discard)(run_id)
        log = self.logs.get(run_id)
        if log is not None:
            log.set_produced_here(here)
            self._make_known(log)

    # -- readers

    async def follow(self, run: Run, form: type[Format], position: Position | None, *, fresh: bool = False) -> Cursor:
        """A cursor on the run's log from `position`, or from a snapshot if that is None; close it.

        A `fresh` run was created just now, and nobody has been told to produce it.

        Raises TooMany, Draining, StoreUnavailable, UnknownRun, DamagedLog.
        """
        self.check_room()
        log = self._acquire(run)
        await self._open(log, fresh)
        cursor = Cursor(
            log,
            form,
            position,
            read_bytes=self._config.read_bytes,
            now=asyncio.get_running_loop().time,
            on_close=self._close,
        )
        self._admit(cursor)
        if not fresh:
            try:
                await cursor.prepare()
                await cursor.check()
            except BaseException:
                cursor.close()
                raise
        return cursor

    async def _open(self, log: LiveLog, fresh: bool = False, at: Position | None = None) -> None:
        """For one subscriber more, who stands at a position that the store has just given."""
        self._subscribers += 1
        try:
            await log.open(fresh)
            if at == START and log.window.top != START:
                await log.refilled()  # START joins any history, also that of a room that was lost meanwhile
        except BaseException:
            self._subscribers -= 1
            self._release(log)
            self.farewell.one_left()
            raise

    def _admit(self, cursor: Cursor) -> None:
        cursor.log.add_follower(cursor)
        self._metrics.subscribers.set(self._subscribers)
        if self.farewell.for_all or (self.farewell.begun and isinstance(cursor, RoomCursor)):  # since it was let in
            self.farewell.send_away(cursor)

    # -- rooms

    async def enter(self, room_id: str, form: type[RoomForm], position: Position) -> RoomCursor:
        """A cursor on a room's log from a position that the store gave; close it.

        What passes in the room is told from now on. Raises TooMany, Draining, StoreUnavailable, UnknownRoom.
        """
        self.check_enters()
        log = self._acquire_room(room_id)
        await self._open(log, at=position)
        cursor = RoomCursor(
            log,
            form,
            position,
            notes=log.notes,
            follow=self._follow_answer,
            read_bytes=self._config.read_bytes,
            now=asyncio.get_running_loop().time,
            on_close=self._close,
        )
        self._admit(cursor)
        return cursor

    async def _follow_answer(self, room: RoomCursor, run_id: str, position: Position | None) -> AnswerCursor | None:
        if (log := await self._log_of_answer(run_id)) is None:
            return None
        try:
            await log.open()
        except BaseException as error:
            self._release(log)
            if isinstance(error, UnknownRun):
                return None
            raise
        answer = AnswerCursor(
            room,
            log,
            room.format.answers,
            position,
            read_bytes=self._config.read_bytes,
            now=asyncio.get_running_loop().time,
            on_close=self._close_answer,
        )
        log.add_follower(answer)
        return answer

    async def _log_of_answer(self, run_id: str) -> LiveLog | None:
        """The log of a room's run, for one user more. All who are in the room come at once: they ask the store once."""
        log = self.logs.get(run_id)
        if log is None or log.gone:
            if run_id not in self._finding:
                finding = self._finding[run_id] = asyncio.create_task(self._store.get(run_id))
                finding.add_done_callback(lambda _: self._finding.pop(run_id))
            run = await asyncio.shield(self._finding[run_id])
            return None if run is None else self._acquire(run)
        log.users += 1
        return log

    def _close_answer(self, answer: Cursor) -> None:
        if answer.log.remove_follower(answer):
            self._release(answer.log)

    def _acquire_room(self, room_id: str) -> RoomLog:
        log = self.logs.get(room_id)
        if not isinstance(log, RoomLog) or log.gone:
            log = RoomLog(
                room_id, self._rooms, self._broadcaster, self._config, self._metrics, lambda: self._writes_per_s
            )
            self.logs[room_id] = log
        log.users += 1
        return log

    def note(self, room_id: str, note: Note) -> None:
        """Tell those who follow the room here what passes in it."""
        log = self.logs.get(room_id)
        if isinstance(log, RoomLog):
            log.note(note)

    def look(self, log_id: str) -> None:
        """Something was written to a log, by whom is not told: who follows it here looks at the store."""
        log = self.logs.get(log_id)
        if log is not None:
            log.refill()

    def whisper(self, room_id: str, data: bytes) -> None:
        """Tell the other workers that follow the room what passes in it."""
        self._broadcaster.whisper(room_id, Whisper(data))

    # -- limits

    def check_enters(self) -> None:
        """Raises TooMany; Draining, also where only those stay who cannot come to another worker instead."""
        self.farewell.check_enters()
        self.check_room()

    def check_room(self) -> None:
        """Raises TooMany where another who reads or waits would be one too many; Draining."""
        self.check_stays()
        if self._subscribers + self._end_waits >= self._config.max_subscribers:
            raise TooMany(
                "This worker has as many connections as it takes. Try again in a moment.",
                limit=self._config.max_subscribers,
                retry_after=1,
            )

    def check_stays(self) -> None:
        """Raises Draining where everyone is being let go."""
        self.farewell.check_stays()

    def _close(self, cursor: Cursor) -> None:
        if cursor.log.remove_follower(cursor):
            self._subscribers -= 1
            self._metrics.subscribers.set(self._subscribers)
            self._release(cursor.log)
            self.farewell.one_left()

    async def wait_for_end(self, run: Run, within_s: float | None) -> bool:
        """Whether the run ended, or went, within so many seconds; None is as long as it takes, or this worker stays.

        Raises StoreUnavailable, UnknownRun.
        """
        log = self._acquire(run)
        self._end_waits += 1
        try:
            return await self.farewell.within(within_s, self._end(log))
        finally:
            self._end_waits -= 1
            self._release(log)
            self.farewell.one_left()

    async def _end(self, log: LiveLog) -> None:
        await log.open()
        await log.ended.wait()

    async def wait_to_begin(self, cursor: Cursor, within_s: float) -> bool:
        """Whether there is something to tell within so many seconds, or nothing more will come."""
        return await self.farewell.within(within_s, cursor.log.begun.wait())

    def has_seen_end(self, run_id: str) -> bool:
        """Whether the run's end was heard of here."""
        log = self.logs.get(run_id)
        return log is not None and log.ended.is_set()

    async def is_followed(self, run_id: str) -> bool:
        """Whether anybody follows the run or waits for it, here or on another worker. Raises StoreUnavailable."""
        log = self.logs.get(run_id)
        return (log is not None and log.users > 0) or await self._broadcaster.heard_elsewhere(run_id)

    def _acquire(self, run: Run) -> LiveLog:
        log = self.logs.get(run.id)
        if log is None or log.gone:
            head = Head(run.id, run.model, run.created_at, run.request)
            log = LiveLog(head, self._store, self._broadcaster, self._config, self._metrics, lambda: self._writes_per_s)
            log.produced_here = run.id in self._producing
            log.status = run.status
            self.logs[run.id] = log
        log.users += 1
        self._make_known(log)
        return log

    def _release(self, log: LiveLog) -> None:
        log.users -= 1
        if log.users == 0:
            log.idle_since = asyncio.get_running_loop().time()

    def _make_known(self, log: LiveLog) -> None:
        """Have other workers know that a log is followed here. Where its news are heard from them, they can see it."""
        if log.users and log.produced_here and log.head.id not in self._known:
            self._known.add(log.head.id)
            self._broadcaster.announce(log.head.id)

    def _make_unknown(self, log: LiveLog) -> None:
        """Not as the last one leaves: whoever asks then who else follows could not tell us from others."""
        if log.head.id in self._known:
            self._known.discard(log.head.id)
            self._broadcaster.retract(log.head.id)

    # -- looking after them

    async def look_after(self) -> None:
        """Once a second, for ever: keep silent connections alive, let go of stuck ones, compare tops."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            writes = 0
            for log in tuple(self.logs.values()):
                log.measure(now - last)
                for cursor in tuple(log.followers):
                    writes += cursor.writes
                    self._look_after(cursor, now)
            self._writes_per_s = writes / (now - last)
            last = now
            await self._close_idle(now)
            if now - self._compared_at >= self._config.check_s:
                self._compared_at = now
                await self._compare()

    def _look_after(self, cursor: Cursor, now: float) -> None:
        cursor.writes = 0
        if cursor.writing_since is not None:
            if now - cursor.writing_since > self._config.slow_reader_s:
                self._metrics.subscribers_let_go.labels("slow").inc()
                cursor.let_go("slow")
        elif now - cursor.written_at >= self._config.keep_alive_s:
            cursor.keep_alive()
        elif cursor.waits_for_store:
            cursor.ask_again()

    async def _close_idle(self, now: float) -> None:
        idle = [
            log
            for log in self.logs.values()
            if log.users == 0 and log.idle_since is not None and now - log.idle_since >= LINGER_S
        ]
        for log in idle:
            if log.users == 0 and self.logs.get(log.head.id) is log:  # it may be in use again by now
                del self.logs[log.head.id]
                self._make_unknown(log)
                await log.close()

    async def _compare(self) -> None:
        logs = [log for log in self.logs.values() if log.users and not log.produced_here]
        rooms = [log for log in logs if isinstance(log, RoomLog)]
        runs = [log for log in logs if not isinstance(log, RoomLog)]
        for store, those in ((self._store, runs), (self._rooms, rooms)):
            if not those:
                continue
            try:
                tops = await store.tops([log.head.id for log in those])
            except StoreUnavailable:
                return  # nothing is known; the next look tells
            for log, top in zip(those, tops, strict=True):
                log.compare(top)

    def _readers(self) -> list[Cursor]:
        return [
            cursor for log in self.logs.values() for cursor in log.followers if not isinstance(cursor, AnswerCursor)
        ]

    async def close(self) -> None:
        """Close every log."""
        logs, self.logs = list(self.logs.values()), {}
        for log in logs:
            await log.close()
