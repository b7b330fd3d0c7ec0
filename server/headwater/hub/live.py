"""One live log: its window, kept up to date from news and, where news falls short, the store."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, ClassVar

from headwater.broadcaster.base import Broadcaster
from headwater.config import Config
from headwater.core.events import Attempt, End, Entry, Status, entry_bytes
from headwater.core.flush import flush_window
from headwater.core.lifecycle import ENDED
from headwater.core.position import START, Position
from headwater.core.window import Fit, Window
from headwater.entropy import full_jitter
from headwater.errors import HeadwaterError, StoreUnavailable, UnknownRun
from headwater.formats.base import Format, Frame, Head, Remembering
from headwater.hub.encoders import Encoders
from headwater.hub.snapshots import Snapshots
from headwater.hub.waking import wake_all
from headwater.metrics import Metrics
from headwater.store.base import Logs, Read, Top
from headwater.tasks import say_why_it_failed

if TYPE_CHECKING:
    from headwater.hub.cursor import Cursor

log = logging.getLogger("headwater.hub")


class LiveLog:
    """A log that somebody follows here.

    Joining in this order loses nothing: subscribe, await the confirmation, look at the store,
    merge what was held meanwhile by position. A log that is produced here is not subscribed to:
    its producer tells more, and sooner.
    """

    has_snapshots: ClassVar[bool] = True
    """A reader whose position joins no more is given all content anew."""
    may_heal: ClassVar[bool] = True
    """What the store has lost of it may be written again, by whoever produces it."""
    weigh = staticmethod(entry_bytes)
    """About how many bytes an entry holds."""

    def __init__(
        self,
        head: Head,
        store: Logs,
        broadcaster: Broadcaster,
        config: Config,
        metrics: Metrics,
        writes_per_s: Callable[[], float],
    ) -> None:
        self.head = head
        self.status: Status = "queued"
        self.gone = False
        self.users = 0
        self.idle_since: float | None = None
        self.produced_here = False
        self._followers: dict[Cursor, None] = {}
        self.begun = asyncio.Event()
        """It holds something to be shown, or nothing more will come."""
        self.ended = asyncio.Event()
        """Nothing more will come."""
        self.window = Window(START, config.window_bytes)
        self.epoch = 0
        """Grows when history was rewritten: positions from before must be looked up again."""
        self.store = store
        self._broadcaster = broadcaster
        self._config = config
        self._metrics = metrics
        self._writes_per_s = writes_per_s
        self._loop = asyncio.get_running_loop()
        self._encoders = Encoders(head, store, config.read_bytes, self.refilled)
        self._opened = False
        self._opening: asyncio.Task[None] | None = None
        self._subscribed = False
        self._subscribing: asyncio.Task[None] | None = None
        self._refilling: asyncio.Task[None] | None = None
        self._held: list[Entry] = []
        self._held_bytes = 0
        self._holding = True
        self._overrun = False
        self._doubt: Position | None = None
        self._flushed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._events = 0
        self._events_per_s = 0.0
        self._window_s = 0.0
        self._snapshots = Snapshots(head.id, store, metrics)

    def __repr__(self) -> str:
        return f"<LiveLog {self.head.id} {self.status} {self.window!r} users={self.users} epoch={self.epoch}>"

    def format(self, form: type[Format]) -> Format:
        """The log's encoder for this form, shared by all its readers."""
        return self._encoders.get(form)

    async def teach(self, form: type[Remembering]) -> None:
        """Tell the encoder of this form all that came before. Raises StoreUnavailable, UnknownRun, DamagedLog."""
        await self._encoders.teach(form)

    # -- opening and closing

    async def open(self, fresh: bool = False) -> None:
        """Return once the window stands on the log. Raises StoreUnavailable or UnknownRun.

        A `fresh` log was made by the caller just now and nobody has been told to write to it.
        """
        if self._opened:
            return
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(fresh))
        await asyncio.shield(self._opening)

    async def _open(self, fresh: bool) -> None:
        try:
            if not self.produced_here:
                await self._subscribe()
            (top,) = [Top(START, self.status)] if fresh else await self.store.tops([self.head.id])
            if top is None:
                raise self._unknown()
            self._opened = True
            self._stand_on(top)
            self.set_produced_here(self.produced_here)  # it may have changed meanwhile
        finally:
            self._opening = None

    def _unknown(self) -> HeadwaterError:
        return UnknownRun(f"There is no run {self.head.id}.")

    async def _subscribe(self) -> None:
        self._subscribed = True  # also if it fails half-way: then it is undone
        await self._broadcaster.subscribe(self.head.id)

    def set_produced_here(self, here: bool) -> None:
        """Whether this worker produces the log. Where it no longer does, news must come from others."""
        self.produced_here = here
        if not here and self._opened and not self._subscribed and self.status not in ENDED:
            self._subscribing = asyncio.create_task(self._subscribe_late())
            self._subscribing.add_done_callback(say_why_it_failed)

    async def _subscribe_late(self) -> None:
        tries = 0
        while True:
            try:
                await self._subscribe()
                break
            except StoreUnavailable:
                tries += 1
                await asyncio.sleep(full_jitter(tries, base_s=0.1, cap_s=2.0))
        self.refill()

    async def close(self) -> None:
        """Let go of the news and of whatever is under way."""
        if self._timer is not None:
            self._timer.cancel()
        self._snapshots.close()
        self._encoders.close()
        for task in (self._opening, self._subscribing, self._refilling):
            if task is not None:
                task.cancel()
        if self._subscribed:
            await self._broadcaster.unsubscribe(self.head.id)

    # -- news

    def on_news(self, news: Entry | Status) -> None:
        """Take what the producer or the broadcaster says."""
        if not isinstance(news, Entry):
            self._set_status(news)
            self._wake()
        elif self._holding:
            self._hold(news)
        else:
            fit = self.window.fit(news)
            if fit is Fit.NEXT:
                self._add(news)
            elif fit is Fit.APART:
                self._hold(news)
                self.refill()

    def _hold(self, entry: Entry) -> None:
        self._held_bytes += self.weigh(entry)
        if self._held_bytes > self._config.window_bytes:
            self._held.clear()
            self._held_bytes = 0
            self._overrun = True
        else:
            self._held.append(entry)

    def _add(self, entry: Entry) -> None:
        self.window.add(entry, self.weigh(entry))
        if type(entry.events[0]) is not Attempt:  # another upstream is tried: that alone is nothing to be shown
            self.begun.set()
        self._events += len(entry.events)
        last = entry.events[-1]
        now = self._loop.time()
        due = self._flushed_at + self._window_s
        if isinstance(last, (End, Attempt)):
            if isinstance(last, End):
                self._set_status(last.status)
            due = now
        elif self.status == "queued":
            self.status = "in_progress"  # the news of it was lost, or comes later: it is told before what was made
        if due <= now:
            self._flush(now)
        elif self._timer is None:
            self._timer = self._loop.call_at(due, self._flush, due)

    def _set_status(self, status: Status) -> None:
        if self.status not in ENDED:
            self.status = status
        if self.status in ENDED:
            self._nothing_more()

    def _nothing_more(self) -> None:
        self.begun.set()
        self.ended.set()

    def _set_gone(self) -> None:
        self.gone = True
        self._nothing_more()
        self._wake()

    # -- flushing

    def _flush(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flushed_at = now
        self.window.flush()
        self._wake()

    def _wake(self) -> None:
        wake_all(self._followers.keys(), self._loop)

    # -- the store

    def refill(self) -> None:
        """Read from the store what the window lacks; one such reading at a time."""
        if self._refilling is None and not self.gone:
            self._holding = True
            self._refilling = asyncio.create_task(self._refill())

    async def refilled(self) -> None:
        """Return once it is known what became of history."""
        self.refill()
        if self._refilling is not None:
            await asyncio.shield(self._refilling)

    async def _refill(self) -> None:
        self._metrics.refills.inc()
        tries = 0
        doubtful_until = self._loop.time() + self._config.heal_s
        try:
            while True:
                self._overrun, heard = False, len(self._held)
                try:
                    read = await self.store.read(self.head.id, self.window.top, self._config.window_bytes)
                except StoreUnavailable:
                    tries += 1
                    await asyncio.sleep(full_jitter(tries, base_s=0.1, cap_s=2.0))
                    continue
                except HeadwaterError as error:
                    log.error("the log of %s cannot be followed: %s", self.head.id, error.detail)
                    read = None
                if read is None:
                    self._set_gone()
                    return
                if self._may_be_healed(read) and self._loop.time() < doubtful_until:
                    await asyncio.sleep(DOUBT_S)
                    continue
                reaches = read.entries[-1].position if read.entries else self.window.top
                if not read.joined or reaches != read.top.position:
                    if not read.joined:
                        self.epoch += 1
                        self._encoders.forget()
                    self._stand_on(read.top, heard)
                else:
                    for entry in read.entries:
                        self._add(entry)
                    self._set_status(read.top.status)
                    self._resume(heard)
                if not self._holding:
                    return
        finally:
            self._refilling = None

    def _may_be_healed(self, read: Read) -> bool:
        """Whether the store lost what readers here have, and a living producer may yet write it again."""
        top = read.top
        return self.may_heal and not read.joined and top.position.seq < self.window.top.seq and top.status not in ENDED

    def _stand_on(self, top: Top, heard: int = 0) -> None:
        """Begin a new window at the log's top; who is behind reads the store."""
        self.window = Window(top.position, self._config.window_bytes)
        if top.position.seq:
            self.begun.set()
        self._snapshots.forget()
        self._set_status(top.status)
        self._resume(heard)
        self._wake()

    def _resume(self, heard: int) -> None:
        """Take what was held, as far as it joins; go on holding if something is missing.

        The first `heard` came before the store was asked: those that do not join are lost there.
        """
        held, self._held, self._held_bytes = self._held, [], 0
        self._holding = self._overrun
        if self._overrun:
            heard = 0  # they are gone, and what is held came later
        for index, entry in enumerate(held):
            match self.window.fit(entry):
                case Fit.NEXT:
                    self._add(entry)
                case Fit.APART if index >= heard:
                    self._holding = True
                    self._held = held[index:]
                    self._held_bytes = sum(self.weigh(left) for left in self._held)
                    break
                case _:
                    pass
        if self._holding and self._refilling is None:
            self.refill()

    def compare(self, top: Top | None) -> None:
        """Look at what the store says of a quiet log: a publication may have been lost."""
        if self._holding or self.produced_here:
            return
        if top is None:
            self._set_gone()
            return
        if top.status != self.status and top.status not in ENDED:
            self._set_status(top.status)
            self._wake()
        if top.position == self.window.top:
            self._doubt = None
        elif top.position.seq > self.window.top.seq or self._doubt == top.position or not self.may_heal:
            self._doubt = None
            self.refill()
        else:
            # The store stands before us: it lost writes, and their producer may be healing it.
            self._doubt = top.position

    def measure(self, seconds: float) -> None:
        """Note the log's rate since the last call, `seconds` ago."""
        self._events_per_s = self._events / seconds
        self._events = 0
        self._set_window()

    def _set_window(self) -> None:
        self._window_s = flush_window(
            subscribers=len(self._followers),
            events_per_s=self._events_per_s,
            writes_per_s=self._writes_per_s(),
            window_s=self._config.flush_ms / 1000,
            busy_s=self._config.flush_busy_ms / 1000,
        )

    # -- followers

    @property
    def followers(self) -> Collection["Cursor"]:
        """Who is woken when there is something new, in the order in which they came."""
        return self._followers.keys()

    def add_follower(self, follower: "Cursor") -> None:
        """Wake it from now on."""
        self._followers[follower] = None
        self._set_window()

    def remove_follower(self, follower: "Cursor") -> bool:
        """Wake it no more; whether it was woken until now."""
        known = follower in self._followers
        self._followers.pop(follower, None)
        self._set_window()
        return known

    # -- snapshots

    async def snapshot(self, form: type[Format], *, replaces: bool) -> tuple[Position, Frame | None]:
        """All content so far as one frame (None if there is none), and the position it reaches."""
        return await self._snapshots.take(self.format(form), self.window, replaces=replaces)

    def drop_snapshot(self, position: Position) -> None:
        """Give nobody any more what reaches this position, which does not join."""
        self._snapshots.drop(position)


# Between looks at a store that lost writes: its producer writes them again within about a second of reaching it.
DOUBT_S = 0.25
