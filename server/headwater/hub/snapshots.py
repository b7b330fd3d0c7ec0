"""Snapshots of one live log, each read from the store once for all who join at the same time."""

import asyncio

from headwater.core.position import Position
from headwater.core.window import Window
from headwater.errors import UnknownRun
from headwater.formats.base import Format, Frame
from headwater.metrics import Metrics
from headwater.store.base import Contents, Logs

# A snapshot is shared for so long, or while so few events follow it: a crowd that comes at once costs one read.
SHARED_S = 0.25
SHARED_EVENTS = 10


class Snapshots:
    """Keeps the newest, as long as the log's window goes on from it."""

    def __init__(self, log_id: str, store: Logs, metrics: Metrics) -> None:
        self._log_id = log_id
        self._store = store
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._contents: Contents | None = None
        self._read_at = 0.0
        self._histories = 0
        self._reading: asyncio.Task[Contents] | None = None
        self._frames: dict[tuple[type[Format], bool], Frame] = {}

    async def take(self, form: Format, window: Window, *, replaces: bool) -> tuple[Position, Frame | None]:
        """All content so far as one frame (None of an empty log), and the position it reaches.

        Raises StoreUnavailable, UnknownRun, DamagedLog.
        """
        contents = self._contents
        if contents is None or self._is_old(contents, window):
            contents = await self._read()
        if not contents.position.seq and not replaces:
            return contents.position, None
        key = type(form), replaces
        frame = self._frames.get(key)
        if frame is None or contents is not self._contents:
            frame = form.snapshot(contents.position, contents.parts, replaces=replaces)
            if contents is self._contents:
                self._frames[key] = frame
        return contents.position, frame

    def forget(self) -> None:
        """The log's window begins anew: what was read, or is being read, may be of a history that is no more."""
        self._histories += 1
        self._keep(None)

    def drop(self, position: Position) -> None:
        """A reader's position joins the log no more: neither does what was read up to there."""
        if self._contents is not None and self._contents.position == position:
            self._keep(None)

    def close(self) -> None:
        """Nobody waits for it any more."""
        if self._reading is not None:
            self._reading.cancel()

    def _is_old(self, contents: Contents, window: Window) -> bool:
        """Whether one who joins now would miss something, or get much in events that could be in the snapshot."""
        seq = contents.position.seq
        if seq < window.start.seq:
            return True
        return window.flushed.seq - seq > SHARED_EVENTS and self._loop.time() - self._read_at > SHARED_S

    async def _read(self) -> Contents:
        if self._reading is None:
            self._reading = asyncio.create_task(self._fetch())
        return await asyncio.shield(self._reading)

    async def _fetch(self) -> Contents:
        try:
            self._metrics.snapshots.inc()
            histories = self._histories
            contents = await self._store.contents(self._log_id)
            if contents is None:
                raise UnknownRun(f"There is no run {self._log_id}.")
            if histories == self._histories:
                self._keep(contents)
            return contents
        finally:
            self._reading = None

    def _keep(self, contents: Contents | None) -> None:
        self._contents = contents
        self._read_at = self._loop.time()
        self._frames.clear()
