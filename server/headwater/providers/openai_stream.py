"""The answer of a server that speaks chat completions, from its bytes to deltas and an honest end. No I/O."""

import json
from typing import Final

from headwater.core.events import Delta, FinishReason, Text, Usage
from headwater.core.lifecycle import Failed, Incomplete
from headwater.core.sse import FRAME_BYTES_MAX, FrameTooLarge, Parser, ServerSentEvent
from headwater.providers.base import Finish, ProviderError, Step
from headwater.providers.openai_chunk import Chunk, Counted, Message, NotAChunk, decode_chunk, plain_text
from headwater.providers.openai_errors import Scrubber, error_message
from headwater.providers.openai_text import SurrogateJoiner
from headwater.providers.openai_tools import CallDelta, ToolCalls

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


class ChatStream:
    """Takes the body in as it comes.

    Once `settled` the model has finished, and at most its usage follows; once `done` nothing more is to be read.
    """

    def __init__(self, scrub: Scrubber, *, event_stream: bool = True) -> None:
        self.settled = False
        self.done = False
        self._scrub = scrub
        self._event_stream = event_stream  # the server said so
        self._parser = Parser()
        self._events = 0
        self._counted: Counted | None = None
        self._finish_reason: str | None = None
        self._error: ProviderError | None = None
        self._said_done = False
        self._calls = ToolCalls()
        self._joiner = SurrogateJoiner()

    def feed(self, data: bytes) -> list[Step]:
        """The deltas that `data` completed. It never raises: what is wrong with the stream, `finish` says."""
        if (text := self._plain_text(data)) is not None:
            return [Text(text)]
        steps: list[Step] = []
        try:
            self._take_all(self._parser.feed(data), steps)
        except FrameTooLarge as error:
            self._take_all(error.events, steps)
            if not self.done:
                self._fail("bad_upstream_data", f"an event of the upstream is larger than {error.limit} bytes")
        return steps

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

    def feed_whole(self, body: bytes) -> list[Step]:
        """The deltas of a body that is one JSON object: the answer of a server that ignored `stream`."""
        steps: list[Step] = []
        if len(body) > FRAME_BYTES_MAX:
            self._fail("bad_upstream_data", f"the upstream's answer is larger than {FRAME_BYTES_MAX} bytes")
        elif (chunk := self._decoded(body)) is not None:
            if error := chunk.reported_error():
                message = self._scrub(error_message(error)) or "it gave no reason"
                self._fail("bad_upstream_data", f"the upstream answered 200 with an error: {message}")
            elif chunk.choices:
                self._said_done = True  # by being whole
                self._take_chunk(chunk, steps)
            else:
                self._fail("bad_upstream_data", "the upstream answered with JSON that is no completion")
        self.settled = self.done = True
        return steps

    def awaits_usage(self) -> bool:
        """Whether the model has finished, and its usage, or [DONE], may follow."""
        return self.settled and not self.done

    def close(self) -> list[Step]:
        """The body is over, or was cut: the deltas that were still held back."""
        steps: list[Step] = []
        if not self.done:
            # It may be torn, and then that is the cut's fault, not the event's.
            self._take_all([event for event in self._parser.finish() if _is_whole(event.data)], steps)
        steps += self._joiner.rest()
        return steps

    def finish(self, cut: str | None = None) -> Finish:
        """How the answer ended; `cut` says why the connection broke, if it did. Raises ProviderError."""
        if self._error is None and (reason := _FINISH_REASONS.get(self._finish_reason or "")):
            return Finish(reason, self.usage)
        if self._error is None:
            self._fail(*self._shortcoming(cut))
        assert self._error is not None
        raise self._error

    def _shortcoming(self, cut: str | None) -> tuple[Failed | Incomplete, str]:
        """What is missing from an answer that held no error and no finish_reason that is known."""
        if self._finish_reason:
            word = self._scrub(self._finish_reason[:64])
            return "no_finish_reason", f"the upstream finished for a reason that is not known here: {word!r}"
        if self._said_done:
            return "no_finish_reason", "the upstream ended its answer without a finish_reason"
        if cut is not None:
            return "upstream_cut", f"the connection to the upstream was lost: {cut}"
        if not self._events and not self._event_stream:
            return "bad_upstream_data", "the upstream's answer is not an event stream"
        return "upstream_cut", "the upstream's answer ended before it was finished"

    @property
    def usage(self) -> Usage | None:
        """What the upstream counted last."""
        return None if self._counted is None else self._counted.usage()

    def _take_all(self, events: list[ServerSentEvent], steps: list[Step]) -> None:
        for event in events:
            if self.done:
                return
            self._take(event, steps)

    def _take(self, event: ServerSentEvent, steps: list[Step]) -> None:
        data = event.data
        if not data:
            return
        self._events += 1
        if data.startswith(b"[DONE]"):
            self._said_done = self.settled = self.done = True
        elif event.event == "error":
            self._fail_upstream(_json_or_text(data))
        elif (chunk := self._decoded(data)) is not None:
            if (chunk.error or chunk.choices is None) and (error := chunk.reported_error()):
                self._fail_upstream(error)
            else:
                self._take_chunk(chunk, steps)

    def _decoded(self, data: bytes) -> Chunk | None:
        """The chunk in an event, or None if it is none: then the stream has failed."""
        try:
            chunk, halves = decode_chunk(data)
        except NotAChunk as error:
            if self._finish_reason:  # what follows it is not the answer's any more
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
            if choice.finish_reason and not self._finish_reason:
                self._finish_reason = choice.finish_reason
                self.settled = True

    def _deltas(self, message: Message) -> list[Delta]:
        deltas = message.texts()
        if message.tool_calls:
            deltas += self._calls.take(message.tool_calls)
        if message.function_call is not None:
            deltas += self._calls.take([CallDelta(index=0, function=message.function_call)])
        return self._joiner.join(deltas) if self._joiner.active else deltas

    def _fail_upstream(self, error: object) -> None:
        message = self._scrub(error_message(error)) or "it gave no reason"
        self._fail("upstream_error", f"the upstream reported an error: {message}")

    def _fail(self, reason: Failed | Incomplete, detail: str) -> None:
        self._error = ProviderError(reason, detail, self.usage)
        self.settled = self.done = True


def _is_whole(data: bytes) -> bool:
    return data.startswith(b"[DONE]") or not isinstance(_json_or_text(data), str)


def _json_or_text(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")
