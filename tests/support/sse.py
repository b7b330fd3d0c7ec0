"""An EventSource for tests: its own parser, by the HTML standard, and the promises of a run's stream.

    EventStreamParser   bytes → messages
    Follower            messages → text, and an AssertionError where the protocol is broken

`event_source.py` joins the two over a socket.
"""

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import Any

_LINE_END = re.compile(r"\r\n|\n|\r")
KINDS = ("text", "reasoning", "refusal", "tool_call")


@dataclass(frozen=True)
class Message:
    """One dispatched event. `id` is the one this very block carried, None if it carried none."""

    event: str
    data: str
    id: str | None

    @property
    def json(self) -> Any:
        """The data, which all our events have as JSON."""
        return json.loads(self.data)


class Disjoint(AssertionError):
    """What follows `after` was given to a reader that is `at` another place: a gap, or an overlap."""

    def __init__(self, after: int, at: int) -> None:
        super().__init__(f"a gap or an overlap: after {after}, but the reader is at {at}")
        self.after = after
        self.at = at


class EventStreamParser:
    """An event stream in any pieces to messages; what the end of a connection leaves over is dropped."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self.reset()

    def reset(self) -> None:
        """A new connection begins: only `last_id` and `retry_ms` outlive the old one."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")  # ours must be UTF-8: no replacement
        self._line = ""
        self._first = True  # a byte order mark may come
        self._after_cr = False
        self._clear()

    def _clear(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, received: bytes) -> list[Message]:
        """The messages that these bytes complete."""
        text = self._decoder.decode(received)
        if not text:
            return []
        fresh = text.removeprefix("\ufeff") if self._first else text
        fresh = fresh.removeprefix("\n") if self._after_cr else fresh  # the second half of a CRLF
        self._first, self._after_cr = False, text.endswith("\r")
        *lines, self._line = _LINE_END.split(self._line + fresh)
        messages = []
        for line in lines:
            if line:
                self._field(line)
            elif message := self._dispatch():
                messages.append(message)
        return messages

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments += 1
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)

    def _dispatch(self) -> Message | None:
        message = Message(self._event or "message", "\n".join(self._data), self._id)
        if self._id is not None:
            self.last_id = self._id
        empty = not self._data
        self._clear()
        return None if empty else message


@dataclass
class Follower:
    """What a reader of one run's native stream holds. `take` raises AssertionError at a broken promise."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    seq: int = 0
    run: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    snapshots: int = 0
    deltas: int = 0
    _greeted: bool = False

    @property
    def text(self) -> str:
        """The text parts joined: the run's `output`."""
        return "".join(part["text"] for part in self.parts if "text" in part)

    def connected(self) -> None:
        """A new connection begins."""
        self._greeted = False

    def take(self, message: Message) -> None:
        """One more event."""
        data = message.json
        assert self.end is None, f"an event after the end: {message}"
        assert self._greeted or message.event == "run", f"`run` comes first: {message}"
        self._greeted = True
        match message.event:
            case "run":
                assert message.id is None, f"`run` must not move the reader: {message}"
                self.run = data
                return
            case "snapshot" | "delta" | "attempt":
                self.grow(message.event, data)
            case "end":
                self._covers(data, one=True)
                self.end = data
            case unknown:
                raise AssertionError(f"an unknown event {unknown!r}")
        assert message.id is not None and message.id.partition("-")[0] == str(self.seq), f"id and seq differ: {message}"

    def grow(self, kind: str, data: dict[str, Any]) -> None:
        """A snapshot, a delta or an attempt: what an output is made of."""
        match kind:
            case "snapshot":
                self.snapshots += 1
                self.parts = data["parts"]
                self.seq = data["seq"]
            case "delta":
                self._covers(data)
                self._append(data)
            case "attempt":
                self._covers(data, one=True)
                self.attempts.append(data)
                if data["how"] == "restarted":
                    self.parts = []

    def _covers(self, data: dict[str, Any], one: bool = False) -> None:
        if data["after"] != self.seq:
            raise Disjoint(data["after"], self.seq)
        assert data["seq"] == self.seq + 1 if one else data["seq"] > self.seq, f"a wrong range: {data}"
        self.seq = data["seq"]

    def _append(self, data: dict[str, Any]) -> None:
        self.deltas += 1
        kinds = [kind for kind in KINDS if kind in data]
        assert len(kinds) == 1, f"a delta has one kind: {data}"
        kind = kinds[0]
        if kind == "tool_call":
            self._append_call(data[kind])
        elif self.parts and kind in self.parts[-1]:
            self.parts[-1] = {kind: self.parts[-1][kind] + data[kind]}
        else:
            self.parts.append({kind: data[kind]})

    def _append_call(self, fragment: dict[str, Any]) -> None:
        for part in self.parts:
            known = part.get("tool_call")
            if known is not None and known["index"] == fragment["index"]:
                known["arguments"] += fragment.get("arguments", "")
                known.update({key: fragment[key] for key in ("id", "name") if key in fragment and key not in known})
                return
        self.parts.append({"tool_call": {"arguments": "", **fragment}})
