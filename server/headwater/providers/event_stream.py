"""An answer that comes as server-sent events."""

from abc import abstractmethod

from headwater.core.sse import FrameTooLarge, Parser, ServerSentEvent
from headwater.providers.answer import AnswerStream
from headwater.providers.base import Step
from headwater.providers.upstream_errors import Scrubber
from headwater.providers.wire_json import json_or_text


class EventStream(AnswerStream):
    """Hands each event on, whole."""

    body_name = "an event stream"

    def __init__(self, scrub: Scrubber, *, promised: bool = True) -> None:
        super().__init__(scrub, promised=promised)
        self._parser = Parser()

    @abstractmethod
    def _take(self, event: ServerSentEvent, steps: list[Step]) -> None:
        """Take one event with data."""

    def feed(self, data: bytes) -> list[Step]:
        steps: list[Step] = []
        try:
            self._take_all(self._parser.feed(data), steps)
        except FrameTooLarge as error:
            self._take_all(error.events, steps)
            if not self.done:
                self._fail("bad_upstream_data", f"an event of the upstream is larger than {error.limit} bytes")
        return steps

    def close(self) -> list[Step]:
        steps: list[Step] = []
        if not self.done:
            # It may be torn, and then that is the cut's fault, not the event's.
            self._take_all([event for event in self._parser.finish() if _is_whole(event.data)], steps)
        return steps

    def _take_all(self, events: list[ServerSentEvent], steps: list[Step]) -> None:
        for event in events:
            if self.done:
                return
            if event.data:
                self._events += 1
                self._take(event, steps)


def _is_whole(data: bytes) -> bool:
    return data.startswith(b"[DONE]") or not isinstance(json_or_text(data), str)
