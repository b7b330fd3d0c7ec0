"""The answer of a server that speaks Anthropic's messages. No I/O."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from headwater.core.events import Delta, FinishReason, Reasoning, Text, ToolCall, Usage
from headwater.core.sse import ServerSentEvent
from headwater.providers.base import Step
from headwater.providers.event_stream import EventStream
from headwater.providers.surrogates import SurrogateJoiner
from headwater.providers.upstream_errors import Scrubber
from headwater.providers.wire_json import BadShape, decode_loose, json_text

# What has no counterpart, such as `pause_turn`, which wants to be asked again, says nothing that we could vouch for.
_FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# Errors that would have been a 429, 500, 504 or 529, had they come before the answer began.
_PASSING = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})


class _Counted(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Head(Struct):
    usage: _Counted | None = None


class _Block(Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    input: Any = None


class _Delta(Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(Struct, gc=False):
    type: str = ""
    index: int = 0
    message: _Head | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Counted | None = None
    error: Any = None


class _Call(Struct):
    """A tool call under way. `given` is whether any of its arguments came."""

    index: int
    input: Any
    given: bool = False


_decoder = msgspec.json.Decoder(_Event)


class MessageStream(EventStream):
    """Anthropic's events. Only `message_stop` says that the answer is whole."""

    def __init__(self, scrub: Scrubber, *, promised: bool = True) -> None:
        super().__init__(scrub, promised=promised)
        self._counted = _Counted()
        self._estimated = True  # at the start the output count says nothing
        self._calls: dict[int, _Call] = {}  # by the index of their block
        self._calls_made = 0
        self._began = False  # any block did, also one that we show nothing of: it was worked for, and is paid for
        self._joiner = SurrogateJoiner()

    def close(self) -> list[Step]:
        steps = super().close()
        return [*steps, *self._joiner.rest()] if self.is_finished else steps  # half a character is no basis

    @property
    def usage(self) -> Usage | None:
        """What was counted last. What was read from a cache or written to one was input, too."""
        counted = self._counted
        if counted.input_tokens is None and counted.output_tokens is None:
            return None
        cached = counted.cache_read_input_tokens or 0
        return Usage(
            input_tokens=(counted.input_tokens or 0) + cached + (counted.cache_creation_input_tokens or 0),
            output_tokens=counted.output_tokens or 0,
            cached_tokens=cached,
            estimated=self._estimated,
        )

    def _finish_reason(self) -> FinishReason | None:
        return _FINISH_REASONS.get(self._finish_word or "") if self._said_done else None

    def _take_whole(self, body: bytes, steps: list[Step]) -> None:
        if (event := self._decoded(body)) is None:
            return
        if event.error:
            self._fail_under_200(event.error)
        else:
            self._fail("bad_upstream_data", "the upstream answered with JSON where a stream was asked for")

    def _take(self, event: ServerSentEvent, steps: list[Step]) -> None:
        if (said := self._decoded(event.data)) is None:
            return
        match said.type or event.event:
            case "content_block_delta" if said.delta is not None:
                self._began = True
                self._add(steps, self._delta(said.index, said.delta))
            case "content_block_start" if said.content_block is not None:
                self._began = True
                self._add(steps, self._start(said.index, said.content_block))
            case "content_block_stop":
                self._add(steps, self._stop(said.index))
            case "message_start":
                self._count(said.message.usage if said.message else None, steps)
            case "message_delta":
                self._finish_word = (said.delta and said.delta.stop_reason) or self._finish_word
                self._estimated = self._estimated and said.usage is None
                self._count(said.usage, steps)
            case "message_stop":
                self._said_done = self.settled = self.done = True
            case kind if kind == "error" or said.error:
                known = said.error.get("type") if isinstance(said.error, dict) else None
                self.passing = not self._began and known in _PASSING
                self._fail_upstream(said.error)

    def _decoded(self, data: bytes) -> _Event | None:
        """The event, or None if it is none: then the stream has failed."""
        try:
            event, halves = decode_loose(data, _decoder, _Event)
        except BadShape as error:
            self._fail("bad_upstream_data", f"an event of the upstream {self._scrub(str(error))}")
            return None
        self._joiner.active |= halves
        return event

    def _count(self, counted: _Counted | None, steps: list[Step]) -> None:
        """Take counts, each of which is of all until now."""
        if counted is None:
            return
        for name in counted.__struct_fields__:
            if (count := getattr(counted, name)) is not None:
                setattr(self._counted, name, count)
        if (usage := self.usage) is not None:
            steps.append(usage)

    def _add(self, steps: list[Step], delta: Delta | None) -> None:
        if delta is None:
            return
        if self._joiner.active:
            steps += self._joiner.join([delta])
        else:
            steps.append(delta)

    def _start(self, block_index: int, block: _Block) -> Delta | None:
        if block.type == "tool_use":
            call = self._calls[block_index] = _Call(self._calls_made, block.input)
            self._calls_made += 1
            return ToolCall(call.index, block.id, block.name)
        return _text(block)

    def _delta(self, block_index: int, delta: _Delta) -> Delta | None:
        if delta.type == "input_json_delta":
            call = self._calls.get(block_index)  # None for a tool that the server runs itself
            if call is None or not delta.partial_json:
                return None
            call.given = True
            return ToolCall(call.index, arguments=delta.partial_json)
        return _text(delta)

    def _stop(self, block_index: int) -> Delta | None:
        """A call without arguments has none on the wire; everybody else expects an object."""
        call = self._calls.pop(block_index, None)
        if call is None or call.given:
            return None
        return ToolCall(call.index, arguments=json_text(call.input or {}))


def _text(piece: _Block | _Delta) -> Delta | None:
    """The text that a block begins with, or that is added to it."""
    if piece.type in ("text", "text_delta"):
        return Text(piece.text) if piece.text else None
    if piece.type in ("thinking", "thinking_delta"):
        return Reasoning(piece.thinking) if piece.thinking else None
    return None
