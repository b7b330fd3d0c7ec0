"""The frames of a room in the documentation: of each there is one, and each is what the server reads or says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from headwater.core import commands, pushes
from headwater.core.commands import AnyCommand, Unreadable, read_command
from headwater.core.pushes import Push, encode_push

DOCS = Path(__file__).parents[2] / "docs"
FENCED = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)

COMMANDS: tuple[type[AnyCommand], ...] = get_args(AnyCommand)
PUSHES: tuple[type[Push], ...] = get_args(Push)
NAMES = {kind.__struct_config__.tag for kind in (*COMMANDS, *PUSHES)}

decoder: msgspec.json.Decoder[Push] = msgspec.json.Decoder(Push)


def values(text: str) -> Iterator[Any]:
    """The JSON values that follow one another in a text."""
    decode = json.JSONDecoder().raw_decode
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decode(text, at)
        yield value


def frames() -> Iterator[dict[str, Any]]:
    """Every example of a frame, also those within a `joined`."""
    for block in FENCED.findall((DOCS / "protocol.md").read_text()):
        for value in values(block):
            if value.get("type") in NAMES:
                yield value
                yield from value.get("events", ())


FRAMES = list(frames())


def read(frame: dict[str, Any]) -> AnyCommand | Push:
    """The command or the push that an example is."""
    command = read_command(json.dumps(frame))
    return decoder.decode(json.dumps(frame)) if isinstance(command, Unreadable) else command


@pytest.mark.parametrize("kind", [*COMMANDS, *PUSHES], ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_command_and_push_has_an_example(kind: type) -> None:
    assert any(type(read(frame)) is kind for frame in FRAMES)


def test_these_are_all_that_there_are() -> None:
    tagged = {
        kind
        for module in (commands, pushes)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
        if kind.__struct_config__.tag is not None
    }
    assert tagged == {*COMMANDS, *PUSHES}


def test_every_example_is_what_the_server_reads_or_says() -> None:
    for frame in FRAMES:
        one = read(frame)
        if isinstance(one, AnyCommand):
            said = json.loads(msgspec.json.encode(one))
            assert said | frame == said  # what is left out has its default
        else:
            assert json.loads(encode_push(one)) == frame


@pytest.mark.parametrize("kind", ["text", "reasoning", "refusal", "tool_call"])
def test_a_delta_has_an_example_of_each_kind(kind: str) -> None:
    deltas = [frame for frame in FRAMES if frame["type"] == "delta"]
    assert any(kind in delta for delta in deltas)
    assert all(len(delta.keys() & {"text", "reasoning", "refusal", "tool_call"}) == 1 for delta in deltas)
