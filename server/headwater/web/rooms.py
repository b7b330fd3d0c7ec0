"""The rooms' WebSocket: who may come in, and the carrying out of what a session decides."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from starlette.websockets import WebSocket, WebSocketDisconnect

from headwater.access import Seat, Watch
from headwater.core.access import ANONYMOUS, Principal
from headwater.core.session import Action, Authenticate, Close, Refusal, Send, Session, encode_push
from headwater.errors import Draining, Forbidden, HeadwaterError
from headwater.state import AppState
from headwater.web.auth import address_of, socket_principal, unless_guessed, use_up_ticket
from headwater.web.connection import EXTENSION
from headwater.web.origins import check_origin
from headwater.web.problems import problem
from headwater.web.socket_connection import SocketConnection

log = logging.getLogger("headwater.web")

SUBPROTOCOL = "headwater.v1"

_CRASHED = Close(HeadwaterError.close_code, "something went wrong here that is not your fault")


async def room_socket(socket: WebSocket[AppState]) -> None:
    """`WS /v1/rooms/{room}/ws`: a room's commands and events, one JSON object in each frame."""
    room: str = socket.path_params["room"]
    try:
        check_origin(socket)
        if socket.state["executor"].draining:
            raise Draining("This worker is shutting down. Connect again.", retry_after=1)
        principal = await socket_principal(socket)
        if principal is not None and principal.role_in(room) is None:
            raise Forbidden("The credential does not let its bearer into this room.")
        seat = await _sit_down(socket, principal)
    except HeadwaterError as error:
        await deny(socket, error)
        return
    line = RoomLine(socket, Session(room, principal), seat)
    try:
        # Never the subprotocol that bears a token: proxies log what is answered.
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
        await line.hold()
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
    """Refuse the handshake with the problem document; a server that cannot send one says 403 for everything."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(problem(error))
    else:
        await socket.close(error.close_code, error.code)


class RoomLine:
    """An accepted socket with its session: one task, which reads a frame once all before it are answered.

    Nothing piles up here: while it does not read, the server stops reading from the client.
    """

    def __init__(self, socket: WebSocket[AppState], session: Session, seat: Seat) -> None:
        self._socket = socket
        self._session = session
        self._seat = seat
        self._state = socket.state
        self._watch: Watch | None = None
        self._is_over = False

    async def hold(self) -> None:
        """Return once it is closed, by whichever side."""
        try:
            close = await self._talk()
        except WebSocketDisconnect:
            return
        except Exception:
            log.exception("a room's socket failed")
            close = _CRASHED
        finally:
            # Before the close is sent, which may take a while: there is no talk left to stop.
            if self._watch is not None:
                self._watch.close()
        await self._close(close)

    def leave(self) -> None:
        """Give up what it holds, of its principal's and of the machine's."""
        self._seat.close()
        connection: SocketConnection | None = self._socket.scope.get("extensions", {}).get(EXTENSION)
        if connection is not None:
            connection.see_it_off()

    # -- the conversation

    async def _talk(self) -> Close:
        """Until there is a reason to close. Raises WebSocketDisconnect when the client has gone."""
        within_s = self._state["config"].socket_auth_s if self._session.principal is None else None
        try:
            async with asyncio.timeout(within_s) as self._limit:
                self._watch_over(self._session.principal)
                while True:
                    reason = await self._carry_out(self._session.receive(await self._next_frame()))
                    if reason is not None:
                        return reason
        except TimeoutError:
            if not self._limit.expired():
                raise
        return self._session.over() if self._is_over else self._session.late()

    async def _next_frame(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        if self._session.principal is None:
            self._limit.reschedule(None)  # it came in time; what it asks for has limits of its own
        frame: str | bytes | None = message.get("text")
        return frame if frame is not None else message["bytes"]

    async def _carry_out(self, actions: Sequence[Action]) -> Close | None:
        """Do these, and what follows from them, in order."""
        left = deque(actions)
        while left:
            action = left.popleft()
            if isinstance(action, Close):
                return action
            if isinstance(action, Authenticate):
                left.extend(await self._authenticate(action.token))
            else:
                await self._send(action)
        return None

    async def _send(self, action: Send) -> None:
        """Raises WebSocketDisconnect where the client takes nothing any more."""
        try:
            async with asyncio.timeout(self._state["config"].slow_reader_s):
                await self._socket.send_text(encode_push(action.push))
        except TimeoutError:
            raise WebSocketDisconnect(1006) from None  # no close frame would reach it either

    async def _close(self, close: Close) -> None:
        try:
            async with asyncio.timeout(self._state["config"].slow_reader_s):
                await self._socket.close(close.code, close.reason)
        except (TimeoutError, WebSocketDisconnect):
            pass  # it is dropped

    # -- who is there

    async def _authenticate(self, token: str) -> Sequence[Action]:
        try:
            principal = await self._principal(token)
            newcomer = self._session.principal is None
            seat = await self._state["quotas"].sit_down(principal, address_of(self._socket)) if newcomer else self._seat
        except HeadwaterError as error:
            return self._session.refused(Refusal(error.code, error.detail, error.close_code, error.retryable))
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
        """The credential is not valid any more: stop whatever is waited for."""
        if not self._is_over:
            self._is_over = True
            self._limit.reschedule(asyncio.get_running_loop().time())
