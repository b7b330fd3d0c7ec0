"""The native server-sent events, as docs/protocol.md describes them."""

from collections.abc import Sequence

import msgspec

from headwater.core.content import Part
from headwater.core.events import Attempt, Delta, End, Reasoning, Refusal, Span, Status, Text
from headwater.core.position import Position
from headwater.core.sse import encode, encode_comment, encode_retry
from headwater.formats.base import After, Format, Frame

json = msgspec.json.Encoder().encode


def run_data(head_id: str, status: Status, model: str) -> bytes:
    """The data of a `run` event."""
    return json({"id": head_id, "status": status, "model": model})


def snapshot_data(position: Position, parts: Sequence[Part]) -> bytes:
    """The data of a `snapshot` event."""
    return json({"seq": position.seq, "parts": parts})


def span_data(span: Span) -> tuple[str, bytes]:
    """A merged event's name and data."""
    event = span.event
    head = b'{"after":%d,"seq":%d,' % (span.after, span.seq)
    if isinstance(event, End):
        return "end", head + json(end_fields(event))[1:]
    if isinstance(event, Attempt):
        return "attempt", head + json(_attempt_fields(event))[1:]
    return "delta", head + _delta_fields(event)


def _delta_fields(delta: Delta) -> bytes:
    if isinstance(delta, Text):
        return b'"text":%b}' % json(delta.text)
    if isinstance(delta, Reasoning):
        return b'"reasoning":%b}' % json(delta.text)
    if isinstance(delta, Refusal):
        return b'"refusal":%b}' % json(delta.text)
    fields = {name: getattr(delta, name) for name in ("index", "id", "name", "arguments")}
    return b'"tool_call":%b}' % json({name: value for name, value in fields.items() if value is not None})


def _attempt_fields(attempt: Attempt) -> dict[str, object]:
    """What the try before it cost is not told here: it is in the run."""
    fields: dict[str, object] = {"number": attempt.number, "reason": attempt.reason, "how": attempt.how}
    return fields if attempt.model is None else fields | {"model": attempt.model}


def end_fields(end: End) -> dict[str, object]:
    """What an end says, for a client: only what is known."""
    fields: dict[str, object] = {"status": end.status}
    if end.finish_reason is not None:
        fields["finish_reason"] = end.finish_reason
    if end.reason is not None:
        fields["reason"] = end.reason
    if end.error is not None:
        fields["error"] = end.error
    if end.usage is not None:
        fields["usage"] = end.usage
    return fields


class Native(Format):
    """`text/event-stream` with positions as ids."""

    media_type = "text/event-stream"
    keep_alive = encode_comment()

    def opening(self, retry_ms: int) -> bytes:
        return encode_retry(retry_ms)

    def run(self, status: Status, *, first: bool) -> bytes:
        return encode(run_data(self.head.id, status, self.head.model), event="run")

    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        return Frame(encode(snapshot_data(position, parts), event="snapshot", id=str(position)))

    def spans(self, spans: Sequence[Span]) -> Frame:
        pieces = []
        after = After.GO_ON
        for span in spans:
            event = span.event
            if type(event) is Text:
                pieces.append(_TEXT % (span.seq, span.tag, span.after, span.seq, json(event.text)))
                continue
            name, data = span_data(span)
            pieces.append(encode(data, event=name, id=f"{span.seq}-{span.tag}"))
            if name == "end":
                after = After.CLOSE
        return Frame(b"".join(pieces), after)


# Nearly all that is ever written, so it is put together in one step: seq, tag, after, seq, text.
_TEXT = encode(b'{"after":%d,"seq":%d,"text":%b}', event="delta", id="%d-%d")
