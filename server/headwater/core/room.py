"""A room: its name, what it is set to, what its log holds, and the messages that come of it.

An event is stored as a small JSON array that begins with a letter for its type, like a run's. A log's entry is an
`Entry` as a run's is: to windows and cursors its events are opaque.
"""

import hashlib
from collections.abc import Container, Sequence
from typing import Annotated, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from headwater.core.content import Part
from headwater.core.events import End, Entry, Event, Failure, Usage
from headwater.core.position import Position

# -- names

ROOM_NAME: Final = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]{1,128}"
"""What a room may be called, in a path, a claim and a log. Not `.` or `..`, which clients take out of paths."""


class RoomKey(Struct, frozen=True):
    """Which room: a name of one tenant's."""

    tenant: str
    name: str

    @property
    def id(self) -> str:
        """The id of its log, by which stores and hubs know it: no run's, for it has a slash."""
        return f"{self.tenant}/{self.name}"


def room_key(room_id: str) -> RoomKey:
    """The key of a room's id. A name has no slash; a tenant may."""
    tenant, _, name = room_id.rpartition("/")
    return RoomKey(tenant, name)


def room_slot(room_id: str) -> str:
    """What a room and its runs have in common, so that they can lie together: 20 hexadecimal digits."""
    return hashlib.sha256(room_id.encode()).hexdigest()[:20]


def run_id_of(room_id: str, turn_id: str) -> str:
    """The id of the run of a turn: it can be told before there is one, and whoever tries again makes the same."""
    return f"run_{room_slot(room_id)}-{turn_id}"


def slot_of_run(run_id: str) -> str | None:
    """The slot of the room that a run is of, or None of a run that is no room's."""
    head, dash, _ = run_id.rpartition("-")
    return head.removeprefix("run_") if dash else None


def turn_of(run_id: str) -> str:
    """The id of the turn that this run of a room is of."""
    return run_id.rpartition("-")[2]


def answer_of(run_id: str) -> str:
    """The id of the message that grows as this run of a room goes on."""
    return f"msg_{turn_of(run_id)}"


# -- settings

# A day of a lively room, and as much as one is ever read back.
EVENTS_KEPT: Final = 10_000
EVENTS_KEPT_MAX: Final = 1_000_000
# Of a room's log, however few its events are, since all rooms share one disk or memory: 400,000 lines, or 1,000 of the
# longest messages. The messages as they stand take about as much again at most, for each event makes or changes one.
ROOM_BYTES_MAX: Final = 64 * 1024 * 1024
# Some 8,000 tokens: small models' whole context.
CONTEXT_BYTES: Final = 32 * 1024
# A century: what goes on for ever says nothing.
AGE_MAX_S: Final = 100 * 366 * 86_400

Policy = Literal["mention", "reply", "always", "never"]
"""Which messages a model answers: those that mention it; also those that reply to what it said; all; none."""

Concurrency = Literal["queue", "parallel", "cancel-and-restart"]
"""What a question does while an answer grows: it waits; both grow; the answer under way is cancelled for it."""


class Retention(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """How much of the log is kept: so many events, and none that is older than `age_s` seconds."""

    count: Annotated[int, Meta(ge=1, le=EVENTS_KEPT_MAX)] = EVENTS_KEPT
    age_s: Annotated[float, Meta(gt=0, le=AGE_MAX_S)] | None = None


class Budgets(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What models may be asked in a day, by all in the room and by each person; None: no limit.

    `tokens` are output tokens: of the answer that passes the limit all are given.
    """

    runs_per_day: Annotated[int, Meta(ge=0)] | None = None
    tokens_per_day: Annotated[int, Meta(ge=0)] | None = None
    person_runs_per_day: Annotated[int, Meta(ge=0)] | None = None
    person_tokens_per_day: Annotated[int, Meta(ge=0)] | None = None


class RoomSettings(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `PUT /v1/rooms/{room}`. Without a `model` the server's default answers.

    `context_bytes`: of the conversation, as UTF-8, that a model is given; the oldest is left out first.
    """

    title: Annotated[str, Meta(max_length=256)] | None = None
    instructions: Annotated[str, Meta(max_length=64 * 1024)] | None = None
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    policy: Policy = "mention"
    concurrency: Concurrency = "queue"
    context_bytes: Annotated[int, Meta(ge=1, le=4 * 1024 * 1024)] = CONTEXT_BYTES
    retention: Retention = Retention()
    budgets: Budgets = Budgets()


# -- events


class Said(Struct, array_like=True, tag="m", frozen=True, gc=False):
    """Somebody said something. `by` is the member's id, `client_id` the sender's own name for it."""

    message: str
    by: str
    name: str
    text: str
    at: float
    client_id: str
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()


class Edited(Struct, array_like=True, tag="x", frozen=True, gc=False):
    """Its sender changed a message's text."""

    message: str
    by: str
    text: str
    at: float


class Deleted(Struct, array_like=True, tag="d", frozen=True, gc=False):
    """A message was taken back, or taken down."""

    message: str
    by: str
    at: float


class Reacted(Struct, array_like=True, tag="k", frozen=True, gc=False):
    """Somebody put a reaction on a message, or took theirs off."""

    message: str
    by: str
    reaction: str
    on: bool
    at: float


class RunStarted(Struct, array_like=True, tag="r", frozen=True, gc=False):
    """A model begins to answer: `message` grows as the run goes on. `by` asked for it, with the message `asked`."""

    message: str
    run: str
    by: str
    model: str
    asked: str
    at: float


class RunEnded(Struct, array_like=True, tag="e", frozen=True):
    """An answer is over, whole in here."""

    message: str
    run: str
    status: str
    text: str
    parts: list[Part]
    at: float
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None


RoomEvent = Said | Edited | Deleted | Reacted | RunStarted | RunEnded

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[RoomEvent, ...])


def encode_room_events(events: Sequence[RoomEvent]) -> bytes:
    """The events as one stored payload."""
    return _encoder.encode(events)


def decode_room_events(payload: bytes) -> tuple[RoomEvent, ...]:
    """The events of a stored payload. Raises msgspec.MsgspecError if it is damaged."""
    return _decoder.decode(payload)


def room_entry(after: Position, tag: int, events: Sequence[RoomEvent]) -> Entry:
    """The entry of a room's log that puts these events after a position."""
    return Entry(after, after.seq + len(events), tag, cast(tuple[Event, ...], tuple(events)))


def room_events(entry: Entry) -> tuple[RoomEvent, ...]:
    """The events of an entry of a room's log."""
    return cast(tuple[RoomEvent, ...], entry.events)


def run_ended(run_id: str, end: End, text: str, parts: list[Part], at: float) -> RunEnded:
    """What a room's log says of the end of one of its runs, with all of its output."""
    return RunEnded(answer_of(run_id), run_id, end.status, text, parts, at, end.reason, end.error, end.usage)


def without_text(entry: Entry, messages: Container[str]) -> Entry:
    """The same without what these messages said: they were deleted since."""
    return room_entry(entry.after, entry.tag, [_without_text(event, messages) for event in room_events(entry)])


def _without_text(event: RoomEvent, messages: Container[str]) -> RoomEvent:
    if event.message in messages and isinstance(event, Said | Edited):
        return replace(event, text="")
    if event.message in messages and isinstance(event, RunEnded):
        return replace(event, text="", parts=[])
    return event


# -- messages


class Post(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A message as it is after all that happened to it: what a page of history holds, and what the store keeps.

    `at` and `edited_at` are Unix seconds. An answer has a `run`, its `model`, and a `status`, which is `in_progress`
    while it grows; its text is in its run's log until it has ended. `asked` is the message that it answers.
    Of one that was deleted only who and when are left.
    """

    id: str
    by: str
    name: str = ""
    text: str = ""
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

    @property
    def is_answer(self) -> bool:
        """Whether a model says it."""
        return self.run is not None


def posted(event: Said | RunStarted) -> Post:
    """The message that an event begins."""
    if isinstance(event, RunStarted):
        return Post(
            id=event.message,
            by=event.by,
            name=event.model,
            at=event.at,
            run=event.run,
            model=event.model,
            asked=event.asked,
            status="in_progress",
        )
    return Post(
        id=event.message,
        by=event.by,
        name=event.name,
        text=event.text,
        at=event.at,
        client_id=event.client_id,
        reply_to=event.reply_to,
        mentions=event.mentions,
    )


def changed(post: Post, event: Edited | Deleted | Reacted | RunEnded) -> Post:
    """The message after an event that is about it."""
    match event:
        case Edited():
            return replace(post, text=event.text, edited_at=event.at)
        case Deleted():
            return Post(
                id=post.id,
                by=post.by,
                name=post.name,
                at=post.at,
                client_id=post.client_id,
                reply_to=post.reply_to,
                run=post.run,
                model=post.model,
                asked=post.asked,
                status=post.status,
                deleted=True,
            )
        case Reacted():
            return replace(post, reactions=_reactions(post, event))
        case RunEnded() if post.deleted:
            return replace(post, status=event.status)
        case RunEnded():
            return replace(
                post,
                status=event.status,
                text=event.text,
                parts=event.parts,
                reason=event.reason,
                error=event.error,
                usage=event.usage,
            )


def _reactions(post: Post, event: Reacted) -> dict[str, tuple[str, ...]]:
    """Each reaction with those who put it, in that order."""
    whose = tuple(by for by in post.reactions.get(event.reaction, ()) if by != event.by)
    reactions = post.reactions | {event.reaction: (*whose, event.by) if event.on else whose}
    return {reaction: those for reaction, those in reactions.items() if those}


_post_encoder = msgspec.json.Encoder()
_post_decoder = msgspec.json.Decoder(Post)


def encode_post(post: Post) -> bytes:
    """The message as it is stored."""
    return _post_encoder.encode(post)


def decode_post(data: bytes) -> Post:
    """A stored message. Raises msgspec.MsgspecError if it is damaged."""
    return _post_decoder.decode(data)


# -- turns


class Turn(Struct, frozen=True, kw_only=True):
    """An answer that was asked for: kept by the room until its run has ended.

    `id` is the random part of the run's and the answer's ids. `asked` is the message that asks, `client_id` its
    sender's name for it, `by` and `name` its sender, `caller` the principal whose quota the run is of. Until `open` it
    waits to begin.
    """

    id: str
    asked: str
    client_id: str
    by: str
    name: str
    caller: str
    model: str
    at: float
    open: bool = False


class Place(Struct, frozen=True):
    """A message with where it lies: the position that created it, and the one that changed it last."""

    post: Post
    created: Position
    version: Position
