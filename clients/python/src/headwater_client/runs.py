"""What a run is, and the events by which it is followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]


# What a request may have besides its input: docs/protocol.md says what each means.
class RunFields(TypedDict, total=False):
    """The fields of a request besides its `input`."""

    model: str
    conversation: str
    instructions: str
    max_output_tokens: int
    temperature: float
    top_p: float
    stop: str | list[str]
    seed: int
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    response_format: dict[str, Any]
    extra: dict[str, Any]
    failover: bool
    restart: bool | None
    metadata: dict[str, str]


Input = str | list[dict[str, Any]]
"""A text, or a conversation: messages, each with its role and content."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them; `estimated` where it did not."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a run: a code, and a sentence for a person."""

    code: str
    detail: str = ""
    upstream_status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, or a fragment of one: fragments with the same `index` are joined."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an output: exactly one of these."""

    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_call: ToolCall | None = None


Reason = Literal["takeover", "failover", "drain"]
"""Why a run was tried again: its worker died, its upstream failed, or its worker handed it over."""


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """One try at a run; the first has no reason. `usage` is what this one alone cost, once it is over."""

    number: int
    reason: Reason | None = None
    how: Literal["restarted", "continued"] | None = None
    model: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the server told it. `output` is its text; rows of a list have none."""

    id: str
    status: Status
    model: str
    created_at: float
    position: str
    conversation: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    started_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None
    cancel_requested: bool = False
    output: str | None = None
    parts: tuple[Part, ...] = ()
    finish_reason: str | None = None
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None
    attempts: tuple[RunAttempt, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status not in ("queued", "in_progress")


@dataclass(frozen=True, slots=True)
class Page:
    """Runs, newest first, and whether there are older ones."""

    runs: tuple[Run, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Told:
    """Which run this is and how it stands: first on every connection, and when a queued run begins."""

    id: str
    status: Status
    model: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All output so far. It replaces what came before."""

    seq: int
    position: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text in it."""
        return "".join(part.text for part in self.parts if part.text is not None)


@dataclass(frozen=True, slots=True)
class Delta:
    """New output: exactly one of the last four."""

    after: int
    seq: int
    position: str
    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_call: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """The run is tried again. Where `how` is `restarted`, all output before it is withdrawn.

    `model` is who goes on, where it is another than before.
    """

    after: int
    seq: int
    position: str
    number: int
    reason: Reason
    how: Literal["restarted", "continued"]
    model: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The run is over. Only `completed` means that the answer is whole."""

    after: int
    seq: int
    position: str
    status: Status
    finish_reason: str | None = None
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None


RunEvent = Told | Snapshot | Delta | Attempt | End


@dataclass(frozen=True, slots=True)
class Retrying:
    """Something failed, and is tried again in `wait_s`. It is the `tries`-th failure in a row, `error` says of what."""

    tries: int
    wait_s: float
    error: Exception


@dataclass(frozen=True, slots=True)
class Resumed:
    """It works again, after so many failures."""

    tries: int


Notice = Retrying | Resumed
"""What a callback is told of the connection."""
