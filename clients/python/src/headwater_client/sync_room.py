"""A room, for programs without an event loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

from headwater_client.async_room import AsyncRoom
from headwater_client.errors import HeadwaterError
from headwater_client.rooms import HistoryPage, Member, Message, RoomEvent, You
from headwater_client.sync_wire import Tokens

T = TypeVar("T")


class InThread:
    """Credentials of which the getting may block."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def get(self, rejected: str | None) -> str | None:
        """Another one than was rejected."""
        return await asyncio.to_thread(self._tokens.get, rejected)


class Room(Iterator[RoomEvent]):
    """A room that one is in, from `with` to its end: AsyncRoom in a thread of its own, which has the same methods.

    It may be used from any thread. `on_status` is called in the room's own.
    """

    def __init__(self, make: Callable[[], AsyncRoom]) -> None:
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="headwater-room", daemon=True)
        self._entered: AsyncRoom | None = None

    # -- life

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._entered = self._look(self._make)
            self._do(self._room.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        try:
            self._do(self._room.__aexit__(kind, error))
        finally:
            self._end()

    def leave(self) -> None:
        """Leave, once the server has what was said. Raises NotDelivered where it does not take it within seconds."""
        self._do(self._room.leave())

    # -- looks

    @property
    def name(self) -> str:
        """The room's."""
        return self._room.name

    @property
    def connected(self) -> bool:
        """Whether one is in, in this moment."""
        return self._look(lambda: self._room.connected)

    @property
    def messages(self) -> list[Message]:
        """The newest messages, in order, answers among them; at last what you said and the server has not told of."""
        return self._look(lambda: self._room.messages)

    @property
    def you(self) -> You | None:
        """Who you are here."""
        return self._look(lambda: self._room.you)

    @property
    def members(self) -> dict[str, Member]:
        """Who is there, by id."""
        return self._look(lambda: self._room.members)

    @property
    def typing(self) -> tuple[Member, ...]:
        """Who is writing."""
        return self._look(lambda: self._room.typing)

    @property
    def marks(self) -> dict[str, int]:
        """The `seq` up to which members have read, by their id."""
        return self._look(lambda: self._room.marks)

    @property
    def position(self) -> str:
        """Where one stands in the room's log: what to give as `since`, to come back later."""
        return self._look(lambda: self._room.position)

    # -- commands

    def say(self, text: str, *, mentions: Sequence[str] = (), reply_to: str | None = None) -> str:
        """Say something; its id, once the server has taken it. It is said once, and stays said if you stop waiting."""
        return self._do(self._room.say(text, mentions=mentions, reply_to=reply_to))

    def post(self, text: str, *, mentions: Sequence[str] = (), reply_to: str | None = None) -> str:
        """Say something, and do not wait; its client_id. If it is refused, a `Refused` tells it."""
        return self._look(lambda: self._room.post(text, mentions=mentions, reply_to=reply_to))

    def edit(self, message: str, text: str) -> None:
        """Change the text of a message of yours, by its id."""
        self._do(self._room.edit(message, text))

    def delete(self, message: str) -> None:
        """Take a message back."""
        self._do(self._room.delete(message))

    def react(self, message: str, reaction: str, on: bool = True) -> None:
        """Put a reaction on a message, or with `on` false take yours off."""
        self._do(self._room.react(message, reaction, on))

    def cancel(self, *, run: str | None = None, client_id: str | None = None) -> None:
        """Stop an answer: that `run`, or all that your message `client_id` asked for, begun or not."""
        self._do(self._room.cancel(run=run, client_id=client_id))

    def history(self, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Messages from before a message's id or a position."""
        return self._do(self._room.history(before, limit))

    def send_typing(self, on: bool = True) -> None:
        """Tell that you are writing: again every few seconds while you are. It is lost where the line is down."""
        self._look(lambda: self._room.send_typing(on))

    def mark_read(self, position: str | None = None) -> None:
        """Tell that you have read everything up to a position, or up to now."""
        self._look(lambda: self._room.mark_read(position))

    # -- events

    def __next__(self) -> RoomEvent:
        event = self._do(_next(self._room))
        if event is None:
            raise StopIteration
        return event

    # -- its thread

    @property
    def _room(self) -> AsyncRoom:
        if self._entered is None:
            raise HeadwaterError("This room was not entered yet: use it inside `with`.", code="closed")
        return self._entered

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            what.close()
            raise HeadwaterError("This room was left.", code="closed")
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # the caller was interrupted
            raise

    def _look(self, look: Callable[[], T]) -> T:
        return look() if self._loop.is_closed() else self._do(_soon(look))

    def _end(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _soon(look: Callable[[], T]) -> T:
    return look()


async def _next(room: AsyncRoom) -> RoomEvent | None:
    return await anext(room, None)
