"""Several workers on one port: a parent that starts them, starts them again, and ends with them.

The parent binds the port and serves nothing. Each worker is a process of its own and accepts from the port that
it inherits. Between the two lies a line, a pair of sockets, for what neither a signal nor an exit code tells: it
carries one byte from the worker when it listens, one from the parent before all end, and it breaks when the parent
dies. Nobody asks whether a worker still turns: one that was frozen goes on where it was, and its leases see to its
runs meanwhile.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

from headwater.entropy import full_jitter
from headwater.process import FINISHING, REFUSED, SIGNALS, Terminal, say

log = logging.getLogger("headwater")

# The descriptors of the port and the line, for a worker alone: it is no setting.
INHERITED = "HEADWATER_INHERITED"
# The first is soon, since a lone crash says little; one that always fails costs a start in 5 s, on average.
BACK_OFF_S = 0.2
BACK_OFF_MAX_S = 10.0
# One that ran for this long failed for a new reason.
STEADY_S = 60.0


class Inherited:
    """What a worker has from its supervisor: the port, listening already, and the line."""

    def __init__(self, port: socket.socket, line: socket.socket) -> None:
        self.port = port
        self._line = line
        self._all_end = False
        line.setblocking(False)
        for one in (port, line):
            one.set_inheritable(False)  # for this worker, not for what it starts

    def say_listening(self) -> None:
        """Tell the supervisor that this worker accepts connections."""
        with contextlib.suppress(OSError):  # it is gone, which `watching` notices
            self._line.send(b"1")

    @property
    def others_accept(self) -> bool:
        """Whether there are workers that go on accepting from the port when this one does not."""
        self._hear()  # it may have come with the signal
        return not self._all_end

    def _hear(self) -> bytes | None:
        """What came over the line: nothing yet, a byte, or b"" as it is broken."""
        try:
            word = self._line.recv(1)
        except BlockingIOError:
            return None
        except OSError:
            word = b""
        self._all_end = True
        return word

    @contextlib.contextmanager
    def watching(self, on_orphaned: Callable[[], None]) -> Iterator[None]:
        """Call `on_orphaned` once if the supervisor dies during the block."""
        loop = asyncio.get_running_loop()

        def on_word() -> None:
            if self._hear() == b"":
                loop.remove_reader(self._line)
                on_orphaned()

        loop.add_reader(self._line, on_word)
        try:
            yield
        finally:
            loop.remove_reader(self._line)


def take_inherited() -> Inherited | None:
    """What this process has from a supervisor, or None if it has none. It is gone from the environment then."""
    descriptors = os.environ.pop(INHERITED, None)
    if descriptors is None:
        return None
    port, line = (socket.socket(fileno=int(number)) for number in descriptors.split(","))
    return Inherited(port, line)


class Supervisor:
    """Keeps `workers` processes of `command` on `port`, a listening socket.

    They see the surroundings, and over them `variables`. `on_listening` is called once, when all of them listen.
    `patience_s` is what a worker has to listen when it is to replace another, and that one to end.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: socket.socket,
        workers: int,
        *,
        on_listening: Callable[[], None],
        patience_s: float,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._variables = dict(variables or {})
        self._port = port
        self._workers = [_Worker(number) for number in range(1, workers + 1)]
        self._beside: set[_Worker] = set()  # who is to get a place, or had one and has not ended
        self._on_listening = on_listening
        self._patience_s = patience_s
        self._terminal = Terminal()
        self._called = asyncio.Event()
        self._rolling = False
        self._ending = False
        self._exit_code = 0

    async def run(self) -> int:
        """Run them until SIGINT or SIGTERM, and give the exit code: 0, or 2 if one could not start as configured.

        SIGHUP replaces them, one after the other.
        """
        with self._capture_signals():
            async with asyncio.TaskGroup() as keepers:
                await self._start_all(keepers)
                while not self._ending:
                    await self._called.wait()
                    self._called.clear()
                    self._rolling = True
                    await self._roll(keepers)
                    self._rolling = False
        return self._exit_code

    async def _start_all(self, keepers: asyncio.TaskGroup) -> None:
        # The first alone: what is wrong with the configuration is then said once, and not by all.
        for some in (self._workers[:1], self._workers[1:]):
            for worker in some:
                keepers.create_task(self._keep(worker))
            for worker in some:
                await worker.settled.wait()
            if self._ending:
                return
        self._on_listening()

    @contextlib.contextmanager
    def _capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for one in SIGNALS:
            loop.add_signal_handler(one, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            yield
        finally:
            for one in (*SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(one)

    def _on_signal(self) -> None:
        if not self._ending:
            say(FINISHING)
        self._end(0)

    def _on_hangup(self) -> None:
        if self._terminal.is_gone:
            self._on_signal()
        elif not self._called.is_set():
            when = "once more after this" if self._rolling else "one after another"
            log.info("all workers are replaced, %s", when)
            self._called.set()

    def _end(self, exit_code: int) -> None:
        """Let all workers drain; the second time they stop at once."""
        again = self._ending
        if not again:
            self._exit_code = exit_code
            self._ending = True
            self._called.set()
        for worker in {*self._workers, *self._beside}:
            if again or not worker.over.is_set():
                worker.end(with_all=True)

    # -- one place

    async def _keep(self, worker: "_Worker") -> None:
        """See that a process fills this place until the end, or until another worker takes it."""
        loop, failures = asyncio.get_running_loop(), 0
        try:
            while not worker.over.is_set():
                started = loop.time()
                ended = await self._run(worker)
                if ended == REFUSED and not (worker.listened or worker.replaces):
                    self._end(REFUSED)
                if worker.over.is_set():
                    break
                if worker.replaces and not worker.listened:
                    log.warning("%s ended with %s", worker, _how(ended))
                    break  # the other one has its place still
                worker.failed = True
                failures = 1 if loop.time() - started >= STEADY_S else failures + 1
                pause_s = full_jitter(failures, base_s=BACK_OFF_S, cap_s=BACK_OFF_MAX_S)
                log.warning("%s ended with %s; the next one starts in %.1f s", worker, _how(ended), pause_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(worker.over.wait(), pause_s)
        finally:
            self._beside.discard(worker)
            worker.settled.set()
            worker.gone.set()

    async def _run(self, worker: "_Worker") -> int | OSError:
        """One process from start to end: its exit code, below 0 for a signal, or why it could not be started."""
        worker.process = None
        try:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    worker.process = await self._start(theirs)
                with worker.hearing(ours):
                    if worker.over.is_set():  # it began while the others were told
                        worker.end(with_all=self._ending)
                    ended = await worker.process.wait()
        except OSError as error:
            return error
        if worker.over.is_set() and ended not in (0, -signal.SIGTERM, REFUSED):
            log.warning("%s ended with %s", worker, _how(ended))
        return ended

    async def _start(self, line: socket.socket) -> asyncio.subprocess.Process:
        descriptors = (self._port.fileno(), line.fileno())
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            env=os.environ | self._variables | {INHERITED: ",".join(map(str, descriptors))},
            pass_fds=descriptors,
            start_new_session=True,  # the terminal's Ctrl-C is for the parent, which passes it on
        )

    # -- replacing all

    async def _roll(self, keepers: asyncio.TaskGroup) -> None:
        """Put a new worker in each place. If one does not come up, all who are left stay: theirs would not either."""
        for place in range(len(self._workers)):
            if self._ending or not await self._replace(place, keepers):
                return

    async def _replace(self, place: int, keepers: asyncio.TaskGroup) -> bool:
        """Start another worker for a place, and end the one that has it once the new one listens; else False."""
        old, new = self._workers[place], _Worker(place + 1, replaces=True)
        self._beside.add(new)
        keepers.create_task(self._keep(new))
        await self._patiently(new.settled)
        if self._ending:
            return False
        if not new.listened:
            log.error("%s does not come up: the workers that there are go on. Mend it, and send SIGHUP again", new)
            new.end(with_all=False)
            return False
        log.info("%s is replaced by %s", old, new)
        self._workers[place] = new
        self._beside.discard(new)
        self._beside.add(old)
        old.end(with_all=False)
        if not await self._patiently(old.gone):
            log.warning("%s has not ended yet", old)
        return True

    async def _patiently(self, event: asyncio.Event) -> bool:
        """Whether it came while we had patience."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), self._patience_s)
        return event.is_set()


class _Worker:
    """Who has a place among the workers, or one to come: `replaces`. And the process that fills it now."""

    def __init__(self, number: int, *, replaces: bool = False) -> None:
        self.number = number
        self.replaces = replaces
        self.process: asyncio.subprocess.Process | None = None
        self.listened = False  # a process of it
        self.settled = asyncio.Event()  # it listened, or never will
        self.failed = False  # a process of it, which another one follows
        self.over = asyncio.Event()  # there is to be no process after this one
        self.gone = asyncio.Event()  # and this one has ended
        self._line: socket.socket | None = None

    def __str__(self) -> str:
        return f"worker {self.number}" + (f" (process {self.process.pid})" if self.process else "")

    def end(self, *, with_all: bool) -> None:
        """Start no other process, and let this one drain; `with_all`, in the knowledge that nobody takes its place."""
        self.over.set()
        if self._line is None or self.process is None:
            return
        if with_all:
            with contextlib.suppress(OSError):
                self._line.send(b"1")
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    @contextlib.contextmanager
    def hearing(self, line: socket.socket) -> Iterator[None]:
        """Have `line` to the process, and hear on it when that listens."""
        loop = asyncio.get_running_loop()
        self._line = line
        line.setblocking(False)

        def on_word() -> None:
            loop.remove_reader(line)
            try:
                if not line.recv(1):
                    return
            except OSError:  # it died and had not read what it was told
                return
            if self.failed:
                log.info("%s listens in the place of the one that ended", self)
            self.listened = True
            self.settled.set()

        loop.add_reader(line, on_word)
        try:
            yield
        finally:
            loop.remove_reader(line)
            self._line = None


def _how(ended: int | OSError) -> str:
    if isinstance(ended, OSError):
        return f"no start: {ended}"
    return f"signal {-ended} ({signal.strsignal(-ended)})" if ended < 0 else f"exit code {ended}"
