"""`headwater watch`: follow an answer, from anywhere."""

import asyncio

import click

from headwater.cli.answer import follow
from headwater.cli.remote import Server, remote
from headwater.cli.terminal import Terminal


@click.command()
@click.argument("run")
@click.option("--after", metavar="POSITION", help="Go on behind this position.  [from the beginning]")
@remote
def watch(server: Server, run: str, after: str | None) -> int:
    """Follow the answer RUN to its end, live or late. The exit code is 0 where it is whole."""
    return asyncio.run(_watch(server, run, after))


async def _watch(server: Server, run: str, after: str | None) -> int:
    terminal = Terminal(server.url)
    async with server.client(terminal) as client:
        return await follow(client, run, after, terminal)
