"""Positions: where in a log a reader or a writer stands."""

import re

from msgspec import Struct

# Redis keeps 64-bit ids exactly, but a Lua number loses digits beyond 10^14 when
# printed, and JavaScript beyond 2^53. Ten to the twelfth is unguessable enough for a
# mark that only has to differ between two writers of one seq.
TAG_MAX = 10**12
SEQ_MAX = 10**12

_POSITION = re.compile(r"(0|[1-9][0-9]{0,12})-(0|[1-9][0-9]{0,12})", re.ASCII)


class Position(Struct, frozen=True, gc=False):
    """A place in a log: the seq of an event and the tag of the entry that covers it.

    It *joins* a log if the entry covering `seq` there bears `tag` (Raft's log matching);
    otherwise history was lost or rewritten since the position was handed out.
    """

    seq: int
    tag: int

    def __str__(self) -> str:
        return f"{self.seq}-{self.tag}"


START = Position(0, 0)
"""Before the first event. It joins every log."""


def parse_position(text: str) -> Position:
    """The position written as `<seq>-<tag>`.

    Raises ValueError, with a sentence fit for a client, if it is anything else.
    """
    match = _POSITION.fullmatch(text)
    if match is None:
        raise ValueError("a position is <seq>-<tag>, as an event's id gave it, e.g. 17-80472913")
    seq, tag = int(match[1]), int(match[2])
    if seq > SEQ_MAX or tag > TAG_MAX or (seq == 0) != (tag == 0):
        raise ValueError("no event can have this position; use one that an event's id gave")
    return Position(seq, tag)
