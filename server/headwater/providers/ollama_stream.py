"""The answer of an Ollama server: a JSON object a line. No I/O."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from headwater.core.events import Delta, FinishReason, Reasoning, Text, ToolCall, Usage
from headwater.core.sse import FRAME_BYTES_MAX
from headwater.providers.answer import AnswerStream
from headwater.providers.base import Step
from headwater.providers.lines import LineSplitter, LineTooLarge
from headwater.providers.surrogates import SurrogateJoiner
from headwater.providers.upstream_errors import Scrubber
from headwater.providers.wire_json import BadShape, decode_loose, json_or_text, json_text

# What has no counterpart, such as `load`, which is no answer, says nothing that we could vouch for.
_FINISH_REASONS: Final[dict[str, FinishReason]] = {"stop": "stop", "length": "length"}


class _Function(Struct):
    name: str | None = None
    arguments: Any = None


class _Call(Struct):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Line)


class OllamaStream(AnswerStream):
    """Ollama's lines. The one with `done` ends the answer, and has the counts."""

    body_name = "a stream of JSON lines"

    def __init__(self, scrub: Scrubber, *, promised: bool = True) -> None:
        super().__init__(scrub, promised=promised)
        self._lines = LineSplitter(FRAME_BYTES_MAX)
        self._usage: Usage | None = None
        self._calls = 0
        self._joiner = SurrogateJoiner()

    def feed(self, data: bytes) -> list[Step]:
        steps: list[Step] = []
        try:
            self._take_all(self._lines.feed(data), steps)
        except LineTooLarge as error:
            self._take_all(error.lines, steps)
            if not self.done:
                self._fail("bad_upstream_data", f"a line of the upstream is larger than {error.limit} bytes")
        return steps

    def close(self) -> list[Step]:
        steps: list[Step] = []
        rest = self._lines.finish()
        # It may be torn, and then that is the cut's fault, not the line's.
        if rest.strip() and not self.done and not isinstance(json_or_text(rest), str):
            self._take_all([rest], steps)
        return [*steps, *self._joiner.rest()] if self.is_finished else steps  # half a character is no basis

    @property
    def usage(self) -> Usage | None:
        return self._usage

    def _finish_reason(self) -> FinishReason | None:
        reason = _FINISH_REASONS.get(self._finish_word or "")
        return "tool_calls" if reason == "stop" and self._calls else reason

    def _take_whole(self, body: bytes, steps: list[Step]) -> None:
        if (line := self._decoded(body)) is None:
            return
        if line.error:
            self._fail_under_200(line.error)
        else:
            self._take(line, steps)

    def _take_all(self, lines: list[bytes], steps: list[Step]) -> None:
        for data in lines:
            if self.done:
                return
            if not data.strip():
                continue
            if (line := self._decoded(data)) is None:
                return
            self._events += 1
            if line.error:
                self._fail_upstream(line.error)
            else:
                self._take(line, steps)

    def _decoded(self, data: bytes) -> _Line | None:
        """The line, or None if it is none: then the stream has failed."""
        try:
            line, halves = decode_loose(data, _decoder, _Line)
        except BadShape as error:
            self._fail("bad_upstream_data", f"a line of the upstream {self._scrub(str(error))}")
            return None
        self._joiner.active |= halves
        return line

    def _take(self, line: _Line, steps: list[Step]) -> None:
        if line.message is not None:
            deltas = self._deltas(line.message)
            steps += self._joiner.join(deltas) if self._joiner.active else deltas
        if line.done:
            if line.prompt_eval_count is not None or line.eval_count is not None:
                self._usage = Usage(line.prompt_eval_count or 0, line.eval_count or 0)
            self._finish_word = line.done_reason
            self._said_done = self.settled = self.done = True

    def _deltas(self, message: _Message) -> list[Delta]:
        deltas: list[Delta] = []
        if message.thinking:
            deltas.append(Reasoning(message.thinking))
        if message.content:
            deltas.append(Text(message.content))
        for call in message.tool_calls or ():
            function = call.function or _Function()
            deltas.append(ToolCall(self._calls, call.id, function.name, _text_of(function.arguments)))
            self._calls += 1
        return deltas


def _text_of(arguments: Any) -> str:
    """The arguments of a call, which come decoded, as the text that everybody else sends."""
    return arguments if isinstance(arguments, str) else json_text(arguments or {})
