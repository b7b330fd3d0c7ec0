"""What a room tells, over a socket and as server-sent events: the same objects."""

import json
from typing import Any

import pytest

from headwater.core.events import Attempt, Delta, End, Entry, Failure, Reasoning, Refusal, Text, ToolCall, Usage
from headwater.core.frames import messages_in
from headwater.core.position import START, Position
from headwater.core.room import (
    Deleted,
    Edited,
    Reacted,
    RoomEvent,
    RunEnded,
    RunStarted,
    Said,
    answer_of,
    room_entry,
    run_id_of,
)
from headwater.core.run import RunRequest
from headwater.formats.base import Head
from headwater.formats.room import (
    AnswerForm,
    AnswerOverEvents,
    AnswerOverSocket,
    RoomForm,
    RoomFrame,
    RoomOverEvents,
    RoomOverSocket,
)
from tests.support.sse import EventStreamParser

RUN = run_id_of("acme/lobby", "abc")
MESSAGE = answer_of(RUN)
AT = 1_700_000_000.5

EVENTS: list[tuple[RoomEvent, dict[str, Any]]] = [
    (
        Said("msg_1", "user:ann", "Ann", "hello", AT, "c1", None, ("demo",)),
        {"type": "message", "id": "msg_1", "by": "user:ann", "name": "Ann", "text": "hello", "client_id": "c1"}
        | {"mentions": ["demo"], "at": AT},
    ),
    (
        Edited("msg_1", "user:ann", "hi", AT),
        {"type": "edited", "message": "msg_1", "by": "user:ann", "text": "hi", "at": AT},
    ),
    (Deleted("msg_1", "user:ann", AT), {"type": "deleted", "message": "msg_1", "by": "user:ann", "at": AT}),
    (
        Reacted("msg_1", "user:ben", "👍", False, AT),
        {"type": "reacted", "message": "msg_1", "by": "user:ben", "reaction": "👍", "on": False, "at": AT},
    ),
    (
        RunStarted(MESSAGE, RUN, "user:ann", "demo", "msg_1", AT),
        {"type": "run", "message": MESSAGE, "run": RUN, "by": "user:ann", "model": "demo", "asked": "msg_1", "at": AT},
    ),
    (
        RunEnded(MESSAGE, RUN, "failed", "x", [{"text": "x"}], AT, "upstream_error", Failure("a", "b"), Usage(1, 2)),
        {"type": "end", "message": MESSAGE, "run": RUN, "status": "failed", "text": "x", "parts": [{"text": "x"}]}
        | {"at": AT, "reason": "upstream_error", "error": {"code": "a", "detail": "b"}}
        | {"usage": {"input_tokens": 1, "output_tokens": 2}},
    ),
]

DELTAS: list[tuple[Delta, dict[str, Any]]] = [
    (Text("a"), {"text": "a"}),
    (Reasoning("a"), {"reasoning": "a"}),
    (Refusal("a"), {"refusal": "a"}),
    (ToolCall(0, "call_1", "f", "{}"), {"tool_call": {"index": 0, "id": "call_1", "name": "f", "arguments": "{}"}}),
    (ToolCall(1), {"tool_call": {"index": 1}}),
]


def head(log_id: str) -> Head:
    return Head(log_id, "demo", 0.0, RunRequest(input="hello"))


def room(form: type[RoomForm]) -> RoomForm:
    return form(head("acme/lobby"))


def answer(form: type[AnswerForm]) -> AnswerForm:
    return form(head(RUN))


def frames(data: bytes) -> list[Any]:
    return [json.loads(message) for message in messages_in(data)]


def events(data: bytes) -> list[tuple[str, str | None, Any]]:
    return [(message.event, message.id, json.loads(message.data)) for message in EventStreamParser().feed(data)]


def grown(*those: Delta | Attempt | End) -> list[Entry]:
    return [Entry(START, len(those), 7, those)]


@pytest.mark.parametrize(("event", "told"), EVENTS, ids=[told["type"] for _, told in EVENTS])
def test_an_event_of_the_log_is_told_with_its_position(event: RoomEvent, told: dict[str, Any]) -> None:
    entries = [room_entry(Position(4, 3), 7, [event])]
    placed = told | {"seq": 5, "position": "5-7"}
    assert frames(room(RoomOverSocket).encode(entries).data) == [placed]
    assert events(room(RoomOverEvents).encode(entries).data) == [(told["type"], "5-7", placed)]


def test_each_event_of_an_entry_has_a_position_of_its_own() -> None:
    entries = [room_entry(Position(4, 3), 7, [event for event, _ in EVENTS[:3]])]
    assert [push["position"] for push in frames(room(RoomOverSocket).encode(entries).data)] == ["5-7", "6-7", "7-7"]


@pytest.mark.parametrize(("delta", "told"), DELTAS)
def test_a_delta_is_told_in_the_runs_seq_without_a_position(delta: Delta, told: dict[str, Any]) -> None:
    placed = {"type": "delta", "message": MESSAGE, "after": 0, "seq": 1} | told
    assert frames(answer(AnswerOverSocket).encode(grown(delta)).data) == [placed]
    assert events(answer(AnswerOverEvents).encode(grown(delta)).data) == [("delta", None, placed)]


def test_deltas_are_merged() -> None:
    (push,) = frames(answer(AnswerOverSocket).encode(grown(Text("a"), Text("b"))).data)
    assert (push["after"], push["seq"], push["text"]) == (0, 2, "ab")


def test_an_attempt_is_told() -> None:
    (push,) = frames(answer(AnswerOverSocket).encode(grown(Attempt(2, "takeover", "restarted"))).data)
    told = {"type": "attempt", "message": MESSAGE, "after": 0, "seq": 1, "number": 2}
    assert push == told | {"reason": "takeover", "how": "restarted"}
    (push,) = frames(answer(AnswerOverSocket).encode(grown(Attempt(2, "failover", "continued", "backup"))).data)
    assert push == told | {"reason": "failover", "how": "continued", "model": "backup"}


def test_the_end_of_an_answer_is_the_rooms_to_tell() -> None:
    assert frames(answer(AnswerOverSocket).encode(grown(Text("a"), End("completed", "stop"))).data)[1:] == []
    assert answer(AnswerOverSocket).encode(grown(End("completed", "stop"))).data == b""
    assert answer(AnswerOverSocket).run("in_progress", first=True) == b""


def test_a_snapshot_replaces() -> None:
    frame = answer(AnswerOverSocket).snapshot(Position(5, 7), [{"text": "a"}], replaces=True)
    assert frames(frame.data) == [{"type": "snapshot", "message": MESSAGE, "seq": 5, "parts": [{"text": "a"}]}]


def test_a_frame_says_which_answers_begin_and_which_are_over() -> None:
    started, ended = EVENTS[4][0], EVENTS[5][0]
    begins = room(RoomOverSocket).encode([room_entry(START, 7, [started])])
    assert isinstance(begins, RoomFrame) and (begins.started, begins.ended) == ((RUN,), ())
    both = room(RoomOverSocket).encode([room_entry(START, 7, [started, ended])])
    assert isinstance(both, RoomFrame) and (both.started, both.ended) == ((), (RUN,))
    neither = room(RoomOverSocket).encode([room_entry(START, 7, [EVENTS[0][0]])])
    assert not isinstance(neither, RoomFrame)
