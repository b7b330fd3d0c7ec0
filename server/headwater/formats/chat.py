"""OpenAI's chat completions, streamed and whole, after their API reference.

Each chunk has an SSE `id`, the position to resume from. A chunk with another one to come that must not be lost bears
the position before it: to see it twice changes nothing.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

from headwater.core.content import Part
from headwater.core.events import Attempt, Delta, End, FinishReason, Reasoning, Refusal, Span, Status, Text, Usage
from headwater.core.position import Position
from headwater.core.sse import encode
from headwater.formats.base import After, Format, Frame, Head, not_withdrawn
from headwater.formats.openai import KEEP_ALIVE, completion_id

json = msgspec.json.Encoder().encode

_TAKEN_BACK: Final = {
    "message": "The answer began anew, and this format cannot take back what it has sent. Ask again, or follow the run "
    "in its native format.",
    "type": "server_error",
    "param": None,
    "code": "restarted",
}

# The first chunk of an answer says whose it is.
_ROLE: Final[dict[str, Any]] = {"role": "assistant"}
_NAMES: Final = {"text": "content", "reasoning": "reasoning_content", "refusal": "refusal"}
# What an upstream says of a request, and not of itself.
_BY_STATUS: Final[dict[int | None, str]] = {
    **dict.fromkeys((400, 404, 413, 422), "invalid_request_error"),
    429: "rate_limit_error",
}


class Chat(Format):
    """`chat.completion.chunk` events. `[DONE]` comes after a finish reason, and never after a failure."""

    media_type = "text/event-stream"
    says_its_end = False  # clients take the end of the body for that of the answer, unless it is broken off
    keep_alive = KEEP_ALIVE
    include_usage: ClassVar[bool] = False
    """Whether the client asked to be told the usage: a chunk of its own, and a null in every other."""

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        about = {"id": completion_id(head.id), "object": "chat.completion.chunk", "created": int(head.created_at)}
        self._start = json(about | {"model": head.model})[:-1]
        usage = b',"usage":null' if self.include_usage else b""
        # Nearly all that is ever written, so it is put together in one step: seq, tag, content.
        head_bytes, tail = self._start.replace(b"%", b"%%"), usage.replace(b"%", b"%%")
        chunk = b'%b,"choices":[{"index":0,"delta":{"content":%%b},"finish_reason":null}]%b}' % (head_bytes, tail)
        self._text = encode(chunk, id="%d-%d")
        self._tail = usage + b"}"

    def opening(self, retry_ms: int) -> bytes:
        return b""

    def run(self, status: Status, *, first: bool) -> bytes:
        return b""

    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        if replaces:
            return Frame(_error(_TAKEN_BACK), After.CLOSE)
        # In one chunk: of several, whoever is cut off behind the first would lose the others, or see it twice.
        calls = [_call(call["index"], call.get("id"), call.get("name"), call["arguments"]) for call in _calls(parts)]
        delta = _ROLE | _texts(parts) | ({"tool_calls": calls} if calls else {})
        return Frame(self._chunk(delta, position))

    def spans(self, spans: Sequence[Span]) -> Frame:
        pieces = []
        begins = bool(spans) and spans[0].after == 0
        for span in not_withdrawn(spans) if begins else spans:
            event = span.event
            if type(event) is Text and not begins:
                pieces.append(self._text % (span.seq, span.tag, json(event.text)))
                continue
            role, begins = _ROLE if begins else {}, False
            if isinstance(event, End):
                pieces.append(self._end(span, event, role))
                return Frame(b"".join(pieces), After.CLOSE)
            elif isinstance(event, Attempt):
                if event.how == "restarted" and not role:
                    pieces.append(_error(_TAKEN_BACK))
                    return Frame(b"".join(pieces), After.CLOSE)
                pieces.append(self._chunk(role | {"content": ""} if role else {}, _at(span)))
            else:
                pieces.append(self._chunk(role | delta_fields(event), _at(span)))
        return Frame(b"".join(pieces))

    def _end(self, span: Span, end: End, role: dict[str, Any]) -> bytes:
        finish = finish_of(end)
        if finish is None:
            return _error(error_of(end))
        pieces = [self._chunk(role, span.before, finish)]
        if self.include_usage:
            usage = b'%b,"choices":[],"usage":%b}' % (self._start, json(usage_of(end.usage)))
            pieces.append(encode(usage, id=str(span.before)))
        pieces.append(encode(b"[DONE]", id=str(_at(span))))
        return b"".join(pieces)

    def _chunk(self, delta: dict[str, Any], position: Position, finish: FinishReason | None = None) -> bytes:
        choice = json({"index": 0, "delta": delta, "finish_reason": finish})
        return encode(b'%b,"choices":[%b]%b' % (self._start, choice, self._tail), id=str(position))


class ChatWithUsage(Chat):
    """The same with `stream_options.include_usage`."""

    include_usage = True


def delta_fields(delta: Delta) -> dict[str, Any]:
    """A delta as the `delta` of a chunk."""
    match delta:
        case Text(text):
            return {"content": text}
        case Reasoning(text):
            return {"reasoning_content": text}
        case Refusal(text):
            return {"refusal": text}
        case call:
            return {"tool_calls": [_call(call.index, call.id, call.name, call.arguments)]}


def _call(index: int, id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    """A fragment of a tool call; its head has what is known of it."""
    function = ({"name": name} if name is not None else {}) | ({"arguments": arguments or ""})
    head = {"id": id, "type": "function"} if id is not None else {}
    return {"index": index} | head | {"function": function}


def finish_of(end: End) -> FinishReason | None:
    """The finish reason that clients are told, or None where the answer is not whole and nothing vouches for it."""
    if end.finish_reason is not None:
        return end.finish_reason
    return "length" if end.reason == "length" else None  # our own limit of an output's bytes


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """The `usage` of a completion. `estimated` where the provider did not count."""
    counted = usage or Usage(estimated=True)
    told: dict[str, Any] = {
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": counted.input_tokens + counted.output_tokens,
        "prompt_tokens_details": {"cached_tokens": counted.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": counted.reasoning_tokens},
    }
    return told | ({"estimated": True} if counted.estimated else {})


def error_of(end: End) -> dict[str, Any]:
    """The error object of an answer that is not whole, as the routes' own would be."""
    detail = end.error.detail if end.error is not None else f"The run was {end.status}."
    kind = "invalid_request_error" if end.status == "cancelled" else "server_error"
    if end.error is not None:
        kind = _BY_STATUS.get(end.error.upstream_status, kind)
    return {"message": detail, "type": kind, "param": None, "code": end.reason or end.status}


def _error(error: dict[str, Any]) -> bytes:
    return encode(json({"error": error}))


def _at(span: Span) -> Position:
    return Position(span.seq, span.tag)


def _texts(parts: Sequence[Part]) -> dict[str, str]:
    """What the parts say, by the names that a message has for it."""
    texts: dict[str, list[str]] = {}
    for part in parts:
        for kind, name in _NAMES.items():
            if kind in part:
                texts.setdefault(name, []).append(part[kind])
    return {name: "".join(pieces) for name, pieces in texts.items()}


def _calls(parts: Sequence[Part]) -> list[dict[str, Any]]:
    return [part["tool_call"] for part in parts if "tool_call" in part]


def completion(head: Head, parts: Sequence[Part], end: End) -> dict[str, Any]:
    """The whole answer as a `chat.completion`. The end must have a finish reason."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None} | _texts(parts)
    calls = [
        {
            "id": call.get("id"),
            "type": "function",
            "function": {"name": call.get("name") or "", "arguments": call["arguments"]},
        }
        for call in _calls(parts)
    ]
    if calls:
        message["tool_calls"] = calls
    return {
        "id": completion_id(head.id),
        "object": "chat.completion",
        "created": int(head.created_at),
        "model": head.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(end)}],
        "usage": usage_of(end.usage),
    }
