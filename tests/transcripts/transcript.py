"""Recorded conversations: how they are written, what is chance in them, and when two of them are the same.

A transcript is a file of JSON lines. Its first line says which scene it is, and what the server is set to. Each other
line says by `at` who does something next:

    client       `asks` for something over HTTP, `opens` a socket, `says` a command on it, or `leaves`
    server       `answers` a request, `writes` into the stream that it answers with, and `ends` that;
                 `says` something on a socket, or `closes` it
    network      `cuts` a connection
    model        has been `asked`, `says` deltas, `finishes`, or `breaks`
    elsewhere    another worker `starts` a run, and `writes` events of it
    world        what else happens to the server: see stage.py
    end          what is there when all is over: `holds`
    anybody else another member of the room, who `enters`, `says` something and `goes`

`on` is the connection, counted in the order in which the client makes them. What is chance is given stable names:
ids are `run_1`, `msg_2`, tags are 1001, 1002, all times are the same. So the server's lines are, to the byte, what it
might have written.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]

RECORDED = Path(__file__).parent / "recorded"

TIME = 1767225600.25
RETRY_MS = 1000
_TIMES = {"at", "created_at", "started_at", "ended_at", "expires_at", "edited_at"}
_FIRST_TAG = 1001
_ID = re.compile(r"\b(run|msg)_(?:[0-9a-f]{20}-)?[a-z2-7]{26}\b")
_STABLE_ID = re.compile(r"\b(?:run|msg)_\d+\b")
_POSITION = re.compile(r"(\d+)-([1-9]\d*)")

_KINDS = ("text", "reasoning", "refusal", "tool_call")
_PLACED = ("message", "edited", "deleted", "reacted", "run", "end")
_GROWTH = ("delta", "snapshot", "attempt")


def encoded(value: Any) -> str:
    """JSON as the server writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass
class Transcript:
    """One conversation. `lines` are all but the header and what `holds` in the end."""

    header: Line
    lines: list[Line]
    holds: Line

    @property
    def name(self) -> str:
        """Of its scene."""
        return str(self.header["scene"])

    @property
    def of_room(self) -> bool:
        """Whether it is of the rooms' protocol; else it is of the runs'."""
        return bool(self.header["of"] == "room")

    @classmethod
    def read(cls, path: Path) -> "Transcript":
        """From a file."""
        header, *lines, end = map(json.loads, path.read_text().rstrip("\n").split("\n"))
        assert end["at"] == "end", f"{path} has no end"
        return cls(header, lines, end["holds"])

    def write(self, path: Path) -> None:
        """To a file."""
        lines = [self.header, *self.lines, {"at": "end", "holds": self.holds}]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    def said(self, on: int, upto: int | None = None) -> list[Line]:
        """What the server says on a connection, as far as the line `upto`."""
        return [line for line in self.lines[:upto] if line["at"] == "server" and line["on"] == on]

    @property
    def refusals(self) -> list[str]:
        """The codes of the commands that are refused, in order, but of those that need no answer."""
        commands = {line["says"]["ref"]: line["says"]["type"] for line in self.lines if _is_command(line)}
        pushes = [line["says"] for line in self.lines if line["at"] == "server" and "says" in line]
        errors = [push for push in pushes if push["type"] == "error"]
        return [error["code"] for error in errors if commands[error["ref"]] not in ("typing", "read")]

    @property
    def connections(self) -> list[int]:
        """Their numbers."""
        return sorted({line["on"] for line in self.lines if line["at"] == "client"})


def _is_command(line: Line) -> bool:
    return line["at"] == "client" and "says" in line


def recorded(of: str = "") -> list[Path]:
    """All transcripts there are, or those of runs, or of rooms."""
    paths = sorted(RECORDED.glob(f"{of}*.jsonl"))
    assert paths, f"nothing in {RECORDED}"
    return paths


class Names:
    """What is chance in one conversation, and the names that it is given, in the order in which it comes."""

    def __init__(self) -> None:
        self._stable: dict[str, str] = {}
        self._real: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def stable(self, value: Any) -> Any:
        """A value with stable names in it."""
        return self._walk(value, self._stable_text, time=True)

    def real(self, value: Any) -> Any:
        """A value with what the stable names in it stand for."""
        return self._walk(value, self._real_text, time=False)

    def _walk(self, value: Any, change: Any, *, time: bool) -> Any:
        match value:
            case str():
                return change(value)
            case list():
                return [self._walk(each, change, time=time) for each in value]
            case dict():
                return {
                    change(key): TIME
                    if time and key in _TIMES and isinstance(each, float)
                    else self._walk(each, change, time=time)
                    for key, each in value.items()
                }
        return value

    def _stable_text(self, text: str) -> str:
        if match := _POSITION.fullmatch(text):
            return f"{match[1]}-{self._name(match[2], 'tag', '', _FIRST_TAG)}"
        return _ID.sub(lambda match: self._name(match[0], match[1], f"{match[1]}_"), text)

    def _name(self, real: str, kind: str, prefix: str, first: int = 1) -> str:
        if real not in self._stable:
            self._counts[kind] = self._counts.get(kind, first - 1) + 1
            stable = f"{prefix}{self._counts[kind]}"
            self._stable[real], self._real[stable] = stable, real
        return self._stable[real]

    def _real_text(self, text: str) -> str:
        if match := _POSITION.fullmatch(text):
            return f"{match[1]}-{self._real.get(match[2], match[2])}"
        return _STABLE_ID.sub(lambda match: self._real.get(match[0], match[0]), text)


# -- what those know in the end who were there

_RUN = ("status", "output", "parts", "finish_reason", "reason", "error", "usage", "position")
_MESSAGE = ("id", "seq", "by", "name", "text", "reply_to")
_ANSWER = ("run", "model", "asked", "status", "parts", "reason", "usage")


def knowledge(holds: Line) -> Line:
    """What a client must know, of what the server holds or of what the client itself says that it does."""
    if "messages" not in holds:
        return {name: holds.get(name) for name in _RUN}
    there = {name: holds[name] for name in ("position", "members")}
    marks = {member: seq for member, seq in holds["marks"].items() if member in holds["members"]}
    return {**there, "marks": marks, "messages": [_message(message) for message in holds["messages"]]}


def _message(message: Line) -> Line:
    known: Line = {name: message.get(name) for name in (*_MESSAGE, *(_ANSWER if message.get("run") else ()))}
    reactions = {reaction: sorted(people) for reaction, people in (message.get("reactions") or {}).items() if people}
    known |= {"deleted": bool(message.get("deleted")), "edited": bool(message.get("edited_at")), "reactions": reactions}
    return known


# -- server-sent events


def event_of(block: str) -> Line:
    """What the server writes, from one block of an event stream as it stands there."""
    written: Line = {}
    for line in block.split("\n"):
        field, _, value = line.partition(": ")
        match field:
            case "retry":
                written["retry"] = int(value)
            case "data":
                written["data"] = json.loads(value)
            case "":
                written["comment"] = value
            case _:
                written[field] = value
    assert block_of(written) == block, f"the server writes this otherwise: {block!r}"
    return written


def block_of(written: Line) -> str:
    """The block as it stands in the stream, without the empty line behind it."""
    return "\n".join(
        f"{'' if field == 'comment' else field}: {encoded(value) if field == 'data' else value}"
        for field, value in written.items()
    )


# -- when two conversations are the same


def channels(lines: Iterable[Line]) -> dict[str, list[Any]]:
    """What the server said on one connection, apart by what keeps its order, with neighbouring deltas merged.

    Between an answer to a command, the room's log, the growth of an answer and what passes, none waits for another.
    Who is there is told whenever it is found out, several at once or one by one: see `members`.
    """
    told: dict[str, list[Any]] = {}
    for line in lines:
        for channel, what in _told(line):
            merged = _merged(told.setdefault(channel, []), what)
            if merged is None:
                told[channel].append(what)
            else:
                told[channel][-1] = merged
    return told


def members(lines: Iterable[Line]) -> dict[str, str]:
    """The names of those who are in a room, by their ids, as far as was said on one connection."""
    there: dict[str, str] = {}
    for push in (line["says"] for line in lines if "says" in line):
        came = {"joined": push.get("members"), "presence": push.get("joined")}.get(push["type"]) or ()
        there |= {member["id"]: member["name"] for member in came}
        for member in push["left"] if push["type"] == "presence" else ():
            there.pop(member["id"], None)
    return there


def _told(line: Line) -> Iterator[tuple[str, Any]]:
    what = {key: value for key, value in line.items() if key not in ("at", "on")}
    push = what.get("says")
    if push is None:
        yield "stream", what
    elif push["type"] in _PLACED:
        yield "log", push
    elif push["type"] in _GROWTH:
        yield f"growth of {push['message']}", push
    elif push["type"] in ("typing", "read"):
        yield push["type"], push
    elif push["type"] != "presence":
        yield "answers", {name: value for name, value in push.items() if name != "members"}


def _merged(before: list[Any], what: Any) -> Any | None:
    """The two last as one, if they are neighbouring deltas of a kind."""
    if not before:
        return None
    one, other = (_delta(each) for each in (before[-1], what))
    if one is None or other is None or one["after"] == one["seq"] or one["seq"] != other["after"]:
        return None
    kind = _kind(one)
    if kind != _kind(other):
        return None
    if kind == "tool_call":
        call, more = one[kind], other[kind]
        if call["index"] != more["index"] or "id" in more:
            return None
        joined: Any = {**call, "arguments": call.get("arguments", "") + more.get("arguments", "")}
    else:
        joined = one[kind] + other[kind]
    merged = {**other, "after": one["after"], kind: joined}
    return merged if "type" in what else {**what, "writes": {**what["writes"], "data": merged}}


def covers(more: dict[str, list[Any]], less: dict[str, list[Any]]) -> bool:
    """Whether what was said there begins with all that was said here, of both the `channels`."""
    return all(_covers(more.get(channel, []), those) for channel, those in less.items())


def _covers(more: list[Any], less: list[Any]) -> bool:
    last = len(less) - 1
    return (
        len(more) > last and more[:last] == less[:last] and (more[last] == less[last] or _grown(more[last], less[last]))
    )


def _grown(more: Any, less: Any) -> bool:
    """Whether a delta is another one with what came after it."""
    one, other = _delta(more), _delta(less)
    if one is None or other is None or one["after"] != other["after"] or one["seq"] <= other["seq"]:
        return False
    kind = _kind(one)
    if kind != _kind(other):
        return False
    texts = [each[kind] if kind != "tool_call" else each[kind].get("arguments", "") for each in (one, other)]
    return bool(texts[0].startswith(texts[1]))


def _delta(what: Any) -> Any | None:
    if what.get("type") == "delta":
        return what
    written = what.get("writes", {})
    return written["data"] if written.get("event") == "delta" else None


def _kind(delta: Any) -> str:
    (kind,) = (kind for kind in _KINDS if kind in delta)
    return kind
