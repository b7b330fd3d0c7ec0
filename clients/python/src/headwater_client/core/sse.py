"""Server-sent events, as the HTML standard has them: bytes in any pieces in, messages out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from headwater_client.core.trouble import Broken

# A run's output may have 8 MiB, and a character six bytes as JSON; one that is longer comes from no server of ours.
EVENT_BYTES_MAX: Final = 64 * 1024 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Message:
    """One event. `id` is empty where this very event carried none."""

    event: str
    data: str
    id: str


class EventParser:
    """Of one connection. What its end leaves over is no event, and is dropped with the parser."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self.comment = ""
        self._pieces: list[bytes] = []  # of a line that has not ended
        self._size = 0  # of the event so far
        self._after_cr = False
        self._first = True
        self._event, self._id = "", ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> Iterator[Message]:
        """The events that these bytes complete. Raises Broken where it is no event stream (any more)."""
        if not received:
            return
        self._size += len(received)
        if self._size > EVENT_BYTES_MAX:
            raise Broken(f"an event is longer than {EVENT_BYTES_MAX} bytes")
        if self._after_cr:
            received = received.removeprefix(b"\n")
        self._after_cr = received.endswith(b"\r")
        *lines, rest = _LINE_END.split(received)
        if lines:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces = []
        if rest:
            self._pieces.append(rest)
        for line in lines:
            if (message := self._line(line)) is not None:
                yield message

    def _line(self, line: bytes) -> Message | None:
        if self._first:
            self._first, line = False, line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        try:
            name, _, value = line.decode().partition(":")
        except UnicodeDecodeError as error:
            raise Broken("the stream is not UTF-8") from error
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        match name:
            case "":
                self.comment = value
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)

    def _dispatch(self) -> Message | None:
        message = Message(self._event or "message", "\n".join(self._data), self._id) if self._data else None
        self._event, self._id, self._data, self._size = "", "", [], 0
        return message
