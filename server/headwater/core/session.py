"""A room's WebSocket, without its I/O: frames in, actions out.

A session waits until it knows who is there: it takes nothing but a token, and a wrong word ends it. Once open, a wrong
word is answered with an error. Whoever holds the socket carries the actions out, in order, before the next frame.
"""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from headwater.core.access import Principal

# Of one frame, as UTF-8. A page of pasted text has some 4 KB, and a token at most 8; longer input has `POST /v1/runs`.
FRAME_BYTES: Final = 64 * 1024
# In a row. A client with a slip shows it at once, and ten errors are enough to find it by.
MALFORMED_MAX: Final = 10
# What a close frame has room for: 125 bytes, two of them the code's (RFC 6455, 5.5).
REASON_BYTES: Final = 123
# Of an error's text: names of fields come from the frame, and may be as long as it.
DETAIL_CHARS: Final = 300

PROTOCOL_ERROR: Final = 4400
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
TOO_LARGE: Final = 1009


# -- commands

# A client counts, or draws a UUID; it comes back with the answer.
Ref = Annotated[str, Meta(max_length=64)]
# Its own bound, which is lower, is the token's reader's.
Token = Annotated[str, Meta(min_length=1)]


class Auth(Struct, tag="auth", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Say who is there, or go on for longer with a newer token of the same principal."""

    token: Token
    ref: Ref | None = None

    def __repr__(self) -> str:
        return f"Auth(ref={self.ref!r})"


class Join(Struct, tag="join", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Enter the room; `token` is an `auth` on the way."""

    since: str | None = None
    name: str | None = None
    token: Token | None = None
    ref: Ref | None = None

    def __repr__(self) -> str:
        return f"Join(since={self.since!r}, name={self.name!r}, ref={self.ref!r})"


class Ping(Struct, tag="ping", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ask for a sign of life. Browsers cannot send the protocol's own."""

    ref: Ref | None = None


class NotYet(Struct, frozen=True):
    """A command that this version knows by name only."""

    type: str
    ref: Ref | None = None


Command = Auth | Join | Ping | NotYet

_KNOWN: Final = ("auth", "join", "ping")
_LATER: Final = ("message", "edit", "delete", "react", "typing", "read", "cancel", "history")

COMMANDS: Final = _KNOWN + _LATER
"""The types of all commands."""


# -- pushes


class Ok(Struct, tag="ok", frozen=True, omit_defaults=True):
    """The command was carried out."""

    ref: str | None = None


class Error(Struct, tag="error", frozen=True, omit_defaults=True, kw_only=True):
    """The command changed nothing, and why; without `ref` where none could be read."""

    ref: str | None = None
    code: str
    detail: str
    retryable: bool


Push = Ok | Error


# -- actions


class Send(Struct, frozen=True):
    """Send this."""

    push: Push


class Authenticate(Struct, frozen=True):
    """Find out whose token this is: `authenticated` or `refused` takes the answer."""

    token: str

    def __repr__(self) -> str:
        return "Authenticate()"


class Close(Struct, frozen=True):
    """Close the socket."""

    code: int
    reason: str


Action = Send | Authenticate | Close


class Refusal(Struct, frozen=True):
    """Why a token was not taken: what an error says of itself."""

    code: str
    detail: str
    close_code: int
    retryable: bool = False


_decoder: msgspec.json.Decoder[Auth | Join | Ping] = msgspec.json.Decoder(Auth | Join | Ping)
_encoder = msgspec.json.Encoder()
_AT_PATH = re.compile(r" - at `\$\.?(.*?)`$")


class _Head(Struct):
    """What is left of a command that is no good: enough to answer it."""

    type: str
    ref: Ref | None = None


_head_decoder = msgspec.json.Decoder(_Head)


def encode_push(push: Push) -> str:
    """The push as the text of a frame."""
    return _encoder.encode(push).decode()


def read_command(frame: str | bytes) -> Command | Error:
    """The command in a frame, or what is wrong with it."""
    if isinstance(frame, bytes):
        return _error("bad_request", "Frames are text, with one JSON object each; this one was binary.")
    try:
        return _decode(frame.encode())
    except msgspec.ValidationError as error:
        return _error("invalid", _about_field(str(error)))
    except (msgspec.DecodeError, UnicodeError):
        return _error("malformed_json", "The frame is not JSON: send one JSON object with a type.")
    except RecursionError:
        return _error("invalid", "The frame is nested too deeply.")


def _decode(frame: bytes) -> Command | Error:
    """The command, or why it is none with the `ref` that it came with."""
    try:
        return _decoder.decode(frame)
    except msgspec.ValidationError as error:
        message = str(error)
    head = _head_decoder.decode(frame)  # which reads what the first error left unread
    if head.type in _LATER:
        return NotYet(head.type, head.ref)
    if head.type not in _KNOWN:
        return _error("invalid", f"type: this is no command. Known are {', '.join(_KNOWN)}.", head.ref)
    return _error("invalid", _about_field(message), head.ref)


def _about_field(message: str) -> str:
    at = _AT_PATH.search(message)
    reason = message[: at.start()] if at else message
    return f"{at[1] if at and at[1] else 'The frame'}: {reason[:DETAIL_CHARS]}."


def _error(code: str, detail: str, ref: str | None = None, *, retryable: bool = False) -> Error:
    return Error(ref=ref, code=code, detail=detail, retryable=retryable)


class Session:
    """One socket of a room. `principal` is who is there; None while nobody has said so."""

    def __init__(self, room: str, principal: Principal | None = None) -> None:
        self.room = room
        self.principal = principal
        self.closed = False
        self._asking: Auth | Join | None = None
        """The command whose token is being looked at."""
        self._malformed = 0

    def __repr__(self) -> str:
        who = "nobody yet" if self.principal is None else self.principal.id
        return f"<Session {self.room!r} {who}{' closed' if self.closed else ''}>"

    # -- what comes in

    def receive(self, frame: str | bytes) -> list[Action]:
        """A frame came: what is to be done."""
        assert not self.closed and self._asking is None, "one frame after the other"
        if _size(frame) > FRAME_BYTES:
            return self._close(TOO_LARGE, f"a frame has at most {FRAME_BYTES} bytes")
        command = read_command(frame)
        if isinstance(command, Auth | Join) and command.token is not None:
            self._malformed = 0
            self._asking = command
            return [Authenticate(command.token)]
        if self.principal is None:
            return self._close(UNAUTHENTICATED, "the first frame must be an auth, or a join, with a token")
        if isinstance(command, Error):
            return self._unreadable(command)
        self._malformed = 0
        return self._carry_out(command)

    def authenticated(self, principal: Principal) -> list[Action]:
        """The token is this principal's."""
        command = self._answered()
        before = self.principal
        if before is not None and before.id != principal.id:
            return self._not_taken(command, _forbidden("The token is another's: open another socket for it."))
        if principal.role_in(self.room) is None:
            return self._not_taken(command, _forbidden("The token does not let its bearer into this room."))
        self.principal = principal
        return [Send(Ok(command.ref))] if isinstance(command, Auth) else self._carry_out(command)

    def refused(self, refusal: Refusal) -> list[Action]:
        """The token is nobody's, or whose it is cannot be found out now."""
        return self._not_taken(self._answered(), refusal)

    def late(self) -> Close:
        """The time for the first frame is over."""
        return self._end(UNAUTHENTICATED, "no token came in time: send an auth first")

    def over(self) -> Close:
        """What the principal rests on is not valid any more."""
        return self._end(UNAUTHENTICATED, "the credential has expired or was revoked: come back with a new one")

    # --

    def _carry_out(self, command: Command) -> list[Action]:
        if isinstance(command, Ping):
            return [Send(Ok(command.ref))]
        name = command.type if isinstance(command, NotYet) else "join"
        return [Send(_error("not_found", f"This version has no {name} yet.", command.ref))]

    def _answered(self) -> Auth | Join:
        command, self._asking = self._asking, None
        assert command is not None, "no token was asked about"
        return command

    def _not_taken(self, command: Auth | Join, refusal: Refusal) -> list[Action]:
        """Nothing changes for one who is there already."""
        if self.principal is None:
            return self._close(refusal.close_code, refusal.detail)
        return [Send(_error(refusal.code, refusal.detail, command.ref, retryable=refusal.retryable))]

    def _unreadable(self, error: Error) -> list[Action]:
        self._malformed += 1
        if self._malformed < MALFORMED_MAX:
            return [Send(error)]
        return self._close(PROTOCOL_ERROR, f"{MALFORMED_MAX} frames in a row were no commands: {error.detail}")

    def _close(self, code: int, reason: str) -> list[Action]:
        return [self._end(code, reason)]

    def _end(self, code: int, reason: str) -> Close:
        self.closed = True
        return Close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))


def _forbidden(detail: str) -> Refusal:
    return Refusal("forbidden", detail, FORBIDDEN)


def _size(frame: str | bytes) -> int:
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode(errors="surrogatepass"))
