"""The JSON bodies of rooms: what a service sends, and what it gets."""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from headwater.core.commands import ClientId, Id, Mentions, Name, Words
from headwater.core.pushes import PostView, view
from headwater.core.room import Budgets, Concurrency, Place, Policy, Retention
from headwater.rooms import Room
from headwater.web.shapes import Address, At, Time


class RoomMessage(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The body of `POST /v1/rooms/{room}/messages`.

    Sent again under its `client_id` it is said once. A key may speak under any `name`; a person has the token's.
    """

    text: Words
    client_id: ClientId | None = None
    reply_to: Id | None = None
    mentions: Mentions = ()
    name: Name | None = None


class RetentionAnswer(Retention, frozen=True, kw_only=True, omit_defaults=False):
    """How much of the log is kept, every field said."""


class BudgetsAnswer(Budgets, frozen=True, kw_only=True, omit_defaults=False):
    """What models may be asked in a day, every field said."""


class RoomAnswer(Struct, frozen=True, kw_only=True):
    """A room. `position` is where its log stands; without a `model` the server's default answers."""

    name: str
    object: Literal["room"]
    created_at: Time
    position: At
    title: str | None
    instructions: str | None
    model: str | None
    policy: Policy
    concurrency: Concurrency
    context_bytes: Annotated[int, Meta(description="Of the conversation, as UTF-8, that a model is given.")]
    retention: RetentionAnswer
    budgets: BudgetsAnswer
    events_url: Address
    messages_url: Address
    socket_url: Address


class RoomList(Struct, frozen=True, kw_only=True):
    """A page of rooms, newest first."""

    object: Literal["list"]
    data: list[RoomAnswer]
    has_more: bool


class MessageList(Struct, frozen=True, kw_only=True):
    """A page of messages, newest first."""

    object: Literal["list"]
    data: list[PostView]
    has_more: bool


def room_url(name: str, root: str) -> str:
    """Where a room is; `root` is the path under which Headwater is mounted."""
    return f"{root}/v1/rooms/{name}"


def room_answer(room: Room, root: str) -> RoomAnswer:
    """A room, for a client."""
    url, settings = room_url(room.key.name, root), room.settings
    return RoomAnswer(
        name=room.key.name,
        object="room",
        created_at=round(room.created_at, 3),
        position=str(room.top),
        title=settings.title,
        instructions=settings.instructions,
        model=settings.model,
        policy=settings.policy,
        concurrency=settings.concurrency,
        context_bytes=settings.context_bytes,
        retention=RetentionAnswer(**asdict(settings.retention)),
        budgets=BudgetsAnswer(**asdict(settings.budgets)),
        events_url=f"{url}/events",
        messages_url=f"{url}/messages",
        socket_url=f"{url}/ws",
    )


def room_list(rooms: Iterable[Room], root: str, *, has_more: bool) -> RoomList:
    """A page of rooms."""
    return RoomList(object="list", data=[room_answer(room, root) for room in rooms], has_more=has_more)


def message_list(places: Iterable[Place], *, has_more: bool) -> MessageList:
    """A page of messages."""
    return MessageList(object="list", data=[view(place) for place in places], has_more=has_more)
