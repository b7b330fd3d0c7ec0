"""A server's WebSocket frames (RFC 6455, 5.2 and 5.4): text messages, unmasked. Made once, written to many sockets."""

from collections.abc import Iterator
from typing import Final

_FIN: Final = 0x80
_TEXT: Final = 0x01
_CONTINUED: Final = 0x00
# Lengths from here on take two bytes, and from there on eight.
_SHORT: Final = 126
_MEDIUM: Final = 1 << 16

# Of one frame. A longer message goes in several, between which a client that is slow to take it can be waited for, and
# its pings can be answered.
FRAGMENT_BYTES: Final = 32 * 1024


def frame_text(payload: bytes) -> bytes:
    """A message of this UTF-8, in as many frames as it takes."""
    size = len(payload)
    if size <= FRAGMENT_BYTES:
        return _head(_FIN | _TEXT, size) + payload
    frames = []
    for start in range(0, size, FRAGMENT_BYTES):
        piece = payload[start : start + FRAGMENT_BYTES]
        last = start + FRAGMENT_BYTES >= size
        frames.append(_head((_FIN if last else 0) | (_CONTINUED if start else _TEXT), len(piece)) + piece)
    return b"".join(frames)


def _head(first: int, size: int) -> bytes:
    if size < _SHORT:
        return bytes((first, size))
    if size < _MEDIUM:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


def frames_in(data: bytes) -> Iterator[memoryview]:
    """The frames of `frame_text` that follow one another, each whole."""
    view, at = memoryview(data), 0
    while at < len(data):
        end = _payload(data, at).stop
        yield view[at:end]
        at = end


def messages_in(data: bytes) -> Iterator[str]:
    """The messages in such frames: for a server that makes frames itself."""
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        where = _payload(data, at)
        pieces.append(data[where])
        if data[at] & _FIN:
            yield b"".join(pieces).decode()
            pieces.clear()
        at = where.stop


def _payload(data: bytes, at: int) -> slice:
    """Where the payload of the frame that begins at `at` lies."""
    size, start = data[at + 1], at + 2
    if size >= _SHORT:
        wide = 2 if size == _SHORT else 8
        size, start = int.from_bytes(data[start : start + wide], "big"), start + wide
    return slice(start, start + size)
