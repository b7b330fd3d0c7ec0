"""Runs and what starts them: the request's Struct, and the stored run."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from headwater.core.events import Status
from headwater.core.position import START, Position

# Names are indexed and shown in lists: long enough for a UUID path, short enough for a row.
Label = Annotated[str, Meta(min_length=1, max_length=256)]
# OpenAI's own bound on stop sequences is four; servers that take more stop at sixteen.
Stops = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=16)]


class Message(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One turn of the conversation, as chat completions have it; `extra` goes to the provider as it is."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    extra: dict[str, Any] | None = None


class RunBody(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/runs`. `stream` asks for the events as the answer and is not stored."""

    input: Annotated[str, Meta(min_length=1)] | Annotated[list[Message], Meta(min_length=1)]
    model: Label | None = None
    conversation: Label | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | Stops | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    # Whether another try, or another upstream, may go on with what one upstream broke off.
    failover: bool = True
    # Whether an answer that nobody can continue may begin anew, which withdraws what was shown; null: the model's own.
    restart: bool | None = None
    # As many labels as OpenAI allows; they come back with every read of the run.
    metadata: Annotated[dict[Label, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    stream: bool = False


class ResponseOptions(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was asked of a response, and is nothing to a provider: the response says it again.

    One that is not to be stored is forgotten soon after its end.
    """

    store: bool = True
    background: bool = False
    previous: str | None = None
    reasoning: dict[str, Any] | None = None


class RunRequest(RunBody, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What a run is asked, as it is stored and given to a provider; `response` where it was asked as a response."""

    response: ResponseOptions | None = None

    @property
    def stored(self) -> bool:
        """Whether it is there to be asked for once it has ended."""
        return self.response is None or self.response.store


class Run(Struct, frozen=True, kw_only=True):
    """A run as the store knows it. Times are Unix seconds by the store's clock.

    `owner` is the tenant that it belongs to, `caller` the id of the principal who started it.
    `position` is the top of its log; `token` the fencing token of the newest lease, 0 before
    the first; `cancelled` whether a cancel was accepted, which the `end` will say. `room` is the id of the room whose
    message it answers.
    """

    id: str
    owner: str
    model: str
    request: RunRequest
    created_at: float
    caller: str = ""
    conversation: str | None = None
    room: str | None = None
    status: Status = "queued"
    started_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None
    position: Position = START
    token: int = 0
    cancelled: bool = False
