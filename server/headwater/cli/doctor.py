"""`headwater doctor`: whether a server can be used from here, and what to do where it cannot."""

from collections.abc import Iterator

import click

from headwater.cli.checks import Checks, Finding
from headwater.cli.remote import Server, one_line, remote
from headwater.cli.terminal import harmless


@click.command()
@click.option("--model", help="Which model to ask.  [the server's default]")
@remote
def doctor(server: Server, model: str | None) -> int:
    """Check a server from here: that it answers, its keys, its store, a model, and that the stream is not held back.

    It asks the model for a few words, and removes the answer. The exit code is 0 where all is well.
    """
    bad = 0
    with Checks(server, model) as checks:
        for finding in checks.all():
            bad += finding.how == "BAD"
            for line in _shown(finding):
                click.echo(harmless(line))
    return 1 if bad else 0


def _shown(finding: Finding) -> Iterator[str]:
    yield f"{finding.how:<5} {finding.what:<7} {one_line(finding.said)}"
    if finding.to_do:
        yield f"{'':<13} -> {one_line(finding.to_do)}"
