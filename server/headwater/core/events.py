"""What a run's log holds, how it is stored, and how adjacent deltas are merged.

Stored, an event is a small JSON array that begins with a letter for its type:
`["t","Hello"]` is a text delta. The outward shapes are made in `formats/`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from headwater.core.position import Position

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]
FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]


class Text(Struct, array_like=True, tag="t", frozen=True):
    """New output text."""

    text: str


class Reasoning(Struct, array_like=True, tag="r", frozen=True):
    """New reasoning ("thinking") text."""

    text: str


class Refusal(Struct, array_like=True, tag="f", frozen=True):
    """New text of a refusal."""

    text: str


class ToolCall(Struct, array_like=True, tag="c", frozen=True):
    """A fragment of the tool call with this index; `arguments` come in pieces."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


class Attempt(Struct, array_like=True, tag="a", frozen=True):
    """The start of the second or a later try. `restarted` withdraws all output before it."""

    number: int
    reason: Literal["takeover", "failover", "drain"]
    how: Literal["continued", "restarted"]


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens, as the provider counted them; `estimated` where it did not."""

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False


class Failure(Struct, frozen=True):
    """What went wrong, for a person: a stable code and one sentence."""

    code: str
    detail: str


class End(Struct, array_like=True, tag="e", frozen=True):
    """The one end of a run."""

    status: Literal["completed", "failed", "cancelled", "incomplete"]
    finish_reason: FinishReason | None = None
    reason: str | None = None
    error: Failure | None = None
    usage: Usage | None = None


Delta = Text | Reasoning | Refusal | ToolCall
Event = Text | Reasoning | Refusal | ToolCall | Attempt | End

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Event, ...])


def encode_events(events: Sequence[Event]) -> bytes:
    """The events as one stored payload."""
    return _encoder.encode(events)


def decode_events(payload: bytes) -> tuple[Event, ...]:
    """The events of a stored payload. Raises msgspec.MsgspecError if it is damaged."""
    return _decoder.decode(payload)


class Entry(Struct, frozen=True):
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


class Span(Struct, frozen=True):
    """One event, or several merged into one, covering the seqs (after, seq]."""

    after: int
    seq: int
    tag: int
    event: Event


def merge(entries: Iterable[Entry]) -> list[Span]:
    """Entries that follow one another, with adjacent deltas of one kind joined.

    Attempts and ends stay alone, so nothing is merged across them.
    """
    spans: list[Span] = []
    run: list[str] = []  # the texts of the span that is being joined
    kind: type[Any] | None = None
    first: ToolCall | None = None
    after = seq = tag = 0

    def close() -> None:
        nonlocal kind, first
        if kind is ToolCall:
            assert first is not None
            joined: Event = ToolCall(first.index, first.id, first.name, "".join(run) if run else None)
            spans.append(Span(after, seq, tag, joined))
        elif kind is not None:
            spans.append(Span(after, seq, tag, kind("".join(run))))
        run.clear()
        kind = first = None

    for entry in entries:
        at = entry.after.seq
        for event in entry.events:
            if isinstance(event, ToolCall):
                fits = first is not None and first.index == event.index and event.id is None and event.name is None
                if not fits:
                    close()
                    kind, first, after = ToolCall, event, at
                if event.arguments is not None:
                    run.append(event.arguments)
            elif isinstance(event, Attempt | End):
                close()
                spans.append(Span(at, at + 1, entry.tag, event))
            else:
                if kind is not type(event):
                    close()
                    kind, after = type(event), at
                run.append(event.text)
            at += 1
            seq, tag = at, entry.tag
    close()
    return spans


def delta_bytes(event: Event) -> int:
    """About how many bytes of output an event adds to a log."""
    if isinstance(event, ToolCall):
        return len(event.arguments or "") + len(event.name or "") + len(event.id or "")
    if isinstance(event, Attempt | End):
        return 0
    return len(event.text) if event.text.isascii() else len(event.text.encode())
