"""`headwater runs`: which answers there are."""

import asyncio
import time
from typing import get_args

import click

from headwater.cli.remote import Server, remote
from headwater.cli.tables import table, when
from headwater.cli.terminal import Terminal, harmless
from headwater_client import Run
from headwater_client.runs import Status

_HEAD = ("RUN", "STATUS", "MODEL", "STARTED", "TOOK")
LIMIT_MAX = 100


@click.command()
@click.option("--status", type=click.Choice(get_args(Status)), help="Only those that stand so.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=20, help="How many at the most.  [20]")
@remote
def runs(server: Server, status: Status | None, limit: int) -> int:
    """List answers, newest first."""
    return asyncio.run(_runs(server, status, limit))


async def _runs(server: Server, status: Status | None, limit: int) -> int:
    terminal = Terminal(server.url)
    async with server.client(terminal) as client:
        page = await client.runs(status=status, limit=limit)
    if not page.runs:
        terminal.note('There are none. Start one: headwater chat "How do I resume a stream?"')
        return 0
    now = time.time()
    click.echo(table([_HEAD, *(_row(run, now) for run in page.runs)]))
    if page.has_more:
        terminal.note(f"There are older ones: --limit shows up to {LIMIT_MAX}.")
    return 0


def _row(run: Run, now: float) -> tuple[str, ...]:
    took = f"{max(0.0, (run.ended_at or now) - run.started_at):.1f} s" if run.started_at is not None else ""
    status = f"{run.status} ({run.reason})" if run.reason else run.status
    return harmless(run.id), harmless(status), harmless(run.model), when(run.created_at), took
