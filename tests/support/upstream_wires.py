"""How the scripted upstream says the same answer on three wires.

A script speaks of `delta` objects as chat completions have them; the others are made of those. What a wire cannot say
(half a tool call on Ollama's, a refusal's text on the others) is not asked of it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

INPUT_TOKENS = 3
"""What every prompt is said to count."""

ReportedUsage = Literal["end", "every", "none"]


class Wire(ABC):
    """One answer. `sent` is how many tokens were sent until then."""

    content_type = "text/event-stream"
    keep_alive = b": keep-alive\n\n"
    garbage = b'data: {"choices":[{"delta":{"con\n\n'

    def __init__(self, usage: ReportedUsage) -> None:
        self.usage = usage

    def start(self) -> bytes:
        """What comes with the headers."""
        return b""

    @abstractmethod
    def token(self, delta: dict[str, Any], sent: int) -> bytes:
        """One token."""

    @abstractmethod
    def error(self, *, passing: bool = False) -> bytes:
        """An error in mid-stream; a `passing` one says that the server is overloaded, if the wire can say so."""

    @abstractmethod
    def done(self) -> bytes:
        """The protocol's last word, without a reason."""

    @abstractmethod
    def ending(self, finish_reason: str | None, done: bool, sent: int) -> Iterator[bytes]:
        """What follows the last token, in pieces."""


class ChatWire(Wire):
    """OpenAI's chat completions."""

    def token(self, delta: dict[str, Any], sent: int) -> bytes:
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": None}], sent)

    def error(self, *, passing: bool = False) -> bytes:
        return _data({"error": {"message": "scripted error", "type": "server_error", "code": 500}})

    def done(self) -> bytes:
        return b"data: [DONE]\n\n"

    def ending(self, finish_reason: str | None, done: bool, sent: int) -> Iterator[bytes]:
        if finish_reason is not None:
            yield self._chunk([{"index": 0, "delta": {}, "finish_reason": finish_reason}], sent)
        if self.usage != "none":
            yield self._chunk([], sent)
        if done:
            yield self.done()

    def _chunk(self, choices: list[dict[str, Any]], sent: int) -> bytes:
        chunk: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "scripted",
            "choices": choices,
        }
        if not choices or self.usage == "every":
            total = INPUT_TOKENS + sent
            chunk["usage"] = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": sent, "total_tokens": total}
        return _data(chunk)


class MessagesWire(Wire):
    """Anthropic's messages."""

    garbage = b'event: content_block_delta\ndata: {"type":"content_bl\n\n'
    _REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

    def __init__(self, usage: ReportedUsage) -> None:
        super().__init__(usage)
        self._block: object = None  # what the open block is of
        self._index = -1

    def start(self) -> bytes:
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
        return _event("message_start", message={"id": "msg_1", "role": "assistant", "content": [], "usage": usage})

    def token(self, delta: dict[str, Any], sent: int) -> bytes:
        if call := (delta.get("tool_calls") or [None])[0]:
            function = call["function"]
            block = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
            piece = {"type": "input_json_delta", "partial_json": function["arguments"]}
            return self._in(("tool", call["index"]), block) + self._delta(piece)
        if thinking := delta.get("reasoning_content"):
            block = {"type": "thinking", "thinking": "", "signature": ""}
            return self._in("thinking", block) + self._delta({"type": "thinking_delta", "thinking": thinking})
        text = {"type": "text_delta", "text": delta["content"]}
        return self._in("text", {"type": "text", "text": ""}) + self._delta(text)

    def error(self, *, passing: bool = False) -> bytes:
        kind = "overloaded_error" if passing else "invalid_request_error"
        return _event("error", error={"type": kind, "message": "scripted error"})

    def done(self) -> bytes:
        return _event("message_stop")

    def ending(self, finish_reason: str | None, done: bool, sent: int) -> Iterator[bytes]:
        yield self._close()
        if finish_reason is not None:
            delta = {"stop_reason": self._REASONS.get(finish_reason, finish_reason), "stop_sequence": None}
            yield _event("message_delta", delta=delta, usage={"output_tokens": sent})
        if done:
            yield self.done()

    def _in(self, kind: object, block: dict[str, Any]) -> bytes:
        """Open a block of this kind, unless it is open."""
        if kind == self._block:
            return b""
        closed = self._close()
        self._block, self._index = kind, self._index + 1
        return closed + _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> bytes:
        if self._block is None:
            return b""
        self._block = None
        return _event("content_block_stop", index=self._index)


class OllamaWire(Wire):
    """Ollama's chat."""

    content_type = "application/x-ndjson"
    keep_alive = b"\n"
    garbage = b'{"message":{"con\n'

    def token(self, delta: dict[str, Any], sent: int) -> bytes:
        message = {"role": "assistant", "content": delta.get("content") or ""}
        if thinking := delta.get("reasoning_content"):
            message["thinking"] = thinking
        return self._line(message=message, done=False)

    def error(self, *, passing: bool = False) -> bytes:
        return _json({"error": "scripted error"}) + b"\n"

    def done(self) -> bytes:
        return self._line(message={"role": "assistant", "content": ""}, done=True)

    def ending(self, finish_reason: str | None, done: bool, sent: int) -> Iterator[bytes]:
        if not done:
            return
        reason = {} if finish_reason is None else {"done_reason": finish_reason}
        counts = {} if self.usage == "none" else {"prompt_eval_count": INPUT_TOKENS, "eval_count": sent}
        yield self._line(message={"role": "assistant", "content": ""}, done=True, **reason, **counts)

    def _line(self, **fields: Any) -> bytes:
        return _json({"model": "scripted", "created_at": "2026-01-01T00:00:00Z", **fields}) + b"\n"


WIRES: dict[str, type[Wire]] = {
    "/v1/chat/completions": ChatWire,
    "/v1/messages": MessagesWire,
    "/api/chat": OllamaWire,
}
"""By the path of their request."""


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _data(value: object) -> bytes:
    return b"data: %b\n\n" % _json(value)


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _json({"type": kind, **fields}))
