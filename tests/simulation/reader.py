"""Who follows a run in a simulated world: on a real cursor, as a browser's EventSource would."""

import asyncio
import random
from collections.abc import Callable

from headwater.core.lifecycle import ENDED
from headwater.core.position import START, Position, parse_position
from headwater.errors import HeadwaterError
from headwater.formats.base import After
from headwater.formats.native import Native
from headwater.hub import Cursor
from tests.simulation.history import History, held
from tests.simulation.loop import VirtualLoop
from tests.simulation.worker import Reset, Worker
from tests.support.sse import EventStreamParser, Follower


class Connection:
    """A reader's socket at one worker."""

    def __init__(self, reader: "Reader", worker: Worker, over: Callable[[], None]) -> None:
        self.takes = asyncio.Event()
        """Whether it takes anything now."""
        self.takes.set()
        self.cursor: Cursor | None = None
        self.left = False
        self._reader = reader
        self._over = over
        self._worker = worker

    def __repr__(self) -> str:
        flags = [name for name, on in (("left", self.left), ("taking nothing", not self.takes.is_set())) if on]
        log = self.cursor and self.cursor.log
        return f"<Connection to {self._worker} {' '.join(flags)} {self.cursor} {log}>"

    def write(self, data: bytes) -> bool:
        """Past the task, as a real connection does."""
        if self.left or not (self._reader.through and self.takes.is_set()):
            return False
        self._reader.take(data)
        return True

    def abort(self) -> None:
        """The worker has lost patience."""
        self.leave()

    def leave(self) -> None:
        """It is closed."""
        self.left = True
        self.takes.set()
        self._over()

    def let_go(self) -> None:
        """The worker sees that."""
        if self.cursor is not None:
            self.cursor.let_go("left")


class Reader:
    """Follows to the end, over as many connections as it takes."""

    def __init__(
        self,
        name: str,
        run_id: str,
        loop: VirtualLoop,
        chance: random.Random,
        history: Callable[[], History],
        say: Callable[[str], None],
        blame: Callable[[str], None],
    ) -> None:
        self.name = name
        self.run_id = run_id
        self.follower = Follower()
        self.restless = chance.random() < 0.4
        self.slow = chance.random() < 0.3
        self.through = chance.random() < 0.6
        """Its connection can be written to past its task."""
        self.connections = 0
        self.connection: Connection | None = None
        self._parser = EventStreamParser()
        self._position: Position | None = chance.choice((None, START))
        self._loop = loop
        self._chance = chance
        self._history = history
        self._say = say
        self._blame = blame

    def __repr__(self) -> str:
        return f"{self.name} at {self._parser.last_id or self._position}"

    @property
    def is_done(self) -> bool:
        """Whether it has seen the end."""
        return self.follower.end is not None

    @property
    def end_position(self) -> Position:
        """Where it saw the end."""
        return parse_position(self._parser.last_id)

    def calm_down(self) -> None:
        """Stay, and take what comes."""
        self.restless = self.slow = False
        if self.connection is not None:
            self.connection.takes.set()

    async def follow(self, some_worker: Callable[[], Worker]) -> None:
        """Read to the end, at whoever is there."""
        while not self.is_done:
            await self._visit(some_worker())
            if not self.is_done:
                await self._loop.pause(0.02 + 0.3 * self._chance.random())
                if self.restless and self._chance.random() < 0.2:
                    self._forget()

    def _forget(self) -> None:
        """The page is loaded anew."""
        self.follower, self._parser, self._position = Follower(), EventStreamParser(), None

    async def _visit(self, worker: Worker) -> None:
        self.connections += 1
        self._parser.reset()
        self.follower.connected()
        self._say(f"{self} comes to {worker}")
        gone: asyncio.Future[None] = self._loop.create_future()
        connection = self.connection = Connection(self, worker, lambda: None if gone.done() else gone.set_result(None))
        position = parse_position(self._parser.last_id) if self._parser.last_id else self._position
        served = worker.ask(self._serve(worker, connection, position))
        while not gone.done() and not served.done():
            waits_s = self._chance.expovariate(2.0) if self.restless or self.slow else None
            await asyncio.wait((gone, served), timeout=waits_s, return_when=asyncio.FIRST_COMPLETED)
            if self.slow and connection.takes.is_set():
                connection.takes.clear()
            elif self.slow:
                connection.takes.set()
            elif self.restless and waits_s is not None:
                break
        connection.leave()
        self._loop.call_soon(connection.let_go, context=worker.process.context)
        if served.done() and not isinstance(error := served.exception(), HeadwaterError | Reset | None):
            self._blame(f"{self}: {worker} failed to serve: {error!r}")

    async def _serve(self, worker: Worker, connection: Connection, position: Position | None) -> None:
        run = await worker.store.get(self.run_id)
        if run is None or connection.left:
            return
        if run.status in ENDED and position == run.position:
            self._blame(f"{self}: has not heard of the end, but of all that lies before it")
        worker.hub.check_enters()
        cursor = await worker.hub.follow(run, Native, position)
        await self.write_out(cursor, connection)

    async def write_out(self, cursor: Cursor, connection: Connection) -> None:
        """What the response does: a frame after the other, each as the socket takes it."""
        connection.cursor, cursor.line = cursor, connection
        try:
            while not connection.left and (frame := await cursor.next()) is not None:
                cursor.writing()
                await connection.takes.wait()
                if connection.left:
                    return
                self.take(frame.data)
                cursor.written()
                if frame.after is not After.GO_ON:
                    return
        finally:
            cursor.close()

    def take(self, data: bytes) -> None:
        """Bytes have arrived."""
        try:
            for message in self._parser.feed(data):
                self.follower.take(message)
                if message.id is not None:
                    self._check(parse_position(message.id))
        except AssertionError as error:
            self._blame(f"{self}: {error}")

    def _check(self, position: Position) -> None:
        """It holds what was written up to there, all of it, and nothing else."""
        history = self._history()
        assert position in history.told, f"{position} was never stored"
        told = history.told[position]
        assert held(self.follower.parts) == told, f"at {position} it holds {self.follower.parts}, not {told}"
        if self.follower.end is not None:
            end = history.ends.get(position)
            assert end is not None and end.status == self.follower.end["status"], f"{position} is no such end: {end}"
