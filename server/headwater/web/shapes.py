"""The JSON bodies that go out: answers are built from these, and so is the document that describes them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from headwater.core.events import Failure, FinishReason, Status, Usage

Time = Annotated[float, Meta(description="Unix seconds.")]
At = Annotated[str, Meta(description="A position: opaque, for `Last-Event-ID` and `?after=`.")]
Address = Annotated[str, Meta(description="A path on this server.")]


class RunSummary(Struct, frozen=True, kw_only=True):
    """A run without its output."""

    id: str
    object: Literal["run"]
    status: Status
    model: str
    conversation: str | None
    metadata: dict[str, str]
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    expires_at: Time | None
    cancel_requested: bool
    position: At
    url: Address
    events_url: Address
    cancel_url: Address


class PartToolCall(Struct, frozen=True, kw_only=True):
    """A tool call with its fragments joined."""

    index: int
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    arguments: str


class Part(Struct, frozen=True, kw_only=True):
    """Adjacent output of one kind, joined: exactly one of the four."""

    text: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    tool_call: PartToolCall | UnsetType = UNSET


OnePart = Annotated[Part, Meta(extra_json_schema={"minProperties": 1, "maxProperties": 1})]


class RunAttempt(Struct, frozen=True, kw_only=True):
    """One try at producing a run. The first has no reason. `usage` is what this try alone cost, once it is over."""

    number: int
    reason: Literal["takeover", "failover", "drain"] | None
    how: Literal["continued", "restarted"] | None
    model: Annotated[str, Meta(description="Who answered.")]
    usage: Usage | None


class RunAnswer(RunSummary, frozen=True, kw_only=True):
    """A run with its output so far; following it from `position` gives what comes next."""

    output: Annotated[str, Meta(description="The text alone.")]
    parts: list[OnePart]
    attempts: list[RunAttempt]
    finish_reason: FinishReason | None
    reason: str | None
    error: Failure | None
    usage: Usage | None


class RunList(Struct, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    object: Literal["list"]
    data: list[RunSummary]
    has_more: bool


class Health(Struct, frozen=True):
    """The process is alive."""

    status: Literal["ok"]


class Readiness(Struct, frozen=True):
    """This worker takes requests."""

    status: Literal["ready"]


class Problem(Struct, frozen=True, kw_only=True):
    """Every error, in the sense of RFC 9457. `code` is for programs, `detail` for a person."""

    type: Literal["about:blank"]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    code: str
    detail: str
    field: Annotated[str, Meta(description="The part of the input that is wrong.")] | UnsetType = UNSET
    limit: Annotated[float, Meta(description="The bound that was passed.")] | UnsetType = UNSET
    retry_after: Annotated[int, Meta(description="Seconds to wait.")] | UnsetType = UNSET
