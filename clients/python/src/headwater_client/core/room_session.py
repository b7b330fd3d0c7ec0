"""One member's talk with a room over one connection after another: what to send, and what to make of what comes.

Commands are kept, in their order, until they are answered, and sent again after each loss. One is under way at a
time: the order of messages then holds whatever is refused for a while.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from headwater_client.core.decoding import json_of
from headwater_client.core.refusals import room_error
from headwater_client.core.room_view import RoomView, message_of
from headwater_client.core.trials import Rules, Trials
from headwater_client.core.trouble import Broken, Trouble
from headwater_client.errors import BadRequest, Forbidden, HeadwaterError, TooManyRetries, Unavailable
from headwater_client.rooms import HistoryPage, Message, Refused, RoomEvent
from headwater_client.runs import Notice, Part

FRAME_BYTES_MAX: Final = 65_536
"""What a room takes; a longer one would cost the connection."""
UNANSWERED_MAX: Final = 1_000
"""Commands that wait: far more than anybody types while a line is down."""

JOIN: Final = "join"
# A command that was refused for now is not sent at once, whatever chance says: a fresh one comes to a bucket in that.
SOON_S: Final = 0.05
# Close codes: docs/rooms.md has them all.
TOO_LARGE, PROTOCOL_ERROR, UNAUTHENTICATED, FORBIDDEN, TOO_FAST = 1009, 4400, 4401, 4403, 4429
# "Slower": what the server lets pass in a burst has come back by then.
SLOWER_S: Final = 5.0

# What a command that was sent again is told, if it had been carried out the first time.
_DONE_BEFORE: Final = {"delete": ("unknown_message",), "cancel": ("conflict", "unknown_run", "unknown_message")}


class Reply(Protocol):
    """Where an answer goes: a future of asyncio's, or of threads."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


class Stale(Exception):
    """The token is not good (any more): come back with a newer one."""


class Passing(Exception):
    """The connection is of no use, and the next one may be."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble.error))
        self.trouble = trouble


@dataclass(slots=True, eq=False, kw_only=True)
class _Command:
    kind: str
    ref: str
    frame: str
    reply: Reply
    trials: Trials
    message: Message | None
    was_lost: bool = False
    not_before: float = 0.0


class RoomSession:
    """`due` is what to send now, `heard` takes what came, `lost` says that the connection is gone.

    `view` is what one holds of the room, and `notices` what is to be told of the connection.
    """

    def __init__(self, rules: Rules, name: str | None, since: str | None, make_reply: Callable[[], Reply]) -> None:
        self.view = RoomView(since)
        self.is_in = False
        self.notices: list[Notice] = []
        self._rules = rules
        self._name = name
        self._make_reply = make_reply
        self._refs = 0
        self._loose: list[str] = []
        self._commands: deque[_Command] = deque()
        self._under_way = False
        self._read: str | None = None

    @property
    def unsaid(self) -> list[str]:
        """The client_ids of messages that the server has not taken yet."""
        messages = (command.message for command in self._commands)
        return [message.client_id for message in messages if message is not None and message.client_id is not None]

    # -- connections

    def connected(self) -> None:
        """A connection is open."""
        join = {"type": "join", "ref": JOIN, "name": self._name, "since": self.view.position or None}
        self._loose = [_frame({name: value for name, value in join.items() if value is not None})]

    def lost(self) -> None:
        """It is gone: what was under way is not."""
        if self._under_way:
            self._commands[0].was_lost = True
        self.is_in = self._under_way = False
        self._loose = []

    def closed(self, code: int, reason: str) -> Trouble:
        """How the server closed it: what may pass. Raises Stale, or the error where nobody should come back."""
        said = f"{code} {reason}".rstrip()
        if code == UNAUTHENTICATED:
            raise Stale
        if code == FORBIDDEN:
            raise Forbidden(f"This room is closed to you: {reason or 'the token does not open it'}", code="forbidden")
        if code in (TOO_LARGE, PROTOCOL_ERROR):
            raise BadRequest(f"The room closed the connection: {said}", code=str(code))
        error = Unavailable(f"The connection to the room was closed: {said}", code=str(code))
        return Trouble(error, at_least_s=SLOWER_S if code == TOO_FAST else 0.0)

    def over(self, error: HeadwaterError) -> None:
        """Nothing more will come: what waits for an answer gets this one."""
        self.lost()
        while self._commands:
            self._fail(self._commands.popleft(), error)

    # -- what is sent

    def due(self, now: float) -> tuple[list[str], float | None]:
        """The frames to send, and in how many seconds to ask again if nothing happens before."""
        frames, self._loose = self._loose, []
        if not self.is_in or not self._commands or self._under_way:
            return frames, None
        command = self._commands[0]
        if command.not_before > now:
            return frames, command.not_before - now
        self._under_way = True
        return [*frames, command.frame], None

    def say(self, at: float, client_id: str, text: str, **fields: Any) -> tuple[Reply, RoomEvent]:
        """Say something: where the id that it gets will be told, and the local copy."""
        you = self.view.you
        message = Message(
            id="",
            by=you.id if you is not None else "",
            name=you.name if you is not None else "",
            at=at,
            client_id=client_id,
            pending=True,
            reply_to=fields.get("reply_to"),
            mentions=tuple(fields.get("mentions") or ()),
        )
        message.content.set([Part(text=text)])
        reply = self.command("message", message, client_id=client_id, text=text, **fields)
        return reply, self.view.say(message)

    def command(self, kind: str, said: Message | None = None, /, **fields: Any) -> Reply:
        """Do something: where the answer will be told. Raises BadRequest where it cannot be sent."""
        if len(self._commands) >= UNANSWERED_MAX:
            raise BadRequest(
                f"{UNANSWERED_MAX} commands wait for an answer: wait until some have it.",
                code="too_many_unanswered",
                limit=UNANSWERED_MAX,
            )
        self._refs += 1
        ref = str(self._refs)
        frame = _frame(
            {"type": kind, "ref": ref, **{name: value for name, value in fields.items() if value is not None}}
        )
        size = len(frame.encode("utf-8", "surrogatepass"))
        if size > FRAME_BYTES_MAX:
            raise BadRequest(
                f"This is {size} bytes long, and a room takes {FRAME_BYTES_MAX}: say it in parts.",
                code="too_large",
                limit=FRAME_BYTES_MAX,
            )
        reply = self._make_reply()
        self._commands.append(
            _Command(kind=kind, ref=ref, frame=frame, reply=reply, trials=Trials(self._rules), message=said)
        )
        return reply

    def typing(self, on: bool) -> None:
        """Tell that one is writing, if one is in; it is not worth keeping."""
        if self.is_in:
            self._loose.append(_frame({"type": "typing", "on": on}))

    def read(self, position: str) -> None:
        """Tell how far one has read."""
        self._read = position
        if self.is_in:
            self._loose.append(_frame({"type": "read", "position": position}))

    # -- what is heard

    def heard(self, frame: str | bytes, now: float) -> list[RoomEvent]:
        """One frame. Raises Broken, Passing or Stale where the connection is of no use, or why one is not let in."""
        push = json_of(frame)
        try:
            return self._take(push, now)
        except (KeyError, TypeError, AttributeError) as error:
            raise Broken(f"this push is not whole: {push!r:.200}") from error

    def _take(self, push: dict[str, Any], now: float) -> list[RoomEvent]:
        kind, ref = push.get("type"), push.get("ref")
        if kind == "joined":
            events = self.view.joined(push, self.unsaid)
            self.is_in = True
            if self._read is not None:
                self.read(self._read)
            return events
        if kind == "error" and ref == JOIN:
            raise self._not_let_in(push)
        if kind in ("ok", "error"):
            return self._answered(push, now) if self._commands and ref == self._commands[0].ref else []
        return self.view.take(push)

    def _not_let_in(self, push: dict[str, Any]) -> Exception:
        if push["retryable"]:
            return Passing(_trouble(push))
        return Stale() if push["code"] == "unauthenticated" else room_error(push["code"], push["detail"])

    def _answered(self, push: dict[str, Any], now: float) -> list[RoomEvent]:
        command = self._commands[0]
        error = self._error_of(command, push, now) if push["type"] == "error" else None
        result = _result(command, push) if push["type"] == "ok" else None
        self._under_way = False
        if command.not_before > now:
            return []
        self._commands.popleft()
        if error is not None:
            return self._fail(command, error)
        if not command.reply.done():
            command.reply.set_result(result)
        return []

    def _error_of(self, command: _Command, push: dict[str, Any], now: float) -> HeadwaterError | None:
        """None where it is tried again in a while, or was done before."""
        if push["retryable"]:
            try:
                retrying = command.trials.plan(_trouble(push))
            except TooManyRetries as error:
                return error
            self.notices.append(retrying)
            command.not_before = now + max(retrying.wait_s, SOON_S)
            return None
        done_before = command.was_lost and push["code"] in _DONE_BEFORE.get(command.kind, ())
        return None if done_before else room_error(push["code"], push["detail"])

    def _fail(self, command: _Command, error: HeadwaterError) -> list[RoomEvent]:
        if not command.reply.done():
            command.reply.set_exception(error)
        if command.message is None or command.message.client_id is None:
            return []
        self.view.pending.pop(command.message.client_id, None)
        return [Refused(command.message, error)]


def _result(command: _Command, ok: dict[str, Any]) -> object:
    if command.message is not None:
        command.message.id = ok["message"]
        return command.message.id
    if command.kind == "history":
        return HistoryPage(tuple(map(message_of, ok.get("messages") or ())), bool(ok.get("has_more")))
    return None


def _trouble(push: dict[str, Any]) -> Trouble:
    return Trouble(Unavailable(push["detail"], code=push["code"]))


def _frame(command: dict[str, Any]) -> str:
    return json.dumps(command, ensure_ascii=False)
