"""What a run's log holds, how it is stored, and how adjacent deltas are merged.

Stored, an event is a small JSON array that begins with a letter for its type:
`["t","Hello"]` is a text delta. The outward shapes are made in `formats/`.

A worker holds them by the hundred thousand, and none can be part of a cycle, so the collector
of cycles is spared them (`gc=False`).
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from headwater.core.position import Position

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]
Reason = Literal["takeover", "failover", "drain"]
How = Literal["continued", "restarted"]
FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]


class Text(Struct, array_like=True, tag="t", frozen=True, gc=False):
    """New output text."""

    text: str


class Reasoning(Struct, array_like=True, tag="r", frozen=True, gc=False):
    """New reasoning ("thinking") text."""

    text: str


class Refusal(Struct, array_like=True, tag="f", frozen=True, gc=False):
    """New text of a refusal."""

    text: str


class ToolCall(Struct, array_like=True, tag="c", frozen=True, gc=False):
    """A fragment of the tool call with this index; `arguments` come in pieces."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens, as the provider counted them; `estimated` where it did not."""

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        """What both cost together."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cached_tokens + other.cached_tokens,
            self.estimated or other.estimated,
        )


class Attempt(Struct, array_like=True, tag="a", frozen=True):
    """The start of the second or a later try. `restarted` withdraws all output before it.

    `model` is who answers from here on, where it is another than before; `usage` what the try before this one cost, as
    far as it is known.
    """

    number: int
    reason: Reason
    how: How
    model: str | None = None
    usage: Usage | None = None


class Failure(Struct, frozen=True, omit_defaults=True):
    """What went wrong, for a person: a stable code and one sentence.

    `upstream_status` is the HTTP status with which the upstream refused, `retry_after_s` how long it asked to wait.
    """

    code: str
    detail: str
    upstream_status: int | None = None
    retry_after_s: float | None = None


class End(Struct, array_like=True, tag="e", frozen=True):
    """The one end of a run."""

    status: Literal["completed", "failed", "cancelled", "incomplete"]
    finish_reason: FinishReason | None = None
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None


Delta = Text | Reasoning | Refusal | ToolCall
Event = Text | Reasoning | Refusal | ToolCall | Attempt | End

_TEXTS = (Text, Reasoning, Refusal)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Event, ...])


def encode_events(events: Sequence[Event]) -> bytes:
    """The events as one stored payload."""
    return _encoder.encode(events)


def decode_events(payload: bytes) -> tuple[Event, ...]:
    """The events of a stored payload. Raises msgspec.MsgspecError if it is damaged."""
    return _decoder.decode(payload)


class Entry(Struct, frozen=True, gc=False):
    """One append: the events after `after`, the last of which has `seq`; all bear `tag`.

    The events stay apart, so an entry can be cut at any seq it covers.
    """

    after: Position
    seq: int
    tag: int
    events: tuple[Event, ...]

    @property
    def position(self) -> Position:
        """Where the log stands once this entry is in it."""
        return Position(self.seq, self.tag)

    def cut(self, at: Position) -> "Entry":
        """What of this entry lies after `at`, which it must cover."""
        return Entry(at, self.seq, self.tag, self.events[at.seq - self.after.seq :])


class Span(Struct, frozen=True, gc=False):
    """One event, or several merged into one, covering the seqs (after, seq].

    `after_tag` is the tag of the entry that covers `after`.
    """

    after: int
    seq: int
    tag: int
    event: Event
    after_tag: int = 0

    @property
    def before(self) -> Position:
        """Where the log stands before it."""
        return Position(self.after, self.after_tag)


def merge(entries: Sequence[Entry]) -> list[Span]:
    """Entries that follow one another, with adjacent deltas of one kind joined.

    Attempts and ends stay alone, so nothing is merged across them.
    """
    if len(entries) == 1 and len(entries[0].events) == 1:  # the usual one, while a model speaks at human speed
        (entry,) = entries
        return [Span(entry.after.seq, entry.seq, entry.tag, entry.events[0], entry.after.tag)]
    spans: list[Span] = []
    group: list[Event] = []
    after = seq = 0
    after_tag = tag = entries[0].after.tag if entries else 0
    for entry in entries:
        at = entry.after.seq
        for event in entry.events:
            if group and not _continues(group[0], event):
                spans.append(Span(after, seq, tag, _joined(group), after_tag))
                group = []
            if not group:
                after, after_tag = at, tag
            group.append(event)
            at += 1
            seq, tag = at, entry.tag
    if group:
        spans.append(Span(after, seq, tag, _joined(group), after_tag))
    return spans


def _continues(first: Event, event: Event) -> bool:
    """Whether `event` only adds to what the group that `first` began holds."""
    if isinstance(event, ToolCall):
        same = isinstance(first, ToolCall) and first.index == event.index
        return same and event.id is None and event.name is None
    return type(event) is type(first) and isinstance(event, _TEXTS)


def _joined(group: list[Event]) -> Event:
    first = group[0]
    if len(group) == 1:
        return first
    if isinstance(first, _TEXTS):
        return type(first)("".join([event.text for event in group if isinstance(event, _TEXTS)]))
    assert isinstance(first, ToolCall), "attempts and ends stay alone"
    pieces = [event.arguments for event in group if isinstance(event, ToolCall) and event.arguments is not None]
    return ToolCall(first.index, first.id, first.name, "".join(pieces) if pieces else None)


# What a delta that says nothing is counted as: it has its place in the log like any other, and weighed nothing, an
# upstream could send such without end under every limit. About what its brackets and its type take as stored.
EMPTY_DELTA_BYTES = 16


def delta_bytes(event: Event) -> int:
    """About how many bytes of output an event adds to a log."""
    if isinstance(event, _TEXTS):
        size = len(event.text) if event.text.isascii() else len(event.text.encode())
    elif isinstance(event, ToolCall):
        size = len(event.arguments or "") + len(event.name or "") + len(event.id or "")
    else:
        return 0
    return size or EMPTY_DELTA_BYTES


def entry_bytes(entry: Entry) -> int:
    """About how many bytes of output an entry holds."""
    events = entry.events
    return delta_bytes(events[0]) if len(events) == 1 else sum([delta_bytes(event) for event in events])
