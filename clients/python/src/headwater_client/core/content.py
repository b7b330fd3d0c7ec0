"""An output as it grows."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from headwater_client.runs import Part, ToolCall


class Content:
    """Parts, neighbouring pieces of a kind joined and tool calls by their index; fast to append to."""

    def __init__(self) -> None:
        self._kinds: list[str] = []
        self._pieces: list[list[str]] = []  # of each part that is no call
        self._calls: dict[int, ToolCall] = {}  # by the part's number
        self._text: list[str] = []

    @property
    def text(self) -> str:
        """The text parts joined."""
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of it."""
        return tuple(self._part(number, kind) for number, kind in enumerate(self._kinds))

    def clear(self) -> None:
        """Nothing is left of it."""
        self._kinds, self._pieces, self._calls, self._text = [], [], {}, []

    def set(self, parts: Iterable[Part]) -> None:
        """This is what there is of it."""
        self.clear()
        for part in parts:
            self.append(part)

    def append(self, piece: Part) -> None:
        """It goes on."""
        if piece.tool_call is not None:
            return self._call(piece.tool_call)
        for kind, value in (("text", piece.text), ("reasoning", piece.reasoning), ("refusal", piece.refusal)):
            if value is None:
                continue
            if not self._kinds or self._kinds[-1] != kind:
                self._kinds.append(kind)
                self._pieces.append([])
            self._pieces[-1].append(value)
            if kind == "text":
                self._text.append(value)
        return None

    def _part(self, number: int, kind: str) -> Part:
        content: dict[str, Any] = {kind: self._calls.get(number) or "".join(self._pieces[number])}
        return Part(**content)

    def _call(self, fragment: ToolCall) -> None:
        for number, known in self._calls.items():
            if known.index == fragment.index:
                self._calls[number] = replace(
                    known,
                    id=known.id or fragment.id,
                    name=known.name or fragment.name,
                    arguments=known.arguments + fragment.arguments,
                )
                return
        self._calls[len(self._kinds)] = fragment
        self._kinds.append("tool_call")
        self._pieces.append([])
