"""What stands for the commands that need the client, where it is not installed."""

import sys

import click

from headwater.process import REFUSED


def missing(name: str) -> click.Command:
    """A command that says how to get it."""

    @click.command(
        name,
        short_help="Needs the package headwater-client.",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        click.echo(
            f"headwater: {name} needs the client: pip install 'headwater-client[rooms]', "
            "or in a checkout: .venv/bin/pip install './clients/python[rooms]'",
            err=True,
        )
        sys.exit(REFUSED)

    return command
