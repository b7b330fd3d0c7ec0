"""Where a talk is written: above a line that somebody types in, or plainly, one line after another."""

import codecs
import contextlib
import re
import shutil
import sys
import termios
import tty
import unicodedata
from collections.abc import Callable, Iterator
from typing import Protocol

import click

from headwater.cli.terminal import harmless

_PROMPT = "> "
# A key that is no character, such as an arrow, comes as one of these.
_KEYS = re.compile(r"\x1b(?:[\[O][0-9;?]*[ -/]*[@-~]?|.)?", re.DOTALL)


class Paper(Protocol):
    """What a talk is written on, and where what is typed comes from."""

    @property
    def begun(self) -> str:
        """The line that is being typed, where that can be known."""

    def write(self, text: str) -> None:
        """Go on in the line that was begun."""

    def line(self, text: str) -> None:
        """A line of its own."""

    def close(self) -> None:
        """What comes next begins a line."""

    def typed(self, piece: bytes) -> list[str]:
        """The lines that are whole with this piece of stdin. Raises EOFError where somebody says that it is over."""


class PlainPaper:
    """Nothing is ever taken back: for pipes and files."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._in_line = False

    @property
    def begun(self) -> str:
        return ""

    def write(self, text: str) -> None:
        self._out(text)

    def line(self, text: str) -> None:
        self._out("\n" * self._in_line + f"{text}\n")

    def typed(self, piece: bytes) -> list[str]:
        *lines, self._begun = (self._begun + self._decoder.decode(piece, not piece)).split("\n")
        if not piece and self._begun:
            lines, self._begun = [*lines, self._begun], ""
        return lines

    def close(self) -> None:
        self._out("\n" * self._in_line)

    def _out(self, text: str) -> None:
        if text:
            self._in_line = not text.endswith("\n")
            click.echo(harmless(text), nl=False)


class Screen:
    """A terminal: below what is said stand the line that grows, and the one that is typed."""

    def __init__(self, out: Callable[[str], object], columns: Callable[[], int]) -> None:
        self._out = out
        self._columns = columns
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._growing = ""
        self._input = ""
        self._rows_above = 0
        self._draw([])

    @property
    def begun(self) -> str:
        return self._input

    def write(self, text: str) -> None:
        *whole, self._growing = (self._growing + harmless(text).expandtabs(4)).split("\n")
        done = [row for line in whole for row in wrapped(line, self._columns() - 1)]
        *full, self._growing = wrapped(self._growing, self._columns() - 1)
        self._draw([*done, *full])

    def line(self, text: str) -> None:
        begun, self._growing = self._growing, ""
        rows = [row for line in harmless(text).split("\n") for row in wrapped(line, self._columns() - 1)]
        self._draw([begun, *rows] if begun else rows)

    def typed(self, piece: bytes) -> list[str]:
        lines: list[str] = []
        for key in _KEYS.sub("", self._decoder.decode(piece)):
            match key:
                case "\r" | "\n":
                    lines.append(self._input)
                    self._input = ""
                case "\x7f" | "\b":
                    self._input = self._input[:-1]
                case "\x15":  # Ctrl-U
                    self._input = ""
                case "\x17":  # Ctrl-W
                    self._input = self._input.rstrip().rpartition(" ")[0]
                    self._input += " " if self._input else ""
                case "\x04":  # Ctrl-D
                    if not self._input:
                        raise EOFError
                case _:
                    self._input += harmless(key)
        self._draw([])
        return lines

    def close(self) -> None:
        self._input = ""
        self._draw([])
        self._out("\r\x1b[J")

    def _draw(self, rows: list[str]) -> None:
        up = f"\x1b[{self._rows_above}A" if self._rows_above else ""
        said = "".join(f"{row}\n" for row in [*rows, *([self._growing] if self._growing else [])])
        self._rows_above = 1 if self._growing else 0
        self._out(f"\r{up}\x1b[J{said}{_PROMPT}{_end_of(self._input, self._columns() - len(_PROMPT) - 1)}")


@contextlib.contextmanager
def paper() -> Iterator[Paper]:
    """What there is: a terminal, whose keys are taken one by one, or something plain."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        plain = PlainPaper()
        yield plain
        plain.close()
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard, termios.TCSADRAIN)  # what was typed ahead is kept
    try:
        screen = Screen(lambda text: click.echo(text, nl=False), lambda: max(20, shutil.get_terminal_size().columns))
        yield screen
        screen.close()
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def wrapped(text: str, columns: int) -> list[str]:
    """`text` in rows of so many columns, broken at a space where there is one. It is all there."""
    rows, row, width = [], "", 0
    for character in text:
        wide = _width(character)
        if width + wide > columns:
            head, space, rest = row.rpartition(" ")
            rows.append(head if head else row)
            row = rest if head else ""
            width = sum(map(_width, row))
        row += character
        width += wide
    return [*rows, row]


def _end_of(text: str, columns: int) -> str:
    """The end of it that has room."""
    start, left = len(text), columns
    while start and (left := left - _width(text[start - 1])) >= 0:
        start -= 1
    return text[start:]


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
