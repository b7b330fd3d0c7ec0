"""The terminal, or whatever is in its place: what is written, what is typed, and Ctrl-C."""

import asyncio
import contextlib
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import click

from headwater_client import Notice, Resumed, Unavailable

# What could move the cursor, or worse: a model's words are no commands to a terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PIECE_BYTES = 65_536
# What a server says that goes: in a stream or a refusal, and as a room's close code.
_LEAVING = ("draining", "1001")
_RESTARTING = "the server is shutting down or restarting, trying again"


def harmless(text: str) -> str:
    """`text` without control characters but tabs and line breaks."""
    return _CONTROLS.sub("", text)


class Terminal:
    """Stdout, where the answer goes, and stderr for what is said about it, in lines of their own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._shows = sys.stdout.isatty()
        self._both = self._shows and sys.stderr.isatty()
        self._in_line = False
        self._told = ""
        self.reached = False
        """Whether there has been an answer from the server."""

    @property
    def shows(self) -> bool:
        """Whether a person looks at the output; else it is kept as it is."""
        return self._shows

    @property
    def asks(self) -> bool:
        """Whether somebody is there to be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def write(self, text: str) -> None:
        """A piece of the answer."""
        if text:
            self._in_line = not text.endswith("\n")
            click.echo(harmless(text) if self._shows else text, nl=False)

    def end_line(self) -> None:
        """What comes next begins a line."""
        if self._in_line:
            self.write("\n")

    def note(self, text: str, nl: bool = True, dim: bool = False) -> None:
        """A line beside the answer; one that is `dim` can be passed over."""
        if self._both:
            self.end_line()
        click.echo(click.style(harmless(text), dim=True) if dim else harmless(text), err=True, nl=nl)

    def tell(self, notice: Notice) -> None:
        """A line about the connection."""
        if (said := self.said_of(notice)) is not None:
            self.note(said)

    def said_of(self, notice: Notice) -> str | None:
        """How the connection is; None where that was just said."""
        if isinstance(notice, Resumed):
            self._told = ""
            return "back"
        before, self._told = self._told, self._failure(notice.error)
        if self._told != _RESTARTING:
            return f"{self._told}, trying again in {math.ceil(notice.wait_s)} s"
        return self._told if self._told != before else None

    def _failure(self, error: Exception) -> str:
        if isinstance(error, Unavailable):
            if error.code in _LEAVING:
                return _RESTARTING
            if error.code == "closed":  # between two events, by a server or a proxy
                return "the server closed the connection"
            if error.status is not None:
                return error.message.rstrip(".")
        return "connection lost" if self.reached and not self._told else f"cannot reach {self._url}"


class Typed:
    """What comes on stdin, without holding up the loop: pieces of bytes, and none at its end."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        # From the descriptor: at the end of the process a lock of sys.stdin would be held.
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    async def piece(self) -> bytes:
        """The next."""
        return await self._pieces.get()

    def _read(self) -> None:
        piece = b"-"
        while piece:
            try:
                piece = os.read(sys.stdin.fileno(), _PIECE_BYTES)
            except (OSError, ValueError):  # it is closed, or was never there
                piece = b""
            with contextlib.suppress(RuntimeError):  # the loop is over, and nobody reads any more
                self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)


@contextlib.contextmanager
def interrupts() -> Iterator["asyncio.Queue[None]"]:
    """Each Ctrl-C during the block, as something to wait for."""
    loop, pressed = asyncio.get_running_loop(), asyncio.Queue[None]()
    loop.add_signal_handler(signal.SIGINT, pressed.put_nowait, None)
    try:
        yield pressed
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def before(task: "asyncio.Future[Any]", pressed: "asyncio.Queue[None]") -> bool:
    """Wait for either: whether the task was done before Ctrl-C."""
    press = asyncio.create_task(pressed.get())
    try:
        await asyncio.wait({task, press}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        press.cancel()
    return task.done()
