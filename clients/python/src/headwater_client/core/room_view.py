"""What a member of a room holds: its messages in order, who is there, and where one stands in its log."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from headwater_client.core.decoding import failure_of, known, part_of, parts_of, usage_of
from headwater_client.core.trouble import Broken
from headwater_client.rooms import (
    Began,
    Deleted,
    Edited,
    Ended,
    Grew,
    HasRead,
    Joined,
    Member,
    Message,
    Presence,
    Reacted,
    Retried,
    RoomEvent,
    Said,
    Typing,
    You,
)
from headwater_client.runs import Part

Push = Mapping[str, Any]

# More than anybody scrolls through; the rest is in the history.
KEEP: Final = 1_000


class RoomView:
    """`take` gives the events that a push comes to, and raises Broken where it does not fit, having changed nothing.

    `marks` are the seqs up to which members have read.
    """

    def __init__(self, since: str | None) -> None:
        self.you: You | None = None
        self.position = since or ""
        self.members: dict[str, Member] = {}
        self.typing: tuple[Member, ...] = ()
        self.marks: dict[str, int] = {}
        self.pending: dict[str, Message] = {}
        """What was said here and not heard yet, by client_id."""
        self._seq = 0
        self._messages: dict[str, Message] = {}
        self._growth: dict[str, int | None] = {}
        """Of each open answer where its run stands; None on a connection that has brought nothing of it."""
        self._placed: dict[str, Callable[[Push], list[RoomEvent]]] = {
            "message": self._said,
            "edited": self._edited,
            "deleted": self._deleted,
            "reacted": self._reacted,
            "run": self._began,
            "end": self._ended,
        }
        self._passing: dict[str, Callable[[Push], list[RoomEvent]]] = {
            "snapshot": self._snapshot,
            "delta": self._delta,
            "attempt": self._attempt,
            "presence": self._presence,
            "typing": self._is_typing,
            "read": self._has_read,
        }

    @property
    def messages(self) -> list[Message]:
        """The newest messages, in order; then what was said here and not heard yet."""
        return [*self._messages.values(), *self.pending.values()]

    # -- what is said here

    def say(self, message: Message) -> Said:
        """It is shown from now on, until the server's own replaces it."""
        assert message.client_id is not None
        self.pending[message.client_id] = message
        return Said(message)

    # -- what is heard

    def take(self, push: Push) -> list[RoomEvent]:
        """One more push that answers no command."""
        try:
            if (place := self._placed.get(push["type"])) is not None:
                return self._place(push, place)
            take = self._passing.get(push["type"])
            return take(push) if take is not None else []
        except (KeyError, TypeError, AttributeError) as error:
            raise Broken(f"this push is not whole: {push!r:.200}") from error

    def joined(self, push: Push, unsaid: Collection[str]) -> list[RoomEvent]:
        """One is in; `unsaid` are the client_ids that the server has not taken yet."""
        try:
            self.you = known(You, push["you"])
            self.members = {member.id: member for member in map(_member, push["members"])}
            self.marks = dict(push.get("marks") or {})
            self.typing = ()
            self._growth = dict.fromkeys(self._growth)
            if push["recovered"]:
                missed = [event for each in push["events"] for event in self.take(each)]
                return [Joined(recovered=True), *missed]
            self._begin(push, unsaid)
        except (KeyError, TypeError, AttributeError) as error:
            raise Broken(f"this join is not whole: {push!r:.200}") from error
        return [Joined(recovered=False)]

    def _begin(self, push: Push, unsaid: Collection[str]) -> None:
        """What was before is not, or is history that nobody vouches for."""
        page = [message_of(each) for each in push["messages"]]
        self._messages = {message.id: message for message in page}
        self._growth = {message.id: None for message in page if message.growing}
        heard = {message.client_id for message in page if self._is_own(message.by)}
        self.pending = {
            client_id: message
            for client_id, message in self.pending.items()
            if client_id in unsaid and client_id not in heard
        }
        self.position, self._seq = push["position"], 0

    def _place(self, push: Push, place: Callable[[Push], list[RoomEvent]]) -> list[RoomEvent]:
        """An event of the room's log."""
        seq, position = push["seq"], push["position"]
        if self._seq and seq != self._seq + 1:
            raise Broken(f"a gap or a repeat: after {self._seq} comes {seq}")
        events = place(push)
        self._seq, self.position = seq, position
        return events

    def _said(self, push: Push) -> list[RoomEvent]:
        message = message_of(push)
        if self._is_own(message.by) and message.client_id is not None:
            self.pending.pop(message.client_id, None)
        self._hold(message)
        return [Said(message)]

    def _edited(self, push: Push) -> list[RoomEvent]:
        message = self._messages.get(push["message"])
        if message is None:
            return []
        message.content.set([Part(text=push["text"])])
        message.edited_at = push["at"]
        return [Edited(message, push["by"])]

    def _deleted(self, push: Push) -> list[RoomEvent]:
        message = self._messages.get(push["message"])
        if message is None:
            return []
        message.content.clear()
        message.deleted, message.reactions = True, {}
        return [Deleted(message, push["by"])]

    def _reacted(self, push: Push) -> list[RoomEvent]:
        message, by, reaction = self._messages.get(push["message"]), push["by"], push["reaction"]
        if message is None:
            return []
        others = tuple(one for one in message.reactions.get(reaction, ()) if one != by)
        who = (*others, by) if push["on"] else others
        message.reactions = {**message.reactions, reaction: who}
        if not who:
            del message.reactions[reaction]
        return [Reacted(message, by, reaction, push["on"])]

    # -- answers

    def _began(self, push: Push) -> list[RoomEvent]:
        message = message_of({**push, "id": push["message"], "name": push["model"], "status": "in_progress"})
        self._hold(message)
        self._growth[message.id] = 0
        return [Began(message)]

    def _ended(self, push: Push) -> list[RoomEvent]:
        message = self._messages.get(push["message"])
        self._growth.pop(push["message"], None)
        if message is None:
            return []
        content = parts_of(push["parts"])
        message.error = failure_of(push["error"]) if push.get("error") else None
        message.usage = usage_of(push["usage"]) if push.get("usage") else None
        message.status, message.reason = push["status"], push.get("reason")
        message.content.set(content)
        return [Ended(message)]

    def _snapshot(self, push: Push) -> list[RoomEvent]:
        message = self._open(push)
        if message is None:
            return []
        content, before = parts_of(push["parts"]), message.text
        self._growth[message.id] = push["seq"]
        message.content.set(content)
        if message.text.startswith(before):
            return [Grew(message, message.text[len(before) :])]
        return [Grew(message, message.text, replaced=True)]

    def _delta(self, push: Push) -> list[RoomEvent]:
        message = self._open(push)
        if message is None:
            return []
        part = part_of(push)
        begins, before = self._goes_on(message, push), message.text
        if begins:
            message.content.clear()
        message.content.append(part)
        return [Grew(message, part.text or "", replaced=begins and bool(before))]

    def _attempt(self, push: Push) -> list[RoomEvent]:
        message = self._open(push)
        if message is None:
            return []
        retried = known(Retried, {**push, "message": message})
        begins = self._goes_on(message, push)
        if retried.how != "restarted" and not begins:
            return [retried]
        message.content.clear()
        return [retried, Grew(message, "", replaced=True)]

    def _open(self, push: Push) -> Message | None:
        message = self._messages.get(push["message"])
        return message if message is not None and message.id in self._growth else None

    def _goes_on(self, message: Message, push: Push) -> bool:
        """Whether it is told from its beginning again. Raises Broken where something is missing, or comes twice."""
        stands, after, seq = self._growth[message.id], push["after"], push["seq"]
        if after != (stands or 0) or seq <= after:
            raise Broken(f"a gap or a repeat in an answer: after {stands} comes what follows {after}")
        self._growth[message.id] = seq
        return stands is None

    # -- what passes

    def _presence(self, push: Push) -> list[RoomEvent]:
        joined, left = (tuple(map(_member, push[which])) for which in ("joined", "left"))
        gone = {member.id for member in left}
        here = {**self.members, **{member.id: member for member in joined}}
        self.members = {id: member for id, member in here.items() if id not in gone}
        return [Presence(joined, left)]

    def _is_typing(self, push: Push) -> list[RoomEvent]:
        self.typing = tuple(map(_member, push["members"]))
        return [Typing(self.typing)]

    def _has_read(self, push: Push) -> list[RoomEvent]:
        self.marks = {**self.marks, push["by"]: push["seq"]}
        return [HasRead(push["by"], push["seq"])]

    # -- helpers

    def _is_own(self, by: str) -> bool:
        return self.you is not None and by == self.you.id

    def _hold(self, message: Message) -> None:
        self._messages[message.id] = message
        while len(self._messages) > KEEP:
            oldest = next(iter(self._messages))
            del self._messages[oldest]
            self._growth.pop(oldest, None)


def message_of(data: Push) -> Message:
    """A message as it stands, of a page or as it was said. Raises Broken."""
    message = known(Message, data, mentions=tuple, error=failure_of, usage=usage_of, reactions=_reactions_of)
    parts = data.get("parts")
    message.content.set(parts_of(parts) if parts else [Part(text=data["text"])] if data.get("text") else [])
    return message


def _reactions_of(data: Any) -> dict[str, tuple[str, ...]]:
    return {reaction: tuple(who) for reaction, who in data.items()}


def _member(data: Any) -> Member:
    return known(Member, data)
