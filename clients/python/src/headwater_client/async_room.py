"""A room, for asyncio."""

import asyncio
import importlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any, Final, Protocol, Self, cast

from headwater_client.async_wire import OnStatus
from headwater_client.core.address import checked_room, socket_address
from headwater_client.core.refusals import trouble_of, unauthorized
from headwater_client.core.room_session import Passing, Reply, RoomSession, Stale
from headwater_client.core.steps import Lost
from headwater_client.core.steps import Reply as Refusal
from headwater_client.core.trials import LASTED_S, Rules, Trials
from headwater_client.core.trouble import Broken, Trouble
from headwater_client.errors import HeadwaterError, NotDelivered, Unavailable
from headwater_client.rooms import HistoryPage, Member, Message, Missed, RoomEvent, You
from headwater_client.runs import Notice
from headwater_client.transport import CALL_S, new_key

EVENTS_MAX: Final = 10_000
"""Events that wait to be taken: minutes of a lively room, and a few megabytes."""
LEAVE_S: Final = 5.0
"""For what was said last, when one leaves: a second is much for it, and nobody likes to wait."""


class TokenSource(Protocol):
    """Gives the credential, another one than was rejected."""

    async def get(self, rejected: str | None) -> str | None: ...


class AsyncRoom(AsyncIterator[RoomEvent]):
    """A room that one is in, from `async with` to its end, whatever happens to the line.

    What there is in it is up to date whether or not anybody iterates; iterating gives what changes, each change once.
    Commands wait for their answer, over as many connections as it takes; what they raise says why they were refused.
    Where the server cannot be reached for longer than `max_wait_s`, or does not let us in any more, iterating raises.
    """

    def __init__(
        self,
        rules: Rules,
        room: str,
        tokens: TokenSource,
        *,
        name: str | None,
        since: str | None,
        on_status: OnStatus | None,
    ) -> None:
        self._room = checked_room(room)
        self._rules = rules
        self._tokens = tokens
        self._on_status = on_status
        self._websockets: Any = _load_websockets()
        self._loop = asyncio.get_running_loop()
        self._session = RoomSession(rules, name, since, self._reply)
        self._trials = Trials(rules)
        self._events: deque[RoomEvent] = deque()
        self._missed = 0
        self._news = asyncio.Event()
        self._to_send = asyncio.Event()
        self._was_in = False
        self._living: asyncio.Task[None] | None = None
        self._over: HeadwaterError | None = None

    # -- life

    async def __aenter__(self) -> Self:
        self._living = asyncio.create_task(self._live())
        self._living.add_done_callback(lambda _: self._news.set())
        try:
            while not self.connected and not self._living.done():
                await self._wait_for_news()
            if not self.connected:
                raise self._over or _left()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.leave()
        else:
            await self._stop()

    async def leave(self) -> None:
        """Leave, once the server has what was said. Raises NotDelivered where it does not take it within seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                while self._session.unsaid and not self._gone:
                    await self._wait_for_news()
        unsaid = self._session.unsaid
        await self._stop()
        if unsaid:
            raise NotDelivered(f"{len(unsaid)} messages were not taken by the server.", client_ids=unsaid)

    # -- looks

    @property
    def name(self) -> str:
        """The room's."""
        return self._room

    @property
    def connected(self) -> bool:
        """Whether one is in, in this moment."""
        return self._session.is_in

    @property
    def messages(self) -> list[Message]:
        """The newest messages, in order, answers among them; at last what you said and the server has not told of."""
        return self._session.view.messages

    @property
    def you(self) -> You | None:
        """Who you are here."""
        return self._session.view.you

    @property
    def members(self) -> dict[str, Member]:
        """Who is there, by id."""
        return dict(self._session.view.members)

    @property
    def typing(self) -> tuple[Member, ...]:
        """Who is writing."""
        return self._session.view.typing

    @property
    def marks(self) -> dict[str, int]:
        """The `seq` up to which members have read, by their id."""
        return dict(self._session.view.marks)

    @property
    def position(self) -> str:
        """Where one stands in the room's log: what to give as `since`, to come back later."""
        return self._session.view.position

    # -- commands

    async def say(self, text: str, *, mentions: Sequence[str] = (), reply_to: str | None = None) -> str:
        """Say something; its id, once the server has taken it. It is said once, and stays said if you stop waiting."""
        reply = self._say(new_key(), text, mentions, reply_to)
        return cast(str, await cast("asyncio.Future[Any]", reply))

    def post(self, text: str, *, mentions: Sequence[str] = (), reply_to: str | None = None) -> str:
        """Say something, and do not wait; its client_id. If it is refused, a `Refused` tells it."""
        client_id = new_key()
        self._say(client_id, text, mentions, reply_to)
        return client_id

    async def edit(self, message: str, text: str) -> None:
        """Change the text of a message of yours, by its id."""
        await self._do("edit", message=message, text=text)

    async def delete(self, message: str) -> None:
        """Take a message back."""
        await self._do("delete", message=message)

    async def react(self, message: str, reaction: str, on: bool = True) -> None:
        """Put a reaction on a message, or with `on` false take yours off."""
        await self._do("react", message=message, reaction=reaction, on=on)

    async def cancel(self, *, run: str | None = None, client_id: str | None = None) -> None:
        """Stop an answer: that `run`, or all that your message `client_id` asked for, begun or not."""
        await self._do("cancel", run=run, client_id=client_id)

    async def history(self, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Messages from before a message's id or a position."""
        return cast(HistoryPage, await self._do("history", before=before, limit=limit))

    def send_typing(self, on: bool = True) -> None:
        """Tell that you are writing: again every few seconds while you are. It is lost where the line is down."""
        self._session.typing(on)
        self._to_send.set()

    def mark_read(self, position: str | None = None) -> None:
        """Tell that you have read everything up to a position, or up to now."""
        self._session.read(position or self.position)
        self._to_send.set()

    # -- events

    async def __anext__(self) -> RoomEvent:
        while not self._events and not self._missed:
            if self._over is not None:
                raise self._over
            if self._gone:
                raise StopAsyncIteration
            await self._wait_for_news()
        if self._missed:
            missed, self._missed = self._missed, 0
            return Missed(missed)
        return self._events.popleft()

    def _emit(self, events: Sequence[RoomEvent]) -> None:
        self._events.extend(events)
        if len(self._events) > EVENTS_MAX:
            self._missed += len(self._events)
            self._events.clear()
        self._news.set()

    async def _wait_for_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    # -- doing

    def _say(self, client_id: str, text: str, mentions: Sequence[str], reply_to: str | None) -> Reply:
        self._must_live()
        fields = {"mentions": list(mentions) or None, "reply_to": reply_to}
        reply, said = self._session.say(time.time(), client_id, text, **fields)
        self._emit([said])
        self._to_send.set()
        return reply

    async def _do(self, kind: str, **fields: Any) -> Any:
        self._must_live()
        reply = cast("asyncio.Future[Any]", self._session.command(kind, **fields))
        self._to_send.set()
        return await reply

    def _must_live(self) -> None:
        if self._over is not None:
            raise self._over
        if self._gone:
            raise _left()

    def _reply(self) -> "asyncio.Future[Any]":
        reply = self._loop.create_future()
        reply.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting any more
        return reply

    @property
    def _gone(self) -> bool:
        return self._living is None or self._living.done()

    async def _stop(self) -> None:
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)

    # -- one connection after another

    async def _live(self) -> None:
        try:
            await self._come_back_for_ever()
        except HeadwaterError as error:
            self._over = error
        except Exception as error:  # a callback's, which nobody else would see
            self._over = HeadwaterError(f"A callback failed: {error!r}", code="callback_failed")
            self._over.__cause__ = error
        finally:
            self._session.over(self._over or _left())

    async def _come_back_for_ever(self) -> None:
        rejected: str | None = None
        while True:
            token = await self._tokens.get(rejected)
            if rejected is not None and token in (None, rejected):
                raise unauthorized("The token is refused")
            self._was_in = False
            try:
                trouble = await self._one_connection(token)
            except Stale:
                if token is None or (rejected is not None and not self._was_in):
                    raise unauthorized("The token is refused") from None
                rejected = token
                trouble = Trouble(Unavailable("The token is refused: a newer one is fetched", code="unauthenticated"))
            else:
                rejected = rejected if not self._was_in else None
            retrying = self._trials.plan(trouble)
            self._tell(retrying)
            await asyncio.sleep(retrying.wait_s)

    async def _one_connection(self, token: str | None) -> Trouble:
        """Why it is over. Raises Stale, or the error where nobody should come back."""
        opened_at, position = self._rules.clock(), self.position
        link = await self._websockets.open_link(socket_address(self._rules.url, self._room), token)
        if isinstance(link, Refusal | Lost):
            if isinstance(link, Refusal) and link.status == 401:
                raise Stale
            return trouble_of(link, self._rules.url)
        self._session.connected()
        sending = asyncio.create_task(self._send(link))
        try:
            return await self._listen(link)
        except asyncio.CancelledError:
            await link.close()
            raise
        finally:
            link.abort()
            self._session.lost()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if self.position != position or (self._was_in and self._rules.clock() - opened_at >= LASTED_S):
                self._trials.forget()

    async def _listen(self, link: Any) -> Trouble:
        try:
            while True:
                async with asyncio.timeout(None if self._was_in else CALL_S):
                    frame = await link.receive()
                self._emit(self._session.heard(frame, self._rules.clock()))
                self._to_send.set()
                self._tell_of(self._session)
        except self._websockets.Closed as closed:
            return self._session.closed(closed.code, closed.reason)
        except Broken as error:
            return Trouble(error)
        except Passing as passing:
            return passing.trouble
        except TimeoutError as error:
            return Trouble(error, silent=True)

    def _tell_of(self, session: RoomSession) -> None:
        if session.is_in and not self._was_in:
            self._was_in = True
            for notice in self._trials.worked():
                self._tell(notice)
        while session.notices:
            self._tell(session.notices.pop(0))

    async def _send(self, link: Any) -> None:
        while True:
            frames, wait_s = self._session.due(self._rules.clock())
            for frame in frames:
                await link.send(frame)
            if not frames:
                self._to_send.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._to_send.wait()

    def _tell(self, notice: Notice) -> None:
        if self._on_status is not None:
            self._on_status(notice)


def _left() -> HeadwaterError:
    return HeadwaterError("This room was left, or not entered yet: use it inside `async with`.", code="closed")


def _load_websockets() -> ModuleType:
    try:
        return importlib.import_module("headwater_client.websockets_link")
    except ImportError as error:
        raise ImportError("Rooms need the package websockets: pip install 'headwater-client[rooms]'") from error
