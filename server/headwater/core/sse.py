"""Server-sent events: encoding them, and taking them apart as their bytes arrive."""

import re

from msgspec import Struct

# A token's frame is some 300 bytes, and a whole long answer in one frame (from an upstream that ignores
# `stream`) some 100 KB. Ten times that is not a frame any more but a stream without blank lines.
FRAME_BYTES_MAX = 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CR = 0x0D


def encode(data: bytes, *, event: str | None = None, id: str | None = None) -> bytes:
    """One event. `data`, `event` and `id` are a line each: JSON, a name and a position hold no line end."""
    if id is not None:
        if event is not None:
            return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), event.encode(), data)
        return b"id: %b\ndata: %b\n\n" % (id.encode(), data)
    if event is not None:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"data: %b\n\n" % data


def encode_retry(milliseconds: int) -> bytes:
    """How long a reader should wait before it connects again."""
    return b"retry: %d\n\n" % milliseconds


def encode_comment(text: str = "") -> bytes:
    """A line that every reader skips, such as a keep-alive. `text` holds no line end."""
    return b": %b\n\n" % text.encode() if text else b":\n\n"


class ServerSentEvent(Struct, frozen=True, gc=False):
    """One event as it was sent. `id` is None if it bore none: a reader keeps the last one it saw."""

    data: bytes
    event: str = "message"
    id: str | None = None


class FrameTooLarge(Exception):
    """A frame grew beyond `limit` bytes. `events` came whole before it; the parser is of no more use."""

    def __init__(self, limit: int, events: list[ServerSentEvent]) -> None:
        super().__init__(f"a server-sent event is larger than {limit} bytes")
        self.limit = limit
        self.events = events


class Parser:
    """Turns bytes, however they were cut, into events, as the WHATWG's HTML standard says.

    Lines end with CR LF, LF or CR and nothing else, whatever characters the data holds. `retry_ms` is
    the newest `retry` that was sent, in milliseconds.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.retry_ms: int | None = None
        self._limit = frame_bytes_max
        self._line = bytearray()  # the beginning of a line whose end has not come
        self._data: list[bytes] = []
        self._event = ""
        self._id: str | None = None
        self._data_bytes = 0
        self._open = False  # in mid-frame
        self._first = True  # the first line may begin with a byte order mark
        self._after_cr = False  # a LF that comes now belongs to the CR before it

    @property
    def between_frames(self) -> bool:
        """Whether all that was fed, and that was something, made whole frames."""
        return not (self._open or self._after_cr or self._first)

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that `chunk` completed. Raises FrameTooLarge."""
        events: list[ServerSentEvent] = []
        at = 1 if self._after_cr and chunk.startswith(b"\n") else 0
        if chunk:
            self._after_cr = False
        while True:
            if not self._open:
                at = self._plain_frames(chunk, at, events)
            if at == len(chunk):
                return events
            self._open = True
            match = _LINE_END.search(chunk, at)
            end = match.start() if match else len(chunk)
            if len(self._line) + self._data_bytes + end - at > self._limit:
                raise FrameTooLarge(self._limit, events)
            self._line += chunk[at:end]
            if match is None:
                return events
            at = match.end()
            self._after_cr = at == len(chunk) and match[0] == b"\r"
            line = bytes(self._line)
            self._line.clear()
            self._take_line(line, events)

    def finish(self) -> list[ServerSentEvent]:
        """The event that the end of the body cut off before its blank line, if there is one.

        The standard discards it, because it may be torn. Some upstreams just leave the last blank line out,
        though, so a caller whose data tells where it ends, as JSON does, should look whether it is whole.
        """
        events: list[ServerSentEvent] = []
        if self._line:
            self._take_line(bytes(self._line), events)
            self._line.clear()
        self._dispatch(events)
        return events

    def _plain_frames(self, chunk: bytes, at: int, events: list[ServerSentEvent]) -> int:
        """Take the frames from `at` that are one whole `data: …` line each: nearly all there are.

        Gives the place of the first byte that it did not take.
        """
        while chunk.startswith(b"data: ", at):
            end = chunk.find(b"\n", at)
            if end < 0:
                return at
            if chunk.startswith(b"\n", end + 1):
                stop, following = end, end + 2
            elif chunk[end - 1] == _CR and chunk.startswith(b"\r\n", end + 1):
                stop, following = end - 1, end + 3
            else:
                return at
            if stop - at > self._limit or chunk.find(b"\r", at, stop) >= 0:
                return at
            events.append(ServerSentEvent(chunk[at + 6 : stop]))
            self._first = False
            at = following
        return at

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_bytes += len(value)
        elif field == b"event":
            self._event = value.decode(errors="replace")
        elif field == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit():
            self.retry_ms = int(value[:10])

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        """The frame is over: it is an event if it had data."""
        if self._data:
            events.append(ServerSentEvent(b"\n".join(self._data), self._event or "message", self._id))
            self._data.clear()
        self._event = ""
        self._id = None
        self._data_bytes = 0
        self._open = False
