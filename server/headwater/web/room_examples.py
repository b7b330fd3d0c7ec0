"""What the document at /openapi.json shows of rooms: one of them, with a question and its answer."""

from typing import Final

from msgspec.structs import replace

from headwater.core.commands import CLIENT_ID_MAX, PAGE_MAX
from headwater.core.position import Position
from headwater.core.pushes import Delta, Joined, Member, PostView, Snapshot, You
from headwater.core.pushes import End as AnswerEnd
from headwater.core.room import Budgets, Retention, RoomSettings
from headwater.errors import (
    BadRequest,
    Conflict,
    DamagedLog,
    Forbidden,
    Invalid,
    UnknownMessage,
    UnknownRoom,
)
from headwater.formats.room import RoomOverEvents
from headwater.web import examples
from headwater.web.examples import ROOM_NAME
from headwater.web.operation import Parameter
from headwater.web.room_shapes import BudgetsAnswer, MessageList, RetentionAnswer, RoomAnswer, RoomList, RoomMessage

_AT: Final = 1767225600.25
_ASKED, _ANSWERED, _TOP = Position(16, 80472913), Position(17, 31870055), Position(18, 50213377)
_QUESTION: Final = "msg_c4e5n3k7q2"
_ANSWER: Final = "msg_k4x2q7w5n3"
_TURN_RUN: Final = "run_0f1e2d3c4b5a69788796-k4x2q7w5n3"
_TEXT: Final = ("To resume a stream,", " send the last event's id.")
_ANN: Final = Member("user:ann", "Ann")

# -- requests

SETTINGS: Final = {
    "least": RoomSettings(),
    "more": RoomSettings(
        title="Help",
        instructions="Answer in one sentence.",
        model="demo",
        policy="reply",
        concurrency="cancel-and-restart",
        retention=Retention(count=1_000, age_s=30 * 86_400.0),
        budgets=Budgets(person_runs_per_day=100),
    ),
}
SAYINGS: Final = {
    "least": RoomMessage(text="The build is green."),
    "a question": RoomMessage(text="How do I resume a stream?", client_id="build-42", mentions=("demo",), name="CI"),
}

# -- answers

ROOM: Final = RoomAnswer(
    name=ROOM_NAME,
    object="room",
    created_at=_AT,
    position=str(_TOP),
    title="Help",
    instructions=None,
    model="demo",
    policy="mention",
    concurrency="queue",
    context_bytes=RoomSettings().context_bytes,
    retention=RetentionAnswer(),
    budgets=BudgetsAnswer(),
    events_url=f"/v1/rooms/{ROOM_NAME}/events",
    messages_url=f"/v1/rooms/{ROOM_NAME}/messages",
    socket_url=f"/v1/rooms/{ROOM_NAME}/ws",
)
ROOMS: Final = RoomList(object="list", data=[ROOM], has_more=False)
MESSAGE: Final = PostView(
    id=_QUESTION,
    seq=_ASKED.seq,
    position=str(_ASKED),
    by=_ANN.id,
    name=_ANN.name,
    text="How do I resume a stream?",
    at=_AT,
    client_id="c1",
    mentions=("demo",),
)
_OPEN: Final = PostView(
    id=_ANSWER,
    seq=_ANSWERED.seq,
    position=str(_ANSWERED),
    by=_ANN.id,
    name="demo",
    text="",
    at=_AT + 0.1,
    run=_TURN_RUN,
    model="demo",
    asked=_QUESTION,
    status="in_progress",
)
_WHOLE: Final = replace(_OPEN, text="".join(_TEXT), status="completed", parts=[{"text": "".join(_TEXT)}])
MESSAGES: Final = MessageList(object="list", data=[_WHOLE, MESSAGE], has_more=False)

WHERE: Final = {"Location": "The path of the room."}
REPLAYED: Final = {"Idempotent-Replayed": "`true`."}


def _stream() -> str:
    """The room as it is told to one who comes while the model answers."""
    push = RoomOverEvents.push
    end = AnswerEnd(
        seq=_TOP.seq,
        position=str(_TOP),
        message=_ANSWER,
        run=_TURN_RUN,
        status="completed",
        text=_WHOLE.text,
        parts=_WHOLE.parts or [],
        at=_AT + 2,
    )
    joined = Joined(
        position=str(_ANSWERED),
        recovered=False,
        you=You(_ANN.id, _ANN.name, "read"),
        members=[_ANN],
        messages=[MESSAGE, _OPEN],
    )
    told = (
        push(joined, _ANSWERED),
        push(Snapshot(message=_ANSWER, seq=9, parts=[{"text": _TEXT[0]}])),
        push(Delta(message=_ANSWER, after=9, seq=14, text=_TEXT[1])),
        push(end, _TOP),
    )
    return b"retry: 1372\n\n".decode() + b"".join(told).decode()


EVENTS: Final = _stream()

# -- parameters

RESUME: Final = (
    examples.RESUME[0],
    Parameter(
        name="after",
        where="query",
        description="The same where no header can be set. Without both, the newest messages come first.",
        schema=examples.RESUME[1].schema,
        example=examples.RESUME[1].example,
    ),
)
BEFORE_ROOM: Final = Parameter(
    name="before",
    where="query",
    description="The name of the last room of the page before this one.",
    schema={"type": "string"},
    example=ROOM_NAME,
)
BEFORE_MESSAGE: Final = Parameter(
    name="before",
    where="query",
    description="The id, or the position, of the last message of the page before this one.",
    schema={"type": "string"},
    example=_QUESTION,
)
IDEMPOTENCY_KEY: Final = Parameter(
    name="Idempotency-Key",
    where="header",
    description="The same as `client_id`, for who would rather set a header: others see it, so it is no secret.",
    schema={"type": "string", "minLength": 1, "maxLength": CLIENT_ID_MAX},
    example="7b0f6c1e-5d0a-4f5e-9a57-2f4d5a1f6f0b",
)

# -- errors

UNKNOWN_ROOM: Final = UnknownRoom(f"There is no room {ROOM_NAME}.")
UNKNOWN_MESSAGE: Final = UnknownMessage(f"There is no message {_QUESTION} in this room.")
NOT_LET_IN: Final = Forbidden(f"This takes the role write in the room {ROOM_NAME}.")
NO_MODERATOR: Final = Forbidden(f"This takes the role moderate in the room {ROOM_NAME}.")
ANSWERS_UNDER_WAY: Final = Conflict(f"In the room {ROOM_NAME} answers are under way, or waited for: cancel them first.")
NOT_A_MODEL: Final = Invalid("There is no model 'gpt-9' here. Known are fast, demo.", field="model")
NOT_A_LIMIT: Final = Invalid(
    f"limit must be a whole number from 1 to {PAGE_MAX}, not '0'.", field="limit", limit=PAGE_MAX
)
NOT_A_KEY: Final = BadRequest(
    f"Idempotency-Key must be 1 to {CLIENT_ID_MAX} printable characters.", field="Idempotency-Key", limit=CLIENT_ID_MAX
)
DAMAGED: Final = DamagedLog(f"What is stored of the room {ROOM_NAME} is damaged: an entry is no JSON.")
