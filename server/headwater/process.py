"""A process among others: the signals that end it, the terminal it was started on, and what it says there."""

import contextlib
import os
import signal

import click

# How the command says that it cannot start as it is configured.
REFUSED = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)
FINISHING = "Finishing what runs; once more to stop at once."


class Terminal:
    """What a process was started on, if it was. SIGHUP tells that it went away; else somebody has sent it."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._was_there = os.isatty(descriptor)

    @property
    def is_gone(self) -> bool:
        """Whether it was there before."""
        return self._was_there and not os.isatty(self._descriptor)


def say(text: str) -> None:
    """Tell whoever started it, if anybody listens yet: a log that went away must not keep a server from its end."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
