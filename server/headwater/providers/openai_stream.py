"""The answer of a server that speaks chat completions. No I/O."""

from typing import Final

from headwater.core.events import Delta, FinishReason, Text, Usage
from headwater.core.sse import FRAME_BYTES_MAX, ServerSentEvent
from headwater.providers.base import Step
from headwater.providers.event_stream import EventStream
from headwater.providers.openai_chunk import Chunk, Counted, Message, decode_chunk, plain_text
from headwater.providers.openai_tools import CallDelta, ToolCalls
from headwater.providers.surrogates import SurrogateJoiner
from headwater.providers.upstream_errors import Scrubber
from headwater.providers.wire_json import BadShape, json_or_text

# What the servers call it. A reason that is not here says nothing that we could vouch for.
_FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}


class ChatStream(EventStream):
    """The server-sent events of chat completions, ended by [DONE]. A finish_reason says that the model has finished."""

    def __init__(self, scrub: Scrubber, *, promised: bool = True) -> None:
        super().__init__(scrub, promised=promised)
        self._counted: Counted | None = None
        self._calls = ToolCalls()
        self._joiner = SurrogateJoiner()

    def feed(self, data: bytes) -> list[Step]:
        if (text := self._plain_text(data)) is not None:
            return [Text(text)]
        return super().feed(data)

    def _plain_text(self, data: bytes) -> str | None:
        """The text of one whole chunk that holds nothing else: nearly all there are, and half the work.

        None for all that is any different: then nothing was taken.
        """
        if self.settled or self._joiner.active or not self._parser.between_frames:
            return None
        whole = data.startswith(b"data: {") and data.find(b"\n") == len(data) - 2 and data.endswith(b"}\n\n")
        if not whole or b"\r" in data or len(data) > FRAME_BYTES_MAX:
            return None
        text = plain_text(data[6:-2])
        if text is not None:
            self._events += 1
        return text

    def close(self) -> list[Step]:
        steps = super().close()
        return [*steps, *self._joiner.rest()] if self.is_finished else steps  # half a character is no basis

    def _finish_reason(self) -> FinishReason | None:
        return _FINISH_REASONS.get(self._finish_word or "")

    def _take_whole(self, body: bytes, steps: list[Step]) -> None:
        if (chunk := self._decoded(body)) is None:
            return
        if error := chunk.reported_error():
            self._fail_under_200(error)
        elif chunk.choices:
            self._said_done = True  # by being whole
            self._take_chunk(chunk, steps)
        else:
            self._fail("bad_upstream_data", "the upstream answered with JSON that is no completion")

    @property
    def usage(self) -> Usage | None:
        return None if self._counted is None else self._counted.usage()

    def _take(self, event: ServerSentEvent, steps: list[Step]) -> None:
        data = event.data
        if data.startswith(b"[DONE]"):
            self._said_done = self.settled = self.done = True
        elif event.event == "error":
            self._fail_upstream(json_or_text(data))
        elif (chunk := self._decoded(data)) is not None:
            if (chunk.error or chunk.choices is None) and (error := chunk.reported_error()):
                self._fail_upstream(error)
            else:
                self._take_chunk(chunk, steps)

    def _decoded(self, data: bytes) -> Chunk | None:
        """The chunk in an event, or None if it is none: then the stream has failed."""
        try:
            chunk, halves = decode_chunk(data)
        except BadShape as error:
            if self._finish_word:  # what follows it is not the answer's any more
                self.done = True
                return None
            self._fail("bad_upstream_data", f"an event of the upstream {self._scrub(str(error))}")
            return None
        self._joiner.active |= halves
        return chunk

    def _take_chunk(self, chunk: Chunk, steps: list[Step]) -> None:
        if chunk.usage is not None:
            self._counted = chunk.usage
            if self.settled and not chunk.choices:
                self.done = True  # the usage that was asked for: the last chunk of the protocol
        for choice in chunk.choices or ():
            if choice.index != 0:
                continue
            if (message := choice.delta or choice.message) is not None:
                steps += self._deltas(message)
            if choice.finish_reason and not self._finish_word:
                self._finish_word = choice.finish_reason
                self.settled = True
        if chunk.usage is not None and chunk.choices:
            steps.append(chunk.usage.usage())

    def _deltas(self, message: Message) -> list[Delta]:
        deltas = message.texts()
        if message.tool_calls:
            deltas += self._calls.take(message.tool_calls)
        if message.function_call is not None:
            deltas += self._calls.take([CallDelta(index=0, function=message.function_call)])
        return self._joiner.join(deltas) if self._joiner.active else deltas
