"""Redis's protocol, as far as one who stands in the middle needs it: where a reply ends, and which are messages."""

_LINES = b"+-:_,#("  # simple string, error, integer, null, double, boolean, big number
_BULKS = b"$!="  # string, error, verbatim string: a length, then so many bytes
_LISTS = b"*~>"  # array, set, push: a count, then so many values
_MESSAGES = (b"*3\r\n$7\r\nmessage\r\n", b">3\r\n$7\r\nmessage\r\n")  # in RESP2 and in RESP3


class ReplySplitter:
    """A server's bytes in any pieces to whole replies, each as it was; of RESP2 and of RESP3.

    Values streamed without a length, which no Redis sends, are refused.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._understood = 0  # bytes of the buffer
        self._missing = 1  # values until the reply is whole

    def rest(self, start: int = 0) -> bytes:
        """What has come, from its byte `start`, of a reply that is not whole yet."""
        return bytes(self._buffer[start:])

    def feed(self, received: bytes) -> list[bytes]:
        """The replies that these bytes complete. Raises ValueError if they are none."""
        self._buffer += received
        replies = []
        while self._take_value():
            if not self._missing:
                replies.append(bytes(self._buffer[: self._understood]))
                del self._buffer[: self._understood]
                self._understood, self._missing = 0, 1
        return replies

    def _take_value(self) -> bool:
        """Go past one more value, or the head of one that has others in it; False if it has not all come."""
        line_end = self._buffer.find(b"\r\n", self._understood)
        if line_end < 0:
            return False
        kind, head = self._buffer[self._understood], bytes(self._buffer[self._understood + 1 : line_end])
        end, more = line_end + 2, 0
        if kind in _BULKS:
            if int(head) >= 0:  # -1 is RESP2's null
                end += int(head) + 2
        elif kind in _LISTS:
            more = max(0, int(head))
        elif kind == ord("%"):
            more = 2 * int(head)
        elif kind == ord("|"):
            more = 2 * int(head) + 1  # attributes, and then the value that they belong to
        elif kind not in _LINES:
            raise ValueError(f"no reply begins with {bytes([kind])!r}")
        if end > len(self._buffer):
            return False
        self._understood = end
        self._missing += more - 1
        return True


def is_message(reply: bytes) -> bool:
    """Whether it is what `PUBLISH` sends to a subscriber; in RESP2 an array of the same three looks the same."""
    return reply.startswith(_MESSAGES)
