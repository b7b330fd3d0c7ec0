"""What a member of a room holds, and the promises of a room's socket.

    RoomView   pushes → the room, and an AssertionError where the protocol is broken

`room_client.py` joins it to a socket.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.support.sse import Follower

Push = dict[str, Any]

_PLACED = ("message", "edited", "deleted", "reacted", "run", "end")
_GROWTH = ("delta", "snapshot", "attempt")


@dataclass
class Answer(Follower):
    """A model's answer. `text` is what there is of it; `grown` what its deltas had made when the end replaced it."""

    grown: str = ""
    rewritten: int = 0
    """Snapshots of what was there already: as if history had been lost."""

    def rejoined(self) -> None:
        """A new connection begins: it comes as a snapshot, or from its start where there is nothing of it yet."""
        self.parts, self.seq = [], 0

    def grow(self, kind: str, data: Push) -> None:
        assert self.end is None, f"an answer that has ended goes on: {data}"
        self.rewritten += kind == "snapshot" and self.seq > 0
        super().grow(kind, data)

    def over(self, end: Push) -> None:
        """It has ended: what comes with the end replaces what there was."""
        assert self.end is None, f"a second end: {end}"
        self.end, self.grown, self.parts = end, self.text, end["parts"]
        assert self.text == end["text"], f"an end's text is not that of its parts: {end}"


@dataclass
class RoomView:
    """`take` raises AssertionError at a broken promise.

    `log` are the room's events since this view began, or began anew, in order; `page` the messages from before.
    `outbox` are the messages said here that no `ok` has come for, by client_id, and `local` those that were not heard
    yet: the copies that a user sees meanwhile. Each is replaced once, by the message that came of it.
    """

    you: Push = field(default_factory=dict)
    position: str = ""
    seq: int = 0
    log: list[Push] = field(default_factory=list)
    page: list[Push] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    typing: list[Push] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    outbox: dict[str, Push] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    """The client_ids of all that was said here."""
    ids: dict[str, str] = field(default_factory=dict)
    """What became of those in this history."""
    refused: list[Push] = field(default_factory=list)
    joined: int = 0
    began: int = 0
    """How often it began: joins that were not recovered, the first one too."""
    heard: int = 0
    """Pushes, also those inside a `joined`."""

    # -- what is said

    def say(self, client_id: str, command: Push) -> None:
        """Something is said: it is shown from now on."""
        assert client_id not in self.said, f"{client_id} was said before"
        self.outbox[client_id] = command
        self.said.add(client_id)
        self.local.add(client_id)

    def acknowledged(self, client_id: str, answer: Push) -> None:
        """The answer to a message came."""
        if answer["type"] == "ok":
            self._became(client_id, answer["message"])
            self.outbox.pop(client_id, None)  # it may have been sent twice, and each is answered
        else:
            self.refused.append(answer)
            if not answer["retryable"]:
                self.outbox.pop(client_id, None)
                self.local.discard(client_id)

    # -- what is heard

    def take(self, push: Push) -> None:
        """One more push that answers no command but the join."""
        self.heard += 1
        kind = push["type"]
        if kind in _PLACED:
            self._place(push)
        elif kind in _GROWTH:
            assert push["message"] in self.answers, f"of an answer that never began: {push}"
            self.answers[push["message"]].grow(kind, push)
        elif kind == "presence":
            self.members |= {member["id"]: member["name"] for member in push["joined"]}
            for member in push["left"]:
                self.members.pop(member["id"], None)
        elif kind == "typing":
            self.typing = push["members"]
        elif kind == "read":
            self.marks[push["by"]] = push["seq"]
        else:
            assert kind == "joined", f"an unknown push: {push}"
            self._join(push)

    def _join(self, push: Push) -> None:
        self.joined += 1
        self.you = push["you"]
        self.members = {member["id"]: member["name"] for member in push["members"]}
        self.marks = push.get("marks") or {}
        assert self.you["id"] in self.members, f"one is a member oneself: {push}"
        for answer in self.answers.values():
            if answer.end is None:
                answer.rejoined()
        if push["recovered"]:
            assert self.position, f"nothing can be recovered without a position: {push}"
            assert "messages" not in push, f"both what was missed and a page: {push}"
            for event in push["events"]:
                self.heard += 1
                self._place(event)
            assert self.position == push["position"], f"from {self.position} the events do not lead to: {push}"
        else:
            self._begin(push)

    def _begin(self, push: Push) -> None:
        """What was before is not, or is history that is not vouched for."""
        assert "events" not in push, f"both a page and what was missed: {push}"
        self.began += 1
        self.log, self.page, self.answers, self.ids = [], push["messages"], {}, {}
        self.local = set(self.outbox)
        self.position, self.seq = push["position"], _seq(push["position"])
        order = [message["seq"] for message in self.page]
        assert order == sorted(set(order)) and all(seq <= self.seq for seq in order), f"a page out of order: {push}"
        for message in self.page:
            if message.get("status") == "in_progress":
                self.answers[message["id"]] = Answer()
            if self._is_own(message):
                self._became(message["client_id"], message["id"])
                self.local.discard(message["client_id"])

    def _place(self, push: Push) -> None:
        """An event of the room's log."""
        assert push["seq"] == self.seq + 1, f"a hole or a repeat: at {self.seq} came {push}"
        assert _seq(push["position"]) == push["seq"], f"position and seq differ: {push}"
        self.seq, self.position = push["seq"], push["position"]
        self.log.append(push)
        match push["type"]:
            case "message" if self._is_own(push):
                # One whose history was lost is said again by whoever still has it to do, though it was acknowledged.
                assert push["client_id"] in self.local or self.began > 1, f"the local copy was replaced before: {push}"
                self.local.discard(push["client_id"])
                self._became(push["client_id"], push["id"])
            case "run":
                assert push["message"] not in self.answers, f"an answer begins twice: {push}"
                self.answers[push["message"]] = Answer()
            case "end":
                assert push["message"] in self.answers, f"an answer ends that never began: {push}"
                self.answers[push["message"]].over(push)

    def _is_own(self, message: Push) -> bool:
        return message["by"] == self.you["id"] and message.get("client_id") in self.said

    def _became(self, client_id: str, message_id: str) -> None:
        known = self.ids.setdefault(client_id, message_id)
        assert known == message_id, f"{client_id} was said as {known} and as {message_id}"

    # -- looks

    @property
    def messages(self) -> list[Push]:
        """What people said, in order, since this view began."""
        return [push for push in self.log if push["type"] == "message"]

    @property
    def settled(self) -> bool:
        """Whether all that was said here is acknowledged and was heard."""
        return not self.outbox and not self.local


def _seq(position: str) -> int:
    return int(position.partition("-")[0])
