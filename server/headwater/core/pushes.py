"""What a room says to a client: every push a Struct. docs/protocol.md has an example of each.

What comes of the room's log bears `seq` and `position`; what comes of an answer's run bears that run's `after` and
`seq`, and no position. On server-sent events the same objects are the data, `type` the event's name.
"""

from typing import Any

import msgspec
from msgspec import Struct

from headwater.core.content import Part
from headwater.core.events import Failure, Usage
from headwater.core.room import Place

# -- answers to commands


class Ok(Struct, tag="ok", frozen=True, omit_defaults=True, kw_only=True):
    """The command was carried out.

    After a `message`: the id that it has, and the models that it has asked. After a `history`: `messages`, oldest
    first. It never has a position: what comes before it in the log may be told after it.
    """

    ref: str | None = None
    message: str | None = None
    asked: tuple[str, ...] = ()
    messages: "list[PostView] | None" = None
    has_more: bool | None = None


class Error(Struct, tag="error", frozen=True, omit_defaults=True, kw_only=True):
    """The command changed nothing, and why; without `ref` where none could be read."""

    ref: str | None = None
    code: str
    detail: str
    retryable: bool


class Member(Struct, frozen=True, omit_defaults=True):
    """Somebody in the room, however many connections they have. `id` is theirs for good; `name` is for people."""

    id: str
    name: str


class You(Struct, frozen=True):
    """Who one is here, and what one may do."""

    id: str
    name: str
    role: str


class PostView(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A message as it stands. Of an answer that has not ended the text comes as a snapshot, then as deltas."""

    id: str
    seq: int
    position: str
    by: str
    name: str
    text: str
    at: float
    client_id: str | None = None
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()
    edited_at: float | None = None
    deleted: bool = False
    reactions: dict[str, tuple[str, ...]] = {}
    run: str | None = None
    model: str | None = None
    asked: str | None = None
    status: str | None = None
    parts: list[Part] | None = None
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None


def view(place: Place) -> PostView:
    """A kept message, for a client. Its position is that of the event that created it."""
    fields: dict[str, Any] = {name: getattr(place.post, name) for name in place.post.__struct_fields__}
    return PostView(seq=place.created.seq, position=str(place.created), **fields)


# -- pushes of the room's log


class Placed(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the room's log holds."""

    seq: int
    position: str


class Message(Placed, tag="message", frozen=True, omit_defaults=True, kw_only=True):
    """Somebody said something."""

    id: str
    by: str
    name: str
    text: str
    at: float
    client_id: str
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()


class Edited(Placed, tag="edited", frozen=True, omit_defaults=True, kw_only=True):
    """A message has another text."""

    message: str
    by: str
    text: str
    at: float


class Deleted(Placed, tag="deleted", frozen=True, omit_defaults=True, kw_only=True):
    """A message is gone."""

    message: str
    by: str
    at: float


class Reacted(Placed, tag="reacted", frozen=True, kw_only=True):
    """A reaction was put on a message, or taken off."""

    message: str
    by: str
    reaction: str
    on: bool
    at: float


class Run(Placed, tag="run", frozen=True, omit_defaults=True, kw_only=True):
    """A model begins to answer: `message` grows. `by` asked for it, with the message `asked`."""

    message: str
    run: str
    by: str
    model: str
    asked: str
    at: float


class End(Placed, tag="end", frozen=True, omit_defaults=True, kw_only=True):
    """An answer is over: `text` and `parts` replace what its deltas made. No delta of it follows."""

    message: str
    run: str
    status: str
    text: str
    parts: list[Part]
    at: float
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None


# -- pushes of an answer's run


class Delta(Struct, tag="delta", frozen=True, omit_defaults=True, kw_only=True):
    """An answer goes on: exactly one of the last four."""

    message: str
    after: int
    seq: int
    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_call: dict[str, Any] | None = None


class Snapshot(Struct, tag="snapshot", frozen=True, kw_only=True):
    """An answer as it is: it replaces what was there."""

    message: str
    seq: int
    parts: list[Part]


class Attempt(Struct, tag="attempt", frozen=True, omit_defaults=True, kw_only=True):
    """An answer is tried anew; `restarted` withdraws what there was of it. `model` goes on, where it is another."""

    message: str
    after: int
    seq: int
    number: int
    reason: str
    how: str
    model: str | None = None


# -- what passes


class Joined(Struct, tag="joined", frozen=True, omit_defaults=True, kw_only=True):
    """One is in. `events` are what was missed, in order, as pushes; `messages` the newest page and open answers.

    `marks` are how far each member has read, as positions' seqs.
    """

    ref: str | None = None
    position: str
    recovered: bool
    you: You
    members: list[Member]
    events: list[msgspec.Raw] | None = None
    messages: list[PostView] | None = None
    marks: dict[str, int] | None = None


class Presence(Struct, tag="presence", frozen=True, kw_only=True):
    """Who came, and who has gone with their last connection."""

    joined: list[Member]
    left: list[Member]


class TypingNow(Struct, tag="typing", frozen=True, kw_only=True):
    """All who are writing now: it replaces what was said before."""

    members: list[Member]


class HasRead(Struct, tag="read", frozen=True, kw_only=True):
    """How far a member has read."""

    by: str
    seq: int


Push = (
    Ok
    | Error
    | Joined
    | Message
    | Edited
    | Deleted
    | Reacted
    | Run
    | End
    | Delta
    | Snapshot
    | Attempt
    | Presence
    | TypingNow
    | HasRead
)

_encoder = msgspec.json.Encoder()


def encode_push(push: Push) -> bytes:
    """The push as JSON."""
    return _encoder.encode(push)
