"""What a client says in a room: every command a Struct, and the reading of frames.

docs/protocol.md has an example of each.
"""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from headwater.core.claims import is_printable

# A client counts, or draws a UUID; it comes back with the answer.
Ref = Annotated[str, Meta(max_length=64)]
# Its own bound, which is lower, is the token's reader's.
Token = Annotated[str, Meta(min_length=1)]
# A UUID, or a counter behind a name.
CLIENT_ID_MAX: Final = 64
ClientId = Annotated[str, Meta(min_length=1, max_length=CLIENT_ID_MAX)]
# Ids as we deal them have 30 characters.
Id = Annotated[str, Meta(min_length=1, max_length=64)]
# More than blanks. Some four pages; longer input has `POST /v1/runs`.
TEXT_CHARS: Final = 16_000
Words = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS, pattern=r"\S")]
# More would be shouting: each may be a model that answers, or a person who is called.
MENTIONS_MAX: Final = 16
Mentions = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=MENTIONS_MAX)]
# An emoji of several code points, or a short name for one.
Reaction = Annotated[str, Meta(min_length=1, max_length=32)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
PAGE_MAX: Final = 100
"""Messages in one page of history."""
PAGE: Final = 50


class Command(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all have in common: the answer carries the `ref`."""

    ref: Ref | None = None


class Auth(Command, tag="auth", frozen=True, kw_only=True):
    """Say who is there, or go on for longer with a newer token of the same principal."""

    token: Token

    def __repr__(self) -> str:
        return f"Auth(ref={self.ref!r})"


class Join(Command, tag="join", frozen=True, kw_only=True):
    """Enter the room, or come back to it after `since`, a position; `token` is an `auth` on the way."""

    since: str | None = None
    name: Name | None = None
    token: Token | None = None

    def __repr__(self) -> str:
        return f"Join(since={self.since!r}, name={self.name!r}, ref={self.ref!r})"


class Ping(Command, tag="ping", frozen=True, kw_only=True):
    """Ask for a sign of life. Browsers cannot send the protocol's own."""


class Message(Command, tag="message", frozen=True, kw_only=True):
    """Say something. Sent again under its `client_id` it is said once. `mentions` are members' ids and models."""

    client_id: ClientId
    text: Words
    reply_to: Id | None = None
    mentions: Mentions = ()


class Edit(Command, tag="edit", frozen=True, kw_only=True):
    """Change what one has said."""

    message: Id
    text: Words


class Delete(Command, tag="delete", frozen=True, kw_only=True):
    """Take back what one has said; a moderator takes down anybody's, a model's too."""

    message: Id


class React(Command, tag="react", frozen=True, kw_only=True):
    """Put a reaction on a message, or with `on` false take it off."""

    message: Id
    reaction: Reaction
    on: bool = True


class Typing(Command, tag="typing", frozen=True, kw_only=True):
    """Say that one is writing; it wears off, so it is said again every few seconds."""

    on: bool = True


class ReadTo(Command, tag="read", frozen=True, kw_only=True):
    """Say how far one has read."""

    position: str


class Cancel(Command, tag="cancel", frozen=True, kw_only=True):
    """Stop an answer: that `run`, or whatever one's own message `client_id` asked for, begun or not."""

    run: Id | None = None
    client_id: ClientId | None = None


class History(Command, tag="history", frozen=True, kw_only=True):
    """Ask for messages from before a message, or before a position; without `before` for the newest."""

    before: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE


AnyCommand = Auth | Join | Ping | Message | Edit | Delete | React | Typing | ReadTo | Cancel | History

COMMANDS: Final[tuple[str, ...]] = (
    "auth",
    "join",
    "ping",
    "message",
    "edit",
    "delete",
    "react",
    "typing",
    "read",
    "cancel",
    "history",
)
"""The types of all commands."""


# -- reading

# Of an error's text: names of fields come from the frame, and may be as long as it.
DETAIL_CHARS: Final = 300


NAME_UNPRINTABLE: Final = "name: contains a control character, or an end of line."


class Unreadable(Struct, frozen=True):
    """A frame that is no command: an error's code and text, and the `ref`, where one could be read."""

    code: str
    detail: str
    ref: str | None = None


_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_AT_PATH = re.compile(r" - at `\$\.?(.*?)`$")


class _Head(Struct):
    """What is left of a command that is no good: enough to answer it."""

    type: str
    ref: Ref | None = None


_head_decoder = msgspec.json.Decoder(_Head)


def read_command(frame: str | bytes) -> AnyCommand | Unreadable:
    """The command in a frame, or what is wrong with it."""
    if isinstance(frame, bytes):
        return Unreadable("bad_request", "Frames are text, with one JSON object each; this one was binary.")
    try:
        return _decode(frame.encode())
    except msgspec.ValidationError as error:
        return Unreadable("invalid", _about_field(str(error)))
    except (msgspec.DecodeError, UnicodeError):
        return Unreadable("malformed_json", "The frame is not JSON: send one JSON object with a type.")
    except RecursionError:
        return Unreadable("invalid", "The frame is nested too deeply.")


def _decode(frame: bytes) -> AnyCommand | Unreadable:
    """The command, or why it is none with the `ref` that it came with."""
    try:
        command = _decoder.decode(frame)
    except msgspec.ValidationError as error:
        message = str(error)
    else:
        field = _field_with_nul(command) if b"\\u0000" in frame else None
        if field is not None:
            return Unreadable("invalid", f"{field}: contains a NUL character.", command.ref)
        if isinstance(command, Join) and command.name is not None and not is_printable(command.name):
            return Unreadable("invalid", NAME_UNPRINTABLE, command.ref)
        return command
    head = _head_decoder.decode(frame)  # which reads what the first error left unread
    if head.type not in COMMANDS:
        return Unreadable("invalid", f"type: this is no command. Known are {', '.join(COMMANDS)}.", head.ref)
    return Unreadable("invalid", _about_field(message), head.ref)


def _field_with_nul(command: AnyCommand) -> str | None:
    """Stores and clients cut strings at NUL characters, so no field has one."""
    values = ((name, getattr(command, name)) for name in command.__struct_fields__)
    texts = ((name, "".join(value) if isinstance(value, tuple) else value) for name, value in values)
    return next((name for name, text in texts if isinstance(text, str) and "\0" in text), None)


def _about_field(message: str) -> str:
    at = _AT_PATH.search(message)
    reason = message[: at.start()] if at else message
    if "matching regex" in reason:
        reason = "Needs visible characters, on one line where it is a name"
    return f"{at[1] if at and at[1] else 'The frame'}: {reason[:DETAIL_CHARS]}."
