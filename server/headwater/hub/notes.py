"""What passes in a room and is kept in no log: who is there, who is typing, how far somebody has read.

A thousand members each tell the others how far they have read: what comes close together is told together. A reader
that fell behind gets the newest of each kind only, so nobody has a queue; what is older than the ring is forgotten, and
a reader who is that far behind must come back.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import chain, islice
from typing import Final

from headwater.core.pushes import HasRead, Member, Presence, Push, TypingNow

# In which notes are told together: nobody sees in it who is typing, or has read.
TOGETHER_S: Final = 0.25
# A minute of them, while a reader that takes nothing is let go after half of that.
BATCHES_MAX: Final = 240

Note = Presence | TypingNow | HasRead


class Notes:
    """The newest notes of one room on this worker, in batches; `top` is the number of batches so far."""

    def __init__(self) -> None:
        self.top = 0
        self._new: list[Note] = []
        self._ring: deque[list[Note]] = deque(maxlen=BATCHES_MAX)
        self._encoded: dict[tuple[Hashable, int], bytes] = {}

    def __repr__(self) -> str:
        return f"<Notes {self.top}>"

    def add(self, note: Note) -> None:
        """Take one more; readers see it with the next flush."""
        self._new.append(note)

    def flush(self) -> None:
        """Give the readers what came, as one batch."""
        new, self._new = self._new, []
        self.top += 1
        self._ring.append(merged(new))
        self._encoded.clear()

    def read(self, after: int, form: Hashable, encode: Callable[[Push], bytes]) -> bytes | None:
        """What comes after so many batches, merged; None if some of it is forgotten."""
        missing = self.top - after
        if missing > len(self._ring):
            return None
        key = form, after
        data = self._encoded.get(key)
        if data is None:
            newest = islice(self._ring, len(self._ring) - missing, None)
            data = self._encoded[key] = b"".join([encode(push) for push in merged(chain.from_iterable(newest))])
        return data


def merged(notes: Iterable[Note]) -> list[Note]:
    """The same in as few: of what is said of one member, or of who is typing, the last stands."""
    people: dict[str, tuple[bool, Member]] = {}
    typing: TypingNow | None = None
    reads: dict[str, HasRead] = {}
    for note in notes:
        match note:
            case Presence():
                people |= {member.id: (True, member) for member in note.joined}
                people |= {member.id: (False, member) for member in note.left}
            case TypingNow():
                typing = note
            case HasRead():
                reads[note.by] = note
    joined = [member for is_there, member in people.values() if is_there]
    left = [member for is_there, member in people.values() if not is_there]
    presence = [Presence(joined=joined, left=left)] if people else []
    return [*presence, *([typing] if typing else []), *reads.values()]
