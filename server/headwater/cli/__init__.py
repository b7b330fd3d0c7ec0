"""The command `headwater`."""

import click

from headwater.cli import keys, serve, tokens
from headwater.cli.missing import missing
from headwater.version import VERSION

try:
    from headwater.cli import chat, doctor, room, runs, watch
except ModuleNotFoundError as error:
    if error.name != "headwater_client":
        raise
    ASKING = tuple(map(missing, ("chat", "watch", "runs", "room", "doctor")))
else:
    ASKING = (chat.chat, watch.watch, runs.runs, room.room, doctor.doctor)

__all__ = ["main"]


@click.group()
@click.version_option(VERSION, prog_name="headwater")
def main() -> None:
    """Headwater: start an answer once, stream it durably, follow and resume it from anywhere."""


for _command in (serve.serve, keys.group, tokens.group, *ASKING):
    main.add_command(_command)
