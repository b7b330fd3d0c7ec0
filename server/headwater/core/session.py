"""A room's WebSocket, without its I/O: frames in, actions out.

A session waits until it knows who is there: it takes nothing but a token, and a wrong word ends it. Once it knows, a
wrong word is answered with an error; of the room it takes nothing before a `join`. Whoever holds the socket carries
the actions out, in order, and answers those that ask something, before the next frame.
"""

from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from headwater.core.access import Principal
from headwater.core.bucket import Bucket, Rate
from headwater.core.commands import (
    AnyCommand,
    Auth,
    Cancel,
    Delete,
    Edit,
    History,
    Join,
    Message,
    Ping,
    React,
    ReadTo,
    Typing,
    Unreadable,
    read_command,
)
from headwater.core.members import member_of
from headwater.core.position import Position, parse_position
from headwater.core.pushes import Error, Member, Ok, Push

# Of one frame, as UTF-8: the longest text, with 12 bytes for each character, as JSON without Unicode writes an emoji.
FRAME_BYTES: Final = 256 * 1024
# In a row. A client with a slip shows it at once, and ten errors are enough to find it by.
MALFORMED_MAX: Final = 10
# What a close frame has room for: 125 bytes, two of them the code's (RFC 6455, 5.5).
REASON_BYTES: Final = 123

GOING_AWAY: Final = 1001
TOO_LARGE: Final = 1009
CRASHED: Final = 1011
PROTOCOL_ERROR: Final = 4400
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
LOST: Final = 4409
TOO_FAST: Final = 4429
TOO_SLOW: Final = 4430

Performable = Message | Edit | Delete | React | Typing | ReadTo | Cancel | History
"""What the room does for a member."""


# -- actions


class Send(Struct, frozen=True):
    """Send this."""

    push: Push


class Authenticate(Struct, frozen=True):
    """Find out whose token this is: `authenticated` or `refused` takes the answer."""

    token: str

    def __repr__(self) -> str:
        return "Authenticate()"


class Enter(Struct, frozen=True):
    """Let the member in, and send the `joined` with this `ref`: `entered` or `not_entered` takes the answer."""

    since: Position | None
    member: Member
    ref: str | None


class Perform(Struct, frozen=True):
    """Do this in the room: `performed` or `failed` takes the answer."""

    command: Performable


class Close(Struct, frozen=True):
    """Close the socket."""

    code: int
    reason: str


Action = Send | Authenticate | Enter | Perform | Close
_Asking = TypeVar("_Asking", Authenticate, Enter, Perform)


class Refusal(Struct, frozen=True):
    """Why something was not done: what an error says of itself."""

    code: str
    detail: str
    close_code: int
    retryable: bool = False


class Session:
    """One socket of a room.

    `principal` is who is there, None while nobody has said so; `member` is who that is in the room, None before a
    join. Once closed it takes whatever still comes, and does nothing; the first reason to close stands.
    """

    def __init__(self, room: str, principal: Principal | None = None, *, rate: Rate) -> None:
        self.room: Final = room
        self.principal = principal
        self.member: Member | None = None
        self._asked: tuple[Authenticate | Enter | Perform, AnyCommand] | None = None
        """What waits for its answer, and the command that it is done for."""
        self._bucket = Bucket(rate)
        self._malformed = 0
        self._too_fast = 0
        self._close: Close | None = None

    def __repr__(self) -> str:
        who = "nobody yet" if self.principal is None else self.principal.id
        return f"<Session {self.room!r} {who}{' inside' if self.inside else ''}{' closed' if self.closed else ''}>"

    @property
    def closed(self) -> bool:
        """Whether it has said Close."""
        return self._close is not None

    @property
    def inside(self) -> bool:
        """Whether it has joined."""
        return self.member is not None

    # -- what comes in

    def receive(self, frame: str | bytes, now: float) -> list[Action]:
        """A frame came, at `now` in monotonic seconds: what is to be done."""
        if self.closed:
            return []
        assert self._asked is None, "one frame after the other"
        if _size(frame) > FRAME_BYTES:
            return [self._end(TOO_LARGE, f"a frame has at most {FRAME_BYTES} bytes")]
        command = read_command(frame)
        bears_token = isinstance(command, Auth | Join) and command.token is not None
        if self.principal is None and not bears_token:
            return [self._end(UNAUTHENTICATED, "the first frame must be an auth, or a join, with a token")]
        if not self._bucket.take(now):
            return self._flooded(command.ref)
        self._too_fast = 0
        if isinstance(command, Unreadable):
            return self._unreadable(command)
        self._malformed = 0
        if isinstance(command, Auth | Join) and command.token is not None:
            return self._ask(Authenticate(command.token), command)
        return self._carry_out(command)

    # -- answers

    def authenticated(self, principal: Principal) -> list[Action]:
        """The token is this principal's."""
        if self.closed:
            return []
        _, command = self._answered(Authenticate)
        if self.principal is not None and self.principal.id != principal.id:
            return self._not_taken(command, _forbidden("The token is another's: open another socket for it."))
        if principal.role_in(self.room) is None:
            return self._not_taken(command, _forbidden("The token does not let its bearer into this room."))
        self.principal = principal
        return self._carry_out(command)

    def refused(self, refusal: Refusal) -> list[Action]:
        """The token is nobody's, or whose it is cannot be found out now."""
        if self.closed:
            return []
        return self._not_taken(self._answered(Authenticate)[1], refusal)

    def entered(self) -> None:
        """The member is in."""
        if not self.closed:
            self.member = self._answered(Enter)[0].member

    def not_entered(self, refusal: Refusal) -> list[Action]:
        """The room did not let the member in."""
        if self.closed:
            return []
        return _failed(self._answered(Enter)[1], refusal)

    def performed(self, ok: Ok) -> list[Action]:
        """It was done. `ok` needs no `ref`."""
        if self.closed:
            return []
        _, command = self._answered(Perform)
        if command.ref is None and isinstance(command, Typing | ReadTo):
            return []  # said all the time, and nobody waits for the answer
        return [Send(replace(ok, ref=command.ref))]

    def failed(self, refusal: Refusal) -> list[Action]:
        """It was not done."""
        if self.closed:
            return []
        return _failed(self._answered(Perform)[1], refusal)

    # -- what ends it

    def late(self) -> Close:
        """The time for the first frame is over."""
        return self._end(UNAUTHENTICATED, "no token came in time: send an auth first")

    def over(self) -> Close:
        """What the principal rests on is not valid any more."""
        return self._end(UNAUTHENTICATED, "the credential has expired or was revoked: come back with a new one")

    def too_slow(self) -> Close:
        """The client has not read what waits for it."""
        return self._end(TOO_SLOW, "too much waits for you to read it: come back, and join with since")

    def lost(self) -> Close:
        """What the client was told is no longer the room's history."""
        return self._end(LOST, "what you know of the room is not its history any more: come back, and join")

    def going_away(self) -> Close:
        """The server stops."""
        return self._end(GOING_AWAY, "the server is going away: come back, and join with since")

    def crashed(self) -> Close:
        """A fault of ours."""
        return self._end(CRASHED, "something went wrong here that is not your fault")

    # --

    def _carry_out(self, command: AnyCommand) -> list[Action]:
        """A command of somebody who is known."""
        assert self.principal is not None
        refusal = self._objection(command, self.principal)
        if refusal is not None:
            return _failed(command, refusal)
        match command:
            case Auth() | Ping():
                return [Send(Ok(ref=command.ref))]
            case Join():
                since = None if command.since is None else parse_position(command.since)
                return self._ask(Enter(since, member_of(self.principal, command.name), command.ref), command)
            case _:
                return self._ask(Perform(command), command)

    def _objection(self, command: AnyCommand, principal: Principal) -> Refusal | None:
        """Why not, as far as can be told from here."""
        if isinstance(command, Auth | Ping):
            return None
        if isinstance(command, Join) and self.inside:
            return _wrong("already_joined", "This socket has joined the room already.")
        if not isinstance(command, Join) and not self.inside:
            return _wrong("not_joined", "Send a join first.")
        role = principal.role_in(self.room)
        if role is None or (role == "read" and not isinstance(command, Join | History | ReadTo)):
            return _forbidden("Your role in this room lets you read only.")
        if isinstance(command, Cancel) and (command.run is None) == (command.client_id is None):
            return _wrong("invalid", "The frame: a cancel has either a run or a client_id.")
        return _no_position(command)

    def _ask(self, action: Authenticate | Enter | Perform, command: AnyCommand) -> list[Action]:
        self._asked = (action, command)
        return [action]

    def _answered(self, kind: type[_Asking]) -> tuple[_Asking, AnyCommand]:
        """What was asked, and for which command."""
        assert self._asked is not None, "nothing was asked"
        action, command = self._asked
        assert isinstance(action, kind), f"what was asked is {action!r}"
        self._asked = None
        return action, command

    def _not_taken(self, command: AnyCommand, refusal: Refusal) -> list[Action]:
        """Nothing changes for one who is there already."""
        if self.principal is None:
            return [self._end(refusal.close_code, refusal.detail)]
        return _failed(command, refusal)

    def _flooded(self, ref: str | None) -> list[Action]:
        rate = self._bucket.rate
        self._too_fast += 1
        if self._too_fast < rate.burst:
            detail = f"More than {rate.per_s:g} frames a second: wait a moment, and send this one again."
            return [Send(Error(ref=ref, code="too_fast", detail=detail, retryable=True))]
        return [self._end(TOO_FAST, f"more than {rate.per_s:g} frames a second, whatever was said")]

    def _unreadable(self, wrong: Unreadable) -> list[Action]:
        self._malformed += 1
        if self._malformed < MALFORMED_MAX:
            return [Send(Error(ref=wrong.ref, code=wrong.code, detail=wrong.detail, retryable=False))]
        return [self._end(PROTOCOL_ERROR, f"{MALFORMED_MAX} frames in a row were no commands: {wrong.detail}")]

    def _end(self, code: int, reason: str) -> Close:
        if self._close is None:
            self._close = Close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
        return self._close


def _failed(command: AnyCommand, refusal: Refusal) -> list[Action]:
    error = Error(ref=command.ref, code=refusal.code, detail=refusal.detail, retryable=refusal.retryable)
    return [Send(error)]


def _wrong(code: str, detail: str) -> Refusal:
    return Refusal(code, detail, PROTOCOL_ERROR)


def _forbidden(detail: str) -> Refusal:
    return Refusal("forbidden", detail, FORBIDDEN)


def _no_position(command: AnyCommand) -> Refusal | None:
    """Where a position should be and is none."""
    field, text = "since", command.since if isinstance(command, Join) else None
    if isinstance(command, ReadTo):
        field, text = "position", command.position
    try:
        if text is not None:
            parse_position(text)
    except ValueError as error:
        return _wrong("malformed_position", f"{field}: {error}.")
    return None


def _size(frame: str | bytes) -> int:
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode(errors="surrogatepass"))
