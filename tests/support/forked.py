"""What the forkserver forks, as `subprocess.Popen` shows a child of its own."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.forkserver import ENDED, STARTED

_ROOT = Path(__file__).parents[2]
_LINE_BYTES = 64  # more than a line of the forkserver's has
_DEADLINE_S = 30.0  # for an interpreter to import everything, on a busy machine


class Forkserver:
    """The one of this process: it starts with its first child, and ends with this process, however that ends."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._starting = threading.Lock()
        self._control: socket.socket | None = None

    def fork(self, line: socket.socket) -> None:
        """Fork a child that holds the other end of `line`."""
        with self._starting:
            control = self._control = self._control or self._start()
        socket.send_fds(control, [b"f"], [line.fileno()])

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forkserver", str(theirs.fileno())],
                cwd=_ROOT,
                env=self.environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for whoever started it
            )

        def end() -> None:
            ours.close()
            process.wait(_DEADLINE_S)

        atexit.register(end)
        return ours


class Forked:
    """A child of `forkserver` that is the command `headwater` with `args`.

    Raises AssertionError if it does not begin.
    """

    def __init__(
        self,
        forkserver: Forkserver,
        args: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ) -> None:
        self.args = ["headwater", *args]
        self._line, theirs = socket.socketpair()
        weakref.finalize(self, self._line.close)
        with theirs:
            forkserver.fork(theirs)
        wanted = {"argv": self.args, "cwd": cwd, "env": dict(env), "stdout": stdout, "stderr": stderr}
        self._line.settimeout(_DEADLINE_S)
        with self._line.makefile("rwb", buffering=0) as line:
            line.write(json.dumps(wanted, default=os.fspath).encode() + b"\n")
            self.pid = _number(line.readline(), STARTED)
        self._line.setblocking(False)

    def poll(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None while it runs."""
        try:
            told = self._line.recv(_LINE_BYTES, socket.MSG_PEEK)  # it is there for whoever asks next
        except BlockingIOError:
            return None
        return _number(told, ENDED)

    @property
    def returncode(self) -> int | None:
        """What `poll` says."""
        return self.poll()

    def wait(self, timeout: float) -> int:
        """The same, once it has ended. Raises TimeoutExpired."""
        ended = select.poll()
        ended.register(self._line, select.POLLIN)
        ended.poll(timeout * 1_000)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _number(told: bytes, line: bytes) -> int:
    """The number in a line of the forkserver's, of which `line` is the form."""
    word, _, number = told.partition(b" ")
    assert word == line.partition(b" ")[0], f"the forkserver said {told!r}: can `headwater.cli` be imported?"
    return int(number)
