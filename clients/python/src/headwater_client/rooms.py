"""What a room is made of, and the events by which it is followed."""

from dataclasses import dataclass, field
from typing import Literal

from headwater_client.core.content import Content
from headwater_client.errors import HeadwaterError
from headwater_client.runs import Failure, Part, Reason, Usage


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in the room. `id` is theirs for good, `name` is for people."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class You(Member):
    """Who one is here, and what one may do: `read`, `write` or `moderate`."""

    role: str


@dataclass(slots=True, kw_only=True, eq=False)
class Message:
    """What somebody said, or an answer. The room keeps it up to date while it holds it.

    While it is `pending` it is only here: the server has not told of it, and its id is empty until
    the server has taken it. An answer has a `run`:
    `by` asked for it, with the message `asked`, and `status` says how it stands.
    """

    id: str
    by: str
    name: str
    at: float
    seq: int = 0
    position: str = ""
    client_id: str | None = None
    pending: bool = False
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()
    edited_at: float | None = None
    deleted: bool = False
    reactions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    run: str | None = None
    model: str | None = None
    asked: str | None = None
    status: str | None = None
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None
    content: Content = field(default_factory=Content, repr=False)

    @property
    def text(self) -> str:
        """Its text, as far as there is one."""
        return self.content.text

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of it: what a model thought aloud and its tool calls, too."""
        return self.content.parts

    @property
    def growing(self) -> bool:
        """Whether it is an answer that has not ended."""
        return self.status == "in_progress"


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Messages, oldest first, as they were when they were asked for; and whether there are older ones."""

    messages: tuple[Message, ...]
    has_more: bool


# -- events


@dataclass(frozen=True, slots=True)
class Joined:
    """One is in, or in again. Unless it is `recovered`, forget what you have: `room.messages` is what there is."""

    recovered: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A new message. One that is `pending` is your own local copy; its `client_id` says which one replaces it."""

    message: Message


@dataclass(frozen=True, slots=True)
class Edited:
    """A message has another text."""

    message: Message
    by: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """A message was taken back."""

    message: Message
    by: str


@dataclass(frozen=True, slots=True)
class Reacted:
    """A reaction was put on a message, or with `on` false taken off."""

    message: Message
    by: str
    reaction: str
    on: bool


@dataclass(frozen=True, slots=True)
class Began:
    """A model begins to answer, as a message of its own."""

    message: Message


@dataclass(frozen=True, slots=True)
class Grew:
    """An answer goes on by `text`; where it is `replaced`, that is the whole of its text."""

    message: Message
    text: str
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Retried:
    """An answer is tried again. Where `how` is `restarted`, its text is withdrawn, of which `Grew` tells.

    `model` is who goes on, where it is another than before.
    """

    message: Message
    number: int
    reason: Reason
    how: Literal["restarted", "continued"]
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer is over, and whole in its message; `message.status` says whether it was completed."""

    message: Message


@dataclass(frozen=True, slots=True)
class Presence:
    """Who came, and who has gone."""

    joined: tuple[Member, ...]
    left: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Typing:
    """All who are writing now."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class HasRead:
    """A member has read every event up to `seq`."""

    by: str
    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """What you said was refused. Its local copy is gone."""

    message: Message
    error: HeadwaterError


@dataclass(frozen=True, slots=True)
class Missed:
    """So many events were left out, because nobody took them. `room.messages` has all that they told."""

    count: int


RoomEvent = (
    Joined
    | Said
    | Edited
    | Deleted
    | Reacted
    | Began
    | Grew
    | Retried
    | Ended
    | Presence
    | Typing
    | HasRead
    | Refused
    | Missed
)
