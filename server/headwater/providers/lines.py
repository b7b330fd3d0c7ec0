"""Lines, as their bytes arrive."""


class LineTooLarge(Exception):
    """A line grew beyond `limit` bytes. `lines` came whole before it; the splitter is of no more use."""

    def __init__(self, limit: int, lines: list[bytes]) -> None:
        super().__init__(f"a line is larger than {limit} bytes")
        self.limit = limit
        self.lines = lines


class LineSplitter:
    """Turns bytes, however they were cut, into lines without their LF. A CR before it is JSON's white space."""

    def __init__(self, line_bytes_max: int) -> None:
        self._limit = line_bytes_max
        self._rest = bytearray()  # the beginning of a line whose end has not come

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completed. Raises LineTooLarge."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest + lines[0])
            self._rest.clear()
        self._rest += rest
        for number, line in enumerate(lines):
            if len(line) > self._limit:
                raise LineTooLarge(self._limit, lines[:number])
        if len(self._rest) > self._limit:
            raise LineTooLarge(self._limit, lines)
        return lines

    def finish(self) -> bytes:
        """What came after the last LF."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest
