"""What the document at /openapi.json shows: one run, told in every form, and the errors that are met on the way."""

from collections.abc import Iterable, Mapping

from msgspec.structs import asdict, replace

from headwater.core.events import End, Entry, Event, Span, Text, Usage
from headwater.core.lifecycle import TRANSITIONS
from headwater.core.position import START, Position
from headwater.core.run import Message, Run, RunRequest
from headwater.errors import (
    BadRequest,
    DamagedLog,
    Draining,
    IdempotencyConflict,
    Invalid,
    MalformedPosition,
    RunNotEnded,
    StoreUnavailable,
    TooMany,
    UnknownModel,
    UnknownRun,
)
from headwater.formats.base import Format, Head, Remembering
from headwater.web.operation import Answer, Parameter, Schema
from headwater.web.parse import IDEMPOTENCY_KEY_MAX
from headwater.web.render import run_summary
from headwater.web.shapes import Part, RunAnswer, RunAttempt, RunList

RUN_ID = "run_k4x2q7w5n3"
ROOM_NAME = "help"
_TAG = 80472913
_AT, _TOP = Position(17, _TAG), Position(25, _TAG)
_CREATED_AT = 1767225600.25
_OUTPUT = ("To resume a", " stream, send", " the last event's id.")
_LOST, _RESCUED = Usage(input_tokens=6, output_tokens=9), Usage(input_tokens=15, output_tokens=11)
_USAGE = _LOST + _RESCUED
_END = End("completed", finish_reason="stop", usage=_USAGE)

REQUESTS = {
    "text": RunRequest(input="How do I resume a stream?"),
    "messages": RunRequest(
        input=[Message("system", "Answer in one sentence."), Message("user", "How do I cancel a run?")],
        model="demo",
        conversation="ticket-42",
        max_output_tokens=200,
        metadata={"page": "help"},
    ),
    "streamed": RunRequest(input="How do I cancel a run?", stream=True),
}

# -- answers

STARTED = run_summary(
    Run(id=RUN_ID, owner="default", model="demo", request=REQUESTS["text"], created_at=_CREATED_AT), ""
)
_AFTERWARDS = replace(
    STARTED,
    status="completed",
    started_at=_CREATED_AT + 0.01,
    ended_at=_CREATED_AT + 3.25,
    expires_at=_CREATED_AT + 86_403.25,
    position=str(_TOP),
)
ENDED = RunAnswer(
    **asdict(_AFTERWARDS),
    output="".join(_OUTPUT),
    parts=[Part(text="".join(_OUTPUT))],
    attempts=[
        RunAttempt(number=1, reason=None, how=None, model="demo", usage=_LOST),
        RunAttempt(number=2, reason="takeover", how="continued", model="demo", usage=_RESCUED),
    ],
    finish_reason="stop",
    reason=None,
    error=None,
    usage=_USAGE,
)
CANCELLED = replace(ENDED, status="cancelled", output=_OUTPUT[0], parts=[Part(text=_OUTPUT[0])], finish_reason=None)
LISTED = RunList(object="list", data=[_AFTERWARDS], has_more=False)

WHERE = {"Location": "The path of the run.", "Content-Location": "The same.", "Headwater-Run": "The run's id."}


def stream_of(form: type[Format]) -> str:
    """The example run as this format writes it to one who comes late."""
    written = form(Head(RUN_ID, "demo", _CREATED_AT, REQUESTS["text"]))
    if isinstance(written, Remembering):  # to which all is told from the beginning
        events: tuple[Event, ...] = (*map(Text, _OUTPUT), _END)
        frame = written.encode([Entry(START, len(events), _TAG, events)])
        return (written.run("in_progress", first=True) + frame.data).decode()
    spans = [
        Span(17, 20, _TAG, Text(_OUTPUT[1])),
        Span(20, 24, _TAG, Text(_OUTPUT[2])),
        Span(24, _TOP.seq, _TAG, _END),
    ]
    frames = (written.snapshot(_AT, [{"text": _OUTPUT[0]}], replaces=False), written.spans(spans))
    told = b"".join([written.opening(1372), written.run("in_progress", first=True), *(frame.data for frame in frames)])
    return told.decode()


def streams_of(forms: Iterable[type[Format]], *, headers: Mapping[str, str]) -> tuple[Answer, ...]:
    """The run's events as the answer, in each of the formats."""
    return tuple(
        Answer(
            description="The run's events as they come; the response ends with them.",
            media_type=form.media_type.partition(";")[0],
            example=stream_of(form),
            headers=headers,
        )
        for form in forms
    )


# -- parameters


def choice(name: str, known: Iterable[str], description: str, example: str) -> Parameter:
    """One of these words, in the query."""
    return Parameter(
        name=name,
        where="query",
        description=description,
        schema={"type": "string", "enum": list(known)},
        example=example,
    )


_POSITION: Schema = {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,12})-(0|[1-9][0-9]{0,12})$"}
RESUME = (
    Parameter(
        name="Last-Event-ID",
        where="header",
        description="The id of the last event that was handled: what comes after it follows. It beats `after`.",
        schema=_POSITION,
        example=str(_AT),
    ),
    Parameter(
        name="after",
        where="query",
        description="The same where no header can be set. Without both, a snapshot of all output comes first.",
        schema=_POSITION,
        example=str(_AT),
    ),
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    where="header",
    description="A fresh random value; a request that is sent again with it starts no second run.",
    schema={"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX},
    example="7b0f6c1e-5d0a-4f5e-9a57-2f4d5a1f6f0b",
)
CONVERSATION = Parameter(
    name="conversation",
    where="query",
    description="Only runs with this label.",
    schema={"type": "string"},
    example="ticket-42",
)
STATUS = choice("status", TRANSITIONS, "Only runs with this status.", "completed")
BEFORE = Parameter(
    name="before",
    where="query",
    description="The id of the last run of the page before this one.",
    schema={"type": "string"},
    example=RUN_ID,
)


def limit(default: int) -> Parameter:
    """How many rows."""
    return Parameter(
        name="limit",
        where="query",
        description="Rows of a page, at most `HEADWATER_MAX_PAGE`, 100 where the operator said nothing else.",
        schema={"type": "integer", "minimum": 1, "default": default},
        example=default,
    )


# -- errors

UNKNOWN_RUN = UnknownRun(f"There is no run {RUN_ID}. It may have been deleted, or have expired.")
UNKNOWN_MODEL = UnknownModel("There is no model 'gpt-9' here. Known are fast, demo.", field="model")
NOT_A_KEY = BadRequest(
    f"Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_MAX} printable characters.",
    field="Idempotency-Key",
    limit=IDEMPOTENCY_KEY_MAX,
)
NOT_A_POSITION = MalformedPosition(
    "after: a position is <seq>-<tag>, as an event's id gave it, e.g. 17-80472913.", field="after"
)
NOT_A_CHOICE = Invalid("format must be one of native, ndjson, text, not 'xml'.", field="format")
NOT_A_STATUS = Invalid(f"status must be one of {', '.join(TRANSITIONS)}, not 'done'.", field="status")
KEY_CONFLICT = IdempotencyConflict(
    "This Idempotency-Key was used with another body: use a new key for a new request.", field="Idempotency-Key"
)
NOT_ENDED = RunNotEnded(f"Run {RUN_ID} is in_progress: cancel it and wait for its end before deleting it.")
DAMAGED = DamagedLog(f"What is stored of run {RUN_ID} is damaged: an entry is no JSON.")
FULL = TooMany("As many runs are waiting here as may wait. Try again in a moment.", limit=1000, retry_after=1)
DRAINING = Draining("This worker is shutting down. Send the request again.", retry_after=1)
STORE_AWAY = StoreUnavailable("The store does not answer for now. Try again in a moment.")
