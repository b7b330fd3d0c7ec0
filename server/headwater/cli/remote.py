"""What the commands that ask a server share: where it is, who is asking, and how a failure looks."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from headwater.cli.common import refusals
from headwater.cli.terminal import Terminal, harmless
from headwater.errors import ConfigError
from headwater.process import REFUSED
from headwater_client import (
    AsyncClient,
    BadRequest,
    Forbidden,
    HeadwaterError,
    NotFound,
    NotHeadwater,
    Unauthorized,
)

HOME = "http://127.0.0.1:8000"
# Longer than a restart or a deploy takes, shorter than a person's patience.
MAX_WAIT_S = 60.0

# What will be the same however often it is asked.
_ASKED_WRONGLY = (BadRequest, Forbidden, NotFound, NotHeadwater, Unauthorized)


class Server(NamedTuple):
    """Which server, and how it is asked."""

    url: str
    key: str | None
    max_wait_s: float

    def client(self, terminal: Terminal) -> AsyncClient:
        """A client that tells of the line on stderr."""
        return AsyncClient(self.url, self.key, max_wait_s=self.max_wait_s, on_status=terminal.tell)


def remote(command: Callable[..., int]) -> Callable[..., None]:
    """The options of a command that asks a `server`. What it returns is the exit code."""

    @click.option("--url", help=f"Where the server is, or HEADWATER_URL.  [{HOME}]")
    @click.option("--key", help="An API key or a token. Better: HEADWATER_KEY, which nobody else sees.")
    @click.option(
        "--max-wait",
        "max_wait_s",
        type=click.FloatRange(min=0),
        default=MAX_WAIT_S,
        metavar="SECONDS",
        help=f"Give up after failing for so long.  [{MAX_WAIT_S:g}]",
    )
    @functools.wraps(command)
    def asking(url: str | None, key: str | None, max_wait_s: float, **arguments: Any) -> None:
        with refusals():
            server = _server(url, key, max_wait_s)
            try:
                code = command(server=server, **arguments)
            except HeadwaterError as error:
                click.echo(f"headwater: {harmless(one_line(reason(error, server)))}", err=True)
                code = REFUSED if isinstance(error, _ASKED_WRONGLY) else 1
        sys.exit(code)

    return asking


def reason(error: HeadwaterError, server: Server) -> str:
    """What went wrong, and what to do about it at a terminal."""
    if not isinstance(error, Unauthorized):
        return error.message
    what = "does not take this key" if server.key else "asks for a key"
    return (
        f"{server.url} {what}: give one with --key or HEADWATER_KEY; its operator makes one with headwater keys create"
    )


def one_line(text: str) -> str:
    """`text` without line breaks."""
    return " ".join(text.split())


def _server(url: str | None, key: str | None, max_wait_s: float) -> Server:
    """Raises ConfigError, which does not repeat the key.

    A `.env` is not asked: that of a stranger's folder would have the key sent to the stranger.
    """
    said = os.environ
    key = key or said.get("HEADWATER_KEY") or None
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError("--key: a key or token has neither spaces nor special characters: copy it again")
    return Server((url or said.get("HEADWATER_URL") or HOME).rstrip("/"), key, max_wait_s)
