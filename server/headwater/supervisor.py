"""Several workers on one port: a parent that starts them, starts them again, and ends with them.

The parent binds the port and serves nothing. Each worker is a process of its own and accepts from the port that
it inherits. Between the two lies a line, a pair of sockets, for what no exit code tells: it carries one byte when
the worker listens, and it breaks when the parent dies. Nobody asks whether a worker still turns: one that was
frozen goes on where it was, and its leases see to its runs meanwhile.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

import click

from headwater.entropy import full_jitter

log = logging.getLogger("headwater")

# The descriptors of the port and the line, for a worker alone: it is no setting.
INHERITED = "HEADWATER_INHERITED"
# How the command says that it cannot start as it is configured.
REFUSED = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)
FINISHING = "Finishing what runs; once more to stop at once."
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
        line.setblocking(False)
        for one in (port, line):
            one.set_inheritable(False)  # for this worker, not for what it starts

    def say_listening(self) -> None:
        """Tell the supervisor that this worker accepts connections."""
        with contextlib.suppress(OSError):  # it is gone, which `watching` notices
            self._line.send(b"1")

    @contextlib.contextmanager
    def watching(self, on_orphaned: Callable[[], None]) -> Iterator[None]:
        """Call `on_orphaned` once if the supervisor dies during the block."""
        loop = asyncio.get_running_loop()

        def on_break() -> None:
            loop.remove_reader(self._line)
            on_orphaned()

        loop.add_reader(self._line, on_break)
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
    """

    def __init__(
        self,
        command: Sequence[str],
        port: socket.socket,
        workers: int,
        *,
        on_listening: Callable[[], None],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._variables = dict(variables or {})
        self._port = port
        self._workers = [_Worker(number) for number in range(1, workers + 1)]
        self._on_listening = on_listening
        self._ending = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Run them until SIGINT or SIGTERM, and give the exit code: 0, or 2 if one could not start as configured."""
        with self._capture_signals():
            async with asyncio.TaskGroup() as keepers:
                # The first alone: what is wrong with the configuration is then said once, and not by all.
                for some in (self._workers[:1], self._workers[1:]):
                    for worker in some:
                        keepers.create_task(self._keep(worker))
                    for worker in some:
                        await worker.settled.wait()
                    if self._ending.is_set():
                        break
                else:
                    self._on_listening()
        return self._exit_code

    @contextlib.contextmanager
    def _capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for one in SIGNALS:
            loop.add_signal_handler(one, self._on_signal)
        try:
            yield
        finally:
            for one in SIGNALS:
                loop.remove_signal_handler(one)

    def _on_signal(self) -> None:
        if not self._ending.is_set():
            say(FINISHING)
        self._end(0)

    def _end(self, exit_code: int) -> None:
        """Let all workers drain; the second time they stop at once."""
        if not self._ending.is_set():
            self._exit_code = exit_code
            self._ending.set()
        for worker in self._workers:
            worker.terminate()

    async def _keep(self, worker: "_Worker") -> None:
        """See that a process fills this place until the end."""
        loop, failures = asyncio.get_running_loop(), 0
        try:
            while not self._ending.is_set():
                started = loop.time()
                ended = await self._run(worker)
                if ended == REFUSED and not worker.settled.is_set():
                    self._end(REFUSED)
                if self._ending.is_set():
                    break
                failures = 1 if loop.time() - started >= STEADY_S else failures + 1
                pause_s = full_jitter(failures, base_s=BACK_OFF_S, cap_s=BACK_OFF_MAX_S)
                log.warning("%s ended with %s; the next one starts in %.1f s", worker, _how(ended), pause_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), pause_s)
        finally:
            worker.settled.set()

    async def _run(self, worker: "_Worker") -> int | OSError:
        """One process from start to end: its exit code, below 0 for a signal, or why it could not be started."""
        worker.process = None
        try:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    worker.process = await self._start(theirs)
                if self._ending.is_set():
                    worker.terminate()  # it began while the others were told
                with worker.hearing(ours):
                    ended = await worker.process.wait()
        except OSError as error:
            return error
        if self._ending.is_set() and ended not in (0, -signal.SIGTERM, REFUSED):
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


class _Worker:
    """A place among the workers, and the process that fills it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.settled = asyncio.Event()  # a process of this place listened, or none ever will

    def __str__(self) -> str:
        return f"worker {self.number}" + (f" (process {self.process.pid})" if self.process else "")

    def terminate(self) -> None:
        """SIGTERM, if there is a process."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()

    @contextlib.contextmanager
    def hearing(self, line: socket.socket) -> Iterator[None]:
        """Hear on `line` when the process listens."""
        loop = asyncio.get_running_loop()
        line.setblocking(False)

        def on_word() -> None:
            loop.remove_reader(line)
            if not line.recv(1):
                return
            if self.settled.is_set():
                log.info("%s listens in the place of the one that ended", self)
            self.settled.set()

        loop.add_reader(line, on_word)
        try:
            yield
        finally:
            loop.remove_reader(line)


def _how(ended: int | OSError) -> str:
    if isinstance(ended, OSError):
        return f"no start: {ended}"
    return f"signal {-ended} ({signal.strsignal(-ended)})" if ended < 0 else f"exit code {ended}"


def say(text: str) -> None:
    """Tell whoever started it, if anybody listens yet: a log that went away must not keep a server from its end."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
