"""The command `headwater`."""

import click

from headwater.cli import keys, serve, tokens
from headwater.version import VERSION

__all__ = ["main"]


@click.group()
@click.version_option(VERSION, prog_name="headwater")
def main() -> None:
    """Headwater: start an answer once, stream it durably, follow and resume it from anywhere."""


main.add_command(serve.serve)
main.add_command(keys.group)
main.add_command(tokens.group)
