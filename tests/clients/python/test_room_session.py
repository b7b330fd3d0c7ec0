"""A member's talk with a room: nothing is said twice or out of order, and what is held is what the room has."""

import json
from concurrent.futures import Future
from typing import Any

import pytest

from headwater_client import (
    BadRequest,
    Began,
    Deleted,
    Edited,
    Ended,
    Forbidden,
    Grew,
    HasRead,
    HeadwaterError,
    HistoryPage,
    Joined,
    NotFound,
    Presence,
    Reacted,
    Refused,
    Retried,
    RoomEvent,
    Said,
    TooManyRetries,
    Typing,
)
from headwater_client.core import room_view
from headwater_client.core.room_session import Passing, RoomSession, Stale
from headwater_client.core.trouble import Broken
from tests.clients.python.driving import World

YOU = {"id": "user:ann", "name": "Ann", "role": "write"}
ANN = {"id": "user:ann", "name": "Ann"}
BERT = {"id": "user:bert", "name": "Bert"}


class Member:
    """Ann, whom the test tells what the room says."""

    def __init__(self, since: str | None = None) -> None:
        self.world = World([])
        self.session = RoomSession(self.world.rules, "Ann", since, Future)
        self.seq = 0

    def join(self, *, recovered: bool = False, position: str = "0-0", **more: Any) -> list[RoomEvent]:
        """Connect and be let in."""
        self.session.lost()
        self.session.connected()
        (join,) = self.due()
        assert (join["type"], join.get("since")) == ("join", self.session.view.position or None)
        what: dict[str, Any] = {"events": []} if recovered else {"messages": []}
        told = {"recovered": recovered, "position": position, "you": YOU, "members": [ANN], **what, **more}
        return self.hear("joined", ref=join["ref"], **told)

    def due(self) -> list[Any]:
        """The commands to send now."""
        frames, _ = self.session.due(self.world.now)
        return [json.loads(frame) for frame in frames]

    def hear(self, kind: str, **fields: Any) -> list[RoomEvent]:
        """A push."""
        return self.session.heard(json.dumps({"type": kind, **fields}), self.world.now)

    def place(self, kind: str, **fields: Any) -> list[RoomEvent]:
        """A push of the room's log."""
        self.seq += 1
        return self.hear(kind, seq=self.seq, position=f"{self.seq}-1", at=1.0, **fields)

    def said(self, text: str, by: Any = BERT, **fields: Any) -> list[RoomEvent]:
        """Somebody said something."""
        id = fields.pop("id", f"msg_{self.seq + 1}")
        return self.place("message", id=id, by=by["id"], name=by["name"], text=text, **fields)

    def say(self, text: str) -> "Future[str]":
        """Say something; the text is its client_id, too."""
        reply, _ = self.session.say(0.0, text, text)
        assert isinstance(reply, Future)
        return reply

    def do(self, kind: str, **fields: Any) -> "Future[Any]":
        """Any other command."""
        reply = self.session.command(kind, **fields)
        assert isinstance(reply, Future)
        return reply

    def ok(self, command: Any, **fields: Any) -> list[RoomEvent]:
        """The answer to a command."""
        return self.hear("ok", ref=command["ref"], **fields)

    def error(self, command: Any, code: str, retryable: bool = False) -> list[RoomEvent]:
        """An answer that it was not done."""
        return self.hear("error", ref=command["ref"], code=code, detail=f"It is {code}.", retryable=retryable)

    @property
    def texts(self) -> list[str]:
        """What is shown; what is only here stands in brackets."""
        return [f"[{one.text}]" if one.pending else one.text for one in self.session.view.messages]


@pytest.fixture
def ann() -> Member:
    member = Member()
    assert member.join() == [Joined(recovered=False)]
    return member


# -- saying something


@pytest.mark.parametrize("echo_first", [True, False])
def test_what_one_says_is_shown_at_once_and_replaced_once(ann: Member, echo_first: bool) -> None:
    reply = ann.say("hi")
    assert ann.texts == ["[hi]"]
    (command,) = ann.due()
    assert (command["type"], command["client_id"], command["text"]) == ("message", "hi", "hi")
    if echo_first:
        ann.said("hi", ANN, client_id="hi", id="msg_1")
        assert (ann.texts, reply.done()) == (["hi"], False)
        ann.ok(command, message="msg_1")
    else:
        ann.ok(command, message="msg_1")
        assert ann.texts == ["[hi]"]
        ann.said("hi", ANN, client_id="hi", id="msg_1")
    assert (ann.texts, reply.result(0)) == (["hi"], "msg_1")


def test_somebody_elses_client_id_replaces_nothing(ann: Member) -> None:
    ann.say("hi")
    ann.said("hi", BERT, client_id="hi")
    assert ann.texts == ["hi", "[hi]"]


def test_messages_are_sent_one_after_the_other(ann: Member) -> None:
    for text in "abc":
        ann.say(text)
    sent = []
    while due := ann.due():
        assert len(due) == 1
        sent.append(due[0]["text"])
        ann.ok(due[0], message=f"msg_{sent[-1]}")
    assert sent == ["a", "b", "c"]


def test_what_was_not_answered_is_said_again_under_its_client_id(ann: Member) -> None:
    replies = [ann.say(text) for text in "ab"]
    (first,) = ann.due()
    ann.join(recovered=True)
    (again,) = ann.due()
    assert again == first
    ann.ok(again, message="msg_a")
    (second,) = ann.due()
    assert (second["text"], replies[0].result(0), replies[1].done()) == ("b", "msg_a", False)


def test_what_is_said_while_nobody_hears_is_said_later(ann: Member) -> None:
    ann.session.lost()
    reply = ann.say("hi")
    assert (ann.due(), ann.texts) == ([], ["[hi]"])
    ann.join(recovered=True)
    (command,) = ann.due()
    ann.ok(command, message="msg_1")
    assert reply.result(0) == "msg_1"


def test_what_was_heard_while_one_was_away_replaces_the_copy(ann: Member) -> None:
    ann.say("hi")
    ann.due()
    echo = {"type": "message", "seq": 1, "position": "1-1", "id": "msg_1", "by": "user:ann", "name": "Ann"}
    events = ann.join(recovered=True, position="1-1", events=[{**echo, "text": "hi", "at": 1.0, "client_id": "hi"}])
    assert [type(event) for event in events] == [Joined, Said]
    assert (ann.texts, ann.session.view.position) == (["hi"], "1-1")
    (again,) = ann.due()  # it does not know that it was taken
    ann.ok(again, message="msg_1")
    assert ann.texts == ["hi"]


def test_too_fast_is_slowed_down_and_keeps_the_order(ann: Member) -> None:
    ann.say("a")
    ann.say("b")
    (command,) = ann.due()
    ann.error(command, "too_fast", retryable=True)
    frames, wait = ann.session.due(ann.world.now)
    assert (frames, wait) == ([], 0.25)
    assert [notice.tries for notice in ann.session.notices] == [1]
    ann.world.now += 0.25
    assert ann.due() == [command]


def test_a_refusal_that_does_not_pass_is_an_error_in_the_end(ann: Member) -> None:
    reply = ann.say("a")
    for _ in range(100):
        for command in ann.due():
            ann.error(command, "too_many", retryable=True)
        ann.world.now += 1
    assert isinstance(reply.exception(0), TooManyRetries)
    assert ann.texts == []


def test_a_refused_message_is_taken_off(ann: Member) -> None:
    reply = ann.say("hi")
    (command,) = ann.due()
    (event,) = ann.error(command, "forbidden")
    assert isinstance(event, Refused)
    assert isinstance(event.error, Forbidden) and isinstance(reply.exception(0), Forbidden)
    assert ann.texts == []


def test_what_cannot_be_sent_is_refused_here(ann: Member) -> None:
    with pytest.raises(BadRequest) as caught:
        ann.say("\u65e5" * 30_000)
    assert (caught.value.limit, ann.due(), ann.texts) == (65_536, [], [])
    for number in range(1_000):
        ann.say(f"{number}")
    with pytest.raises(BadRequest, match="1000"):
        ann.say("one more")


def test_whoever_has_stopped_waiting_is_not_told(ann: Member) -> None:
    reply = ann.say("hi")
    reply.cancel()
    (command,) = ann.due()
    ann.ok(command, message="msg_1")
    assert ann.session.unsaid == []


def test_at_the_end_whoever_waits_is_told(ann: Member) -> None:
    replies = [ann.say("hi"), ann.do("history")]
    error = HeadwaterError("over", code="over")
    ann.session.over(error)
    assert [reply.exception(0) for reply in replies] == [error, error]


# -- other commands


def test_history_is_given_as_messages(ann: Member) -> None:
    reply = ann.do("history", before=None, limit=2)
    (command,) = ann.due()
    assert command == {"type": "history", "ref": command["ref"], "limit": 2}
    old = {"id": "msg_0", "by": "user:bert", "name": "Bert", "text": "old", "at": 0.0, "reactions": {"+": ["user:ann"]}}
    ann.ok(command, messages=[old], has_more=True)
    page = reply.result(0)
    assert isinstance(page, HistoryPage)
    assert (page.messages[0].text, page.messages[0].reactions, page.has_more) == ("old", {"+": ("user:ann",)}, True)
    assert ann.texts == []


@pytest.mark.parametrize(("kind", "code"), [("delete", "unknown_message"), ("cancel", "conflict")])
def test_what_was_done_before_the_line_broke_is_done(ann: Member, kind: str, code: str) -> None:
    reply = ann.do(kind, message="msg_1")
    ann.error(ann.due()[0], code)
    assert isinstance(reply.exception(0), NotFound | BadRequest)
    reply = ann.do(kind, message="msg_1")
    ann.due()
    ann.join(recovered=True)
    ann.error(ann.due()[0], code)
    assert reply.result(0) is None


def test_typing_is_lost_with_the_line_and_a_mark_is_not(ann: Member) -> None:
    ann.session.typing(True)
    ann.session.read("1-1")
    ann.session.lost()
    ann.session.typing(True)
    ann.session.read("2-1")
    ann.join(recovered=True)
    assert ann.due() == [{"type": "read", "position": "2-1"}]


# -- what is heard


def test_messages_are_as_all_have_left_them(ann: Member) -> None:
    ann.said("a")
    ann.said("b")
    events = [
        *ann.place("edited", message="msg_1", by="user:bert", text="A"),
        *ann.place("reacted", message="msg_1", by="user:bert", reaction="+", on=True),
        *ann.place("reacted", message="msg_1", by="user:ann", reaction="+", on=True),
        *ann.place("reacted", message="msg_1", by="user:bert", reaction="+", on=False),
        *ann.place("deleted", message="msg_2", by="user:bert"),
        *ann.place("edited", message="msg_0", by="user:bert", text="who knows"),
    ]
    assert [type(event) for event in events] == [Edited, Reacted, Reacted, Reacted, Deleted]
    first, second = ann.session.view.messages
    assert (first.text, first.edited_at, first.reactions) == ("A", 1.0, {"+": ("user:ann",)})
    assert (second.text, second.deleted) == ("", True)
    ann.place("reacted", message="msg_1", by="user:ann", reaction="+", on=False)
    assert first.reactions == {}


def test_who_is_there_and_what_they_do(ann: Member) -> None:
    events = [
        *ann.hear("presence", joined=[BERT], left=[]),
        *ann.hear("typing", members=[BERT]),
        *ann.hear("read", by="user:bert", seq=3),
    ]
    assert [type(event) for event in events] == [Presence, Typing, HasRead]
    view = ann.session.view
    assert (set(view.members), view.typing[0].name, view.marks) == ({"user:ann", "user:bert"}, "Bert", {"user:bert": 3})
    ann.hear("presence", joined=[], left=[BERT])
    assert set(view.members) == {"user:ann"}


@pytest.mark.parametrize("seq", [1, 3])
def test_a_gap_or_a_repeat_is_not_shown(ann: Member, seq: int) -> None:
    ann.said("a")
    ann.seq = seq - 1
    with pytest.raises(Broken):
        ann.said("x")
    assert (ann.texts, ann.session.view.position) == (["a"], "1-1")


@pytest.mark.parametrize("frame", ["{", "[]", '{"type": "message"}', '{"type": "joined"}', '{"type": "run", "seq": 1}'])
def test_what_is_no_push_is_not_taken(ann: Member, frame: str) -> None:
    with pytest.raises(Broken):
        ann.session.heard(frame, 0.0)


def test_pushes_of_a_newer_server_are_left_aside(ann: Member) -> None:
    assert ann.hear("news", what="is this?") == []


def test_the_oldest_are_let_go(ann: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_view, "KEEP", 2)
    for text in "abc":
        ann.said(text)
    assert ann.texts == ["b", "c"]


def test_what_is_lost_is_lost_and_what_one_says_is_not(ann: Member) -> None:
    ann.said("old")
    for text in ("taken", "known", "unsaid"):
        ann.say(text)
    for text in ("taken", "known"):
        ann.ok(*ann.due(), message=f"msg_{text}")
    known = {"id": "msg_known", "by": "user:ann", "name": "Ann", "text": "known", "at": 1.0, "client_id": "known"}
    assert ann.join(position="9-1", messages=[known]) == [Joined(recovered=False)]
    assert ann.texts == ["known", "[unsaid]"]
    assert [command["text"] for command in ann.due()] == ["unsaid"]
    ann.seq = 9
    ann.said("new")
    assert ann.texts == ["known", "new", "[unsaid]"]


def test_a_page_replaces_the_copy_of_what_was_not_answered(ann: Member) -> None:
    reply = ann.say("hi")
    ann.due()
    heard = {"id": "msg_1", "by": "user:ann", "name": "Ann", "text": "hi", "at": 1.0, "client_id": "hi"}
    ann.join(position="1-1", messages=[heard])
    assert ann.texts == ["hi"]
    ann.ok(ann.due()[0], message="msg_1")
    assert (ann.texts, reply.result(0)) == (["hi"], "msg_1")


# -- answers


def begin(ann: Member) -> Any:
    (event,) = ann.place("run", message="msg_r", run="run_1", by="user:ann", model="demo", asked="msg_1")
    assert isinstance(event, Began)
    return event.message


def grow(ann: Member, after: int, text: str) -> list[RoomEvent]:
    return ann.hear("delta", message="msg_r", after=after, seq=after + 1, text=text)


def test_an_answer_grows_and_ends(ann: Member) -> None:
    answer = begin(ann)
    assert (answer.name, answer.growing, answer.text) == ("demo", True, "")
    assert grow(ann, 0, "a") == [Grew(answer, "a")]
    ann.hear("delta", message="msg_r", after=1, seq=2, reasoning="hm")
    assert grow(ann, 2, "b") == [Grew(answer, "b")]
    assert (answer.text, len(answer.parts)) == ("ab", 3)
    parts = [{"text": "abc"}]
    fields = {"run": "run_1", "status": "incomplete", "text": "abc", "parts": parts, "reason": "length"}
    assert ann.place("end", message="msg_r", **fields) == [Ended(answer)]
    assert (answer.text, answer.status, answer.reason, answer.growing) == ("abc", "incomplete", "length", False)
    assert grow(ann, 3, "late") == []


def test_a_rejoin_goes_on_from_what_was_there(ann: Member) -> None:
    answer = begin(ann)
    grow(ann, 0, "a")
    ann.join(recovered=True)
    assert ann.hear("snapshot", message="msg_r", seq=3, parts=[{"text": "abc"}]) == [Grew(answer, "bc")]
    assert grow(ann, 3, "d") == [Grew(answer, "d")]
    ann.join(recovered=True)
    assert ann.hear("snapshot", message="msg_r", seq=1, parts=[{"text": "x"}]) == [Grew(answer, "x", replaced=True)]
    ann.join(recovered=True)
    assert grow(ann, 0, "y") == [Grew(answer, "y", replaced=True)]
    assert answer.text == "y"


def test_a_restart_takes_back_what_was_there(ann: Member) -> None:
    answer = begin(ann)
    grow(ann, 0, "a")
    attempt = {"after": 1, "seq": 2, "number": 2, "reason": "takeover", "how": "restarted"}
    retried = Retried(answer, 2, "takeover", "restarted")
    assert ann.hear("attempt", message="msg_r", **attempt) == [retried, Grew(answer, "", replaced=True)]
    grow(ann, 2, "b")
    assert answer.text == "b"


def test_an_answer_that_changes_hands_keeps_its_text(ann: Member) -> None:
    answer = begin(ann)
    grow(ann, 0, "a")
    attempt = {"after": 1, "seq": 2, "number": 2, "reason": "failover", "how": "continued", "model": "backup"}
    assert ann.hear("attempt", message="msg_r", **attempt) == [Retried(answer, 2, "failover", "continued", "backup")]
    grow(ann, 2, "b")
    assert answer.text == "ab"


@pytest.mark.parametrize("after", [0, 2])
def test_a_gap_or_a_repeat_of_an_answer_is_not_shown(ann: Member, after: int) -> None:
    answer = begin(ann)
    grow(ann, 0, "a")
    with pytest.raises(Broken):
        grow(ann, after, "x")
    assert answer.text == "a"


def test_open_answers_of_a_page_grow(ann: Member) -> None:
    page = {"id": "msg_r", "by": "user:ann", "name": "demo", "text": "", "at": 1.0, "run": "run_1"}
    ann.join(position="2-1", messages=[{**page, "status": "in_progress"}])
    ann.hear("snapshot", message="msg_r", seq=3, parts=[{"text": "abc"}])
    grow(ann, 3, "d")
    assert ann.texts == ["abcd"]


# -- how a connection ends


def test_some_closes_are_final() -> None:
    session = Member().session
    for code in (1009, 4400):
        with pytest.raises(BadRequest, match=str(code)):
            session.closed(code, "why")
    with pytest.raises(Forbidden):
        session.closed(4403, "why")
    with pytest.raises(Stale):
        session.closed(4401, "expired")
    for code in (1000, 1001, 1006, 1011, 1012, 1013, 4409, 4430):
        assert session.closed(code, "").at_least_s == 0
    assert session.closed(4429, "").at_least_s > 0


def test_a_join_may_be_refused_for_now_or_for_good() -> None:
    def refuse(code: str, retryable: bool) -> None:
        ann = Member("5-1")
        ann.session.connected()
        ann.error(ann.due()[0], code, retryable)

    with pytest.raises(Passing, match="store_unavailable"):
        refuse("store_unavailable", retryable=True)
    with pytest.raises(NotFound):
        refuse("unknown_room", retryable=False)
    with pytest.raises(BadRequest):
        refuse("malformed_position", retryable=False)
    with pytest.raises(Stale):
        refuse("unauthenticated", retryable=False)
