"""A room and its growing answers, over a WebSocket and over server-sent events, as docs/protocol.md describes them.

The same pushes go over both: over a socket each is a frame, as an event its `type` is the event's name, and what has a
position has it as id.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from msgspec.structs import asdict

from headwater.core import pushes
from headwater.core.content import Part
from headwater.core.events import Attempt, End, Entry, Reasoning, Refusal, Span, Status, Text
from headwater.core.frames import frame_text
from headwater.core.position import Position
from headwater.core.pushes import Push, encode_push
from headwater.core.room import Deleted, Edited, Reacted, RoomEvent, RunEnded, RunStarted, Said, answer_of, room_events
from headwater.core.sse import encode, encode_comment, encode_retry
from headwater.formats.base import Format, Frame


class RoomFrame(Frame, frozen=True, gc=False):
    """A frame after which answers begin or are over: the ids of their runs."""

    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()


_PUSHES: Final[dict[type[RoomEvent], type[Push]]] = {
    Edited: pushes.Edited,
    Deleted: pushes.Deleted,
    Reacted: pushes.Reacted,
    RunStarted: pushes.Run,
    RunEnded: pushes.End,
}
"""Their fields have the same names."""


def push_of(event: RoomEvent, position: Position) -> Push:
    """What a client is told of an event of the room's log."""
    fields = asdict(event) | {"seq": position.seq, "position": str(position)}
    if isinstance(event, Said):
        return pushes.Message(id=fields.pop("message"), **fields)
    return _PUSHES[type(event)](**fields)


def pushes_of(entries: Sequence[Entry]) -> list[tuple[Push, Position]]:
    """Each event of these entries as a push, with its position."""
    return [
        (push_of(event, position), position)
        for entry in entries
        for seq, event in enumerate(room_events(entry), entry.after.seq + 1)
        for position in [Position(seq, entry.tag)]
    ]


class Pushing(Format):
    """A form of pushes."""

    @classmethod
    @abstractmethod
    def push(cls, push: Push, position: Position | None = None) -> bytes:
        """One push, with its position, where it has one."""

    def run(self, status: Status, *, first: bool) -> bytes:
        return b""


class RoomForm(Pushing):
    """The room's log."""

    answers: "ClassVar[type[AnswerForm]]"
    """The form that its answers grow in."""

    def encode(self, entries: Sequence[Entry]) -> Frame:
        data = b"".join([self.push(push, position) for push, position in pushes_of(entries)])
        events = [event for entry in entries for event in room_events(entry)]
        ended = tuple(event.run for event in events if isinstance(event, RunEnded))
        started = tuple(event.run for event in events if isinstance(event, RunStarted) and event.run not in ended)
        return RoomFrame(data, started=started, ended=ended) if started or ended else Frame(data)

    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        raise NotImplementedError("a room has pages, not snapshots")

    def spans(self, spans: Sequence[Span]) -> Frame:
        raise NotImplementedError("a room's events are not merged")


class AnswerForm(Pushing):
    """One answer's run, as it grows. Its end is the room's to tell."""

    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        message = answer_of(self.head.id)
        return Frame(self.push(pushes.Snapshot(message=message, seq=position.seq, parts=list(parts))))

    def spans(self, spans: Sequence[Span]) -> Frame:
        message = answer_of(self.head.id)
        return Frame(b"".join([self.push(_growth(message, span)) for span in spans if type(span.event) is not End]))


def _growth(message: str, span: Span) -> Push:
    event, after, seq = span.event, span.after, span.seq
    assert not isinstance(event, End)
    if isinstance(event, Text):
        return pushes.Delta(message=message, after=after, seq=seq, text=event.text)
    if isinstance(event, Reasoning):
        return pushes.Delta(message=message, after=after, seq=seq, reasoning=event.text)
    if isinstance(event, Refusal):
        return pushes.Delta(message=message, after=after, seq=seq, refusal=event.text)
    if isinstance(event, Attempt):
        return pushes.Attempt(
            message=message,
            after=after,
            seq=seq,
            number=event.number,
            reason=event.reason,
            how=event.how,
            model=event.model,
        )
    fields = {name: getattr(event, name) for name in ("index", "id", "name", "arguments")}
    call = {name: value for name, value in fields.items() if value is not None}
    return pushes.Delta(message=message, after=after, seq=seq, tool_call=call)


class _OverSocket(Pushing):
    media_type = ""
    keep_alive = b""  # pings are the protocol's own

    @classmethod
    def push(cls, push: Push, position: Position | None = None) -> bytes:
        return frame_text(encode_push(push))

    def opening(self, retry_ms: int) -> bytes:
        return b""


class _OverEvents(Pushing):
    media_type = "text/event-stream"
    keep_alive = encode_comment()

    @classmethod
    def push(cls, push: Push, position: Position | None = None) -> bytes:
        name = push.__struct_config__.tag
        assert isinstance(name, str)
        return encode(encode_push(push), event=name, id=None if position is None else str(position))

    def opening(self, retry_ms: int) -> bytes:
        return encode_retry(retry_ms)


class AnswerOverSocket(_OverSocket, AnswerForm):
    """A growing answer, in frames."""


class AnswerOverEvents(_OverEvents, AnswerForm):
    """A growing answer, as server-sent events without ids."""


class RoomOverSocket(_OverSocket, RoomForm):
    """The room's log, in frames."""

    answers = AnswerOverSocket


class RoomOverEvents(_OverEvents, RoomForm):
    """The room's log, as server-sent events."""

    answers = AnswerOverEvents
