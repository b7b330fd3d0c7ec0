"""The rooms' WebSocket: who may come in, and the carrying out of what a session decides."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace
from starlette.websockets import WebSocket, WebSocketDisconnect

from headwater.access import Seat, Watch
from headwater.core.access import ANONYMOUS, Principal
from headwater.core.bucket import Rate
from headwater.core.frames import frame_text, messages_in
from headwater.core.pushes import Push, encode_push
from headwater.core.session import Action, Authenticate, Close, Enter, Perform, Performable, Refusal, Send, Session
from headwater.entropy import full_jitter
from headwater.errors import Forbidden, HeadwaterError, StoreUnavailable
from headwater.formats.base import Frame
from headwater.formats.room import RoomOverSocket
from headwater.hub import RoomCursor
from headwater.rooms import Visit
from headwater.state import AppState
from headwater.tasks import say_why_it_failed
from headwater.web.auth import address_of, socket_principal, unless_guessed, use_up_ticket
from headwater.web.connection import EXTENSION
from headwater.web.origins import check_origin
from headwater.web.performing import perform
from headwater.web.problems import problem
from headwater.web.socket_connection import SocketConnection

log = logging.getLogger("headwater.web")

SUBPROTOCOL = "headwater.v1"
_AGAIN = Frame(b"")
"""Nothing could be read for now."""


async def room_socket(socket: WebSocket[AppState]) -> None:
    """`WS /v1/rooms/{room}/ws`: a room's commands and events, one JSON object in each frame."""
    room: str = socket.path_params["room"]
    try:
        check_origin(socket)
        socket.state["hub"].farewell.check_enters()
        principal = await socket_principal(socket)
        if principal is not None and principal.role_in(room) is None:
            raise Forbidden("The credential does not let its bearer into this room.")
        seat = await _sit_down(socket, principal)
    except HeadwaterError as error:
        await deny(socket, error)
        return
    config = socket.state["config"]
    rate = Rate(config.room_commands_per_s, config.room_commands_burst)
    line = RoomLine(socket, Session(room, principal, rate=rate), seat)
    try:
        # Never the subprotocol that bears a token: proxies log what is answered.
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
        await line.hold()
    except WebSocketDisconnect:
        pass  # it was gone before it was let in
    finally:
        line.leave()


async def _sit_down(socket: WebSocket[AppState], principal: Principal | None) -> Seat:
    """The newcomer's place. A ticket is used up last: who is refused for now comes back with it."""
    # One who has not said who they are takes a place of their address alone.
    seat = await socket.state["quotas"].sit_down(principal or ANONYMOUS, address_of(socket))
    try:
        await use_up_ticket(socket)
    except BaseException:
        seat.close()
        raise
    return seat


async def deny(socket: WebSocket[AppState], error: HeadwaterError) -> None:
    """Refuse the handshake with the problem document; a server that cannot send one says 403 for everything.

    One that is gone already hears nothing of it.
    """
    with suppress(WebSocketDisconnect):
        if "websocket.http.response" in socket.scope.get("extensions", {}):
            await socket.send_denial_response(problem(error))
        else:
            await socket.close(error.close_code, error.code)


class RoomLine:
    """An accepted socket with its session: a task that reads a frame once all before it are answered, and, once it has
    joined, one that writes what happens in the room.

    Nothing piles up here: while the one does not read, the server stops reading from the client; what the other has
    not written yet lies in logs.
    """

    def __init__(self, socket: WebSocket[AppState], session: Session, seat: Seat) -> None:
        self._socket = socket
        self._session = session
        self._seat = seat
        self._state = socket.state
        self._watch: Watch | None = None
        self._visit: Visit | None = None
        self._telling: asyncio.Task[None] | None = None
        self._end: Close | None = None
        """Why it is closed, where something else than what the client says is the reason."""
        self._connection: SocketConnection | None = socket.scope.get("extensions", {}).get(EXTENSION)
        self._writing = asyncio.Lock()

    async def hold(self) -> None:
        """Return once it is closed, by whichever side."""
        try:
            close = await self._talk()
        except WebSocketDisconnect:
            return
        except Exception:
            log.exception("a room's socket failed")
            close = self._session.crashed()
        finally:
            # Before the close is sent, which may take a while: there is no talk left to stop.
            if self._watch is not None:
                self._watch.close()
            await self._leave_room()
        await self._close(close)

    def leave(self) -> None:
        """Give up what it holds, of its principal's and of the machine's."""
        self._seat.close()
        if self._connection is not None:
            self._connection.see_it_off()

    async def _leave_room(self) -> None:
        if self._visit is not None:
            self._visit.close()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    # -- the conversation

    async def _talk(self) -> Close:
        """Until there is a reason to close. Raises WebSocketDisconnect when the client has gone."""
        within_s = self._state["config"].socket_auth_s if self._session.principal is None else None
        try:
            async with asyncio.timeout(within_s) as self._limit:
                self._watch_over(self._session.principal)
                while True:
                    reason = await self._carry_out(self._session.receive(await self._next_frame(), time.monotonic()))
                    if reason is not None:
                        return reason
        except TimeoutError:
            if not self._limit.expired():
                raise
        return self._end or self._session.late()

    async def _next_frame(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        if self._session.principal is None and self._end is None:
            self._limit.reschedule(None)  # it came in time; what it asks for has limits of its own
        frame: str | bytes | None = message.get("text")
        return frame if frame is not None else message["bytes"]

    async def _carry_out(self, actions: Sequence[Action]) -> Close | None:
        """Do these, and what follows from them, in order."""
        left = deque(actions)
        while left:
            match left.popleft():
                case Close() as close:
                    return close
                case Send(push):
                    await self._send(push)
                case Authenticate(token):
                    left.extend(await self._authenticate(token))
                case Enter() as enter:
                    left.extend(await self._enter(enter))
                case Perform(command):
                    left.extend(await self._perform(command))
        return None

    async def _enter(self, enter: Enter) -> Sequence[Action]:
        principal, name = self._session.principal, self._session.room
        assert principal is not None
        try:
            visit = await self._state["rooms"].enter(principal, name, enter.member, enter.since, RoomOverSocket)
        except HeadwaterError as error:
            return self._session.not_entered(_refusal(error))
        self._visit = visit
        visit.cursor.line = self._connection
        await self._send(replace(visit.joined, ref=enter.ref))
        self._session.entered()
        self._telling = asyncio.create_task(self._tell(visit.cursor))
        self._telling.add_done_callback(say_why_it_failed)
        return ()

    async def _perform(self, command: Performable) -> Sequence[Action]:
        principal, member = self._session.principal, self._session.member
        assert principal is not None and member is not None
        try:
            ok = await perform(self._state, principal, self._session.room, member, command)
        except HeadwaterError as error:
            return self._session.failed(_refusal(error))
        return self._session.performed(ok)

    # -- what happens in the room

    async def _tell(self, cursor: RoomCursor) -> None:
        """Write what happens, until the reader is let go."""
        tries = 0
        try:
            while (frame := await self._next(cursor, tries)) is not None:
                tries = tries + 1 if frame is _AGAIN else 0
                if frame is not _AGAIN:
                    cursor.writing()
                    await self._write(frame.data, cursor.writing)
                    cursor.written()
        except HeadwaterError as error:
            log.warning("%r ends early: %s", cursor, error.detail)
            self._stop(self._session.crashed())
            return
        except WebSocketDisconnect:
            return  # whoever reads from it hears of that, too
        except Exception:
            log.exception("%r failed", cursor)
            self._stop(self._session.crashed())  # else it would stay, and hear nothing more
            return
        match cursor.gone_because:
            case "draining":
                self._stop(self._session.going_away())
            case "slow":
                self._stop(self._session.too_slow())
            case _:
                self._stop(self._session.lost())

    async def _next(self, cursor: RoomCursor, tries: int) -> Frame | None:
        try:
            return await cursor.next()
        except StoreUnavailable:
            await asyncio.sleep(full_jitter(tries + 1, base_s=0.1, cap_s=2.0))  # it passes, and the place is kept
            return _AGAIN

    async def _send(self, push: Push) -> None:
        """Raises WebSocketDisconnect where the client takes nothing any more."""
        loop, within_s = asyncio.get_running_loop(), self._state["config"].slow_reader_s
        try:
            async with asyncio.timeout(within_s) as limit:
                await self._write(frame_text(encode_push(push)), lambda: limit.reschedule(loop.time() + within_s))
        except TimeoutError:
            raise WebSocketDisconnect(1006) from None  # no close frame would reach it either

    async def _write(self, data: bytes, on_taken: Callable[[], None]) -> None:
        """Write messages, and tell of each piece that the client has room for: a slow one takes a long one, too."""
        async with self._writing:
            if self._connection is not None:
                await self._connection.write_all(data, on_taken)
            else:
                for message in messages_in(data):
                    await self._socket.send_text(message)
                    on_taken()

    async def _close(self, close: Close) -> None:
        try:
            async with asyncio.timeout(self._state["config"].slow_reader_s):
                await self._socket.close(close.code, close.reason)
        except (TimeoutError, WebSocketDisconnect):
            pass  # it is dropped
        except RuntimeError:
            log.debug("%r was closed at the server's exit", self)  # by uvicorn, in the same moment

    def _stop(self, close: Close) -> None:
        """Stop whatever is waited for, and close."""
        if self._end is None:
            self._end = close
            self._limit.reschedule(asyncio.get_running_loop().time())

    # -- who is there

    async def _authenticate(self, token: str) -> Sequence[Action]:
        try:
            principal = await self._principal(token)
            newcomer = self._session.principal is None
            seat = await self._state["quotas"].sit_down(principal, address_of(self._socket)) if newcomer else self._seat
        except HeadwaterError as error:
            return self._session.refused(_refusal(error))
        if seat is not self._seat:
            self._seat.close()
            self._seat = seat
        actions = self._session.authenticated(principal)
        if self._session.principal is principal:
            self._watch_over(principal)
        return actions

    async def _principal(self, token: str) -> Principal:
        """Whose token this is, counted like a request. Raises Unauthenticated, TooMany, StoreUnavailable."""
        access = self._state["access"]
        if not access.asks:
            return ANONYMOUS  # whatever was sent: many clients cannot be without a key
        principal = await unless_guessed(self._socket, access.principal(token))
        await self._state["quotas"].request(principal, address_of(self._socket))
        return principal

    def _watch_over(self, principal: Principal | None) -> None:
        if principal is None:
            return
        if self._watch is not None:
            self._watch.change(principal)
        else:
            self._watch = self._state["access"].watch(principal, self._on_over)

    def _on_over(self) -> None:
        """The credential is not valid any more."""
        self._stop(self._session.over())


def _refusal(error: HeadwaterError) -> Refusal:
    return Refusal(error.code, error.detail, error.close_code, error.retryable)
