"""Surrogate pairs that a server cut in two: JSON's "\\ud83d" in one delta, "\\ude00" in the next."""

from collections.abc import Iterable
from typing import TypeVar

from headwater.core.events import Delta, ToolCall

T = TypeVar("T", str, str | None)

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class SurrogateJoiner:
    """Holds a first half back until the second comes. A half that stays alone becomes U+FFFD.

    It is only put to work once a half was seen (`active`), so other streams do not pay for it.
    """

    def __init__(self) -> None:
        self.active = False
        self._held: dict[tuple[type[Delta], int], str] = {}

    def join(self, deltas: Iterable[Delta]) -> list[Delta]:
        """The deltas without any half; one that was nothing else is left out."""
        joined = [whole for delta in deltas if (whole := self._join(delta)) is not None]
        self.active = bool(self._held)
        return joined

    def rest(self) -> list[Delta]:
        """What is still held when the stream ends."""
        rest = [
            ToolCall(index, arguments=_REPLACEMENT) if issubclass(kind, ToolCall) else kind(_REPLACEMENT)
            for kind, index in self._held
        ]
        self._held.clear()
        return rest

    def _join(self, delta: Delta) -> Delta | None:
        if isinstance(delta, ToolCall):
            arguments = self._whole((ToolCall, delta.index), delta.arguments) if delta.arguments else delta.arguments
            if not (arguments or delta.id or delta.name):
                return None
            return ToolCall(delta.index, without_halves(delta.id), without_halves(delta.name), arguments)
        text = self._whole((type(delta), 0), delta.text)
        return type(delta)(text) if text else None

    def _whole(self, key: tuple[type[Delta], int], text: str) -> str:
        text = self._held.pop(key, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._held[key], text = text[-1], text[:-1]
        # UTF-16 is where two halves are one character.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def without_halves(whole: T) -> T:
    """A text that came whole, such as a name: no half in it has another to come."""
    return whole and whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
