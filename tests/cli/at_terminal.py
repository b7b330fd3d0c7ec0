"""A command in a terminal of its own, and a person at it."""

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from typing import Self

from tests.support.waiting import wait_until

_START = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from headwater.cli import main; main()"
_STYLES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CTRL_C = "\x03"
CTRL_D = "\x04"


class AtTerminal:
    """`headwater` with these arguments, on a terminal of 80 columns. As a context manager it leaves no process."""

    def __init__(self, *args: str) -> None:
        self._args = args
        self._raw = b""
        self._closed = False

    def __enter__(self) -> Self:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
        self._child = subprocess.Popen(
            [sys.executable, "-c", _START, *self._args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment | {"TERM": "xterm", "COLUMNS": "80"},
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._drain()
        self._closed = True
        os.close(self._ours)

    @property
    def shown(self) -> str:
        """Everything that was written so far, without what moves the cursor."""
        if not self._closed:
            self._drain()
        return _STYLES.sub("", self._raw.decode(errors="ignore")).replace("\r\n", "\n")

    def sees(self, text: str) -> None:
        """Wait until it is there."""
        try:
            wait_until(lambda: text in self.shown)
        except AssertionError:
            raise AssertionError(f"{text!r} does not come; there is: {self.shown}") from None

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def exit_code(self) -> int:
        """Of the command, once it has ended."""

        def has_ended() -> bool:
            self._drain()  # or it might wait for somebody to read
            return self._child.poll() is not None

        wait_until(has_ended)
        return self._child.wait()

    def _drain(self) -> None:
        with contextlib.suppress(OSError):  # there is nothing now, or nobody any more
            while piece := os.read(self._ours, 65_536):
                self._raw += piece
