"""`headwater chat`: ask a model, and see the answer grow."""

import asyncio
import sys

import click

from headwater.cli.answer import follow
from headwater.cli.remote import Server, remote
from headwater.cli.terminal import Terminal, harmless
from headwater.errors import ConfigError
from headwater_client import RunFields


@click.command()
@click.argument("prompt")
@click.option("--model", help="Which model.  [the server's default]")
@click.option("--instructions", help="What the model should heed.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="The longest that the answer may be.")
@click.option("--detach", is_flag=True, help="Start the answer, show its id, and do not wait for it.")
@remote
def chat(
    server: Server, prompt: str, model: str | None, instructions: str | None, max_tokens: int | None, detach: bool
) -> int:
    """Ask a model, and see its answer grow; a PROMPT of - is read from stdin.

    A lost line or a restart of the server only makes it pause. Ctrl-C asks whether to cancel the answer. The exit
    code is 0 where the answer is whole.
    """
    fields = RunFields()
    if model is not None:
        fields["model"] = model
    if instructions is not None:
        fields["instructions"] = instructions
    if max_tokens is not None:
        fields["max_output_tokens"] = max_tokens
    return asyncio.run(_chat(server, _stdin() if prompt == "-" else prompt, fields, detach))


async def _chat(server: Server, prompt: str, fields: RunFields, detach: bool) -> int:
    terminal = Terminal(server.url)
    async with server.client(terminal) as client:
        run = await client.create(prompt, **fields)
        terminal.reached = True
        if not detach:
            return await follow(client, run.id, None, terminal)
    click.echo(harmless(run.id))
    terminal.note(f"Follow it with: headwater watch {run.id}")
    return 0


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the prompt on stdin is not UTF-8 text (byte {error.start})") from None
