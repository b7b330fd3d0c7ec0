"""News over Redis: one connection of a worker, on which it hears of every log that it follows.

What is wanted outlives connections. Each new one asks for all of it again, and only once Redis has confirmed a log is
its receiver told to look at the store: what was written before is there, and what is written from then on is heard of.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from typing import Literal

from redis.exceptions import RedisError

from headwater.broadcaster.base import Broadcaster, News, Receiver
from headwater.broadcaster.redis_link import Link, linked
from headwater.core.news import (
    BadNews,
    Whisper,
    decode_cancel,
    decode_news,
    is_from,
    news_channel,
    whisper_news,
    worker_channel,
)
from headwater.entropy import full_jitter
from headwater.errors import StoreUnavailable
from headwater.redis_client import Command, RedisClient
from headwater.tasks import say_why_it_failed

log = logging.getLogger("headwater.broadcaster")

# Silence after which the connection is tried. A failover or a firewall can leave one that only looks alive; a PING each
# costs nothing, and news are back before a reader has waited much longer than the timeout itself.
PROBE_S = 2.0
# An outage is over within about this of Redis being back; the spread keeps workers from coming back together.
RETRY_BASE_S = 0.05
RETRY_CAP_S = 1.0
# Messages handled in one go: some 10 µs each, and everything else of the worker waits meanwhile.
MESSAGES_TOGETHER = 100
# Between two lines in the log about what is no news: whoever publishes it may do so a thousand times a second.
COMPLAIN_S = 10.0


class RedisBroadcaster(Broadcaster):
    """One worker's ear. `timeout_s` bounds a subscription and the answer to a probe."""

    def __init__(
        self, client: RedisClient, worker: str, *, prefix: str, timeout_s: float, probe_s: float = PROBE_S
    ) -> None:
        self._client = client
        self._worker = worker.encode()
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._probe_s = probe_s
        self._receiver: Receiver | None = None
        self._tell: Callable[[str], None] | None = None
        self._cancels = b""
        self._wanted: dict[bytes, _Subscription] = {}
        self._link: Link | None = None
        self._linked_at = -math.inf
        self._connected = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False
        self._complained_at = -math.inf
        self._left_out = 0
        self._whispers: list[Command] = []
        self._whispering: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "cut off" if self._link is None else "connected"
        waiting = sum(len(subscription.waiters) for subscription in self._wanted.values())
        return f"<RedisBroadcaster {state} channels={len(self._wanted)} waiting={waiting}>"

    # -- the contract

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def on_cancel(self, worker: str, tell: Callable[[str], None]) -> None:
        self._cancels, self._tell = worker_channel(self._prefix, worker).encode(), tell

    async def open(self) -> None:
        """Return once connected. If that takes too long it goes on beside: the store alone will do for a while."""
        self._listening = asyncio.create_task(self._listen())
        with contextlib.suppress(TimeoutError, StoreUnavailable):
            if self._tell is not None:
                await self._confirmation(self._cancels, None)
            else:
                async with asyncio.timeout(self._timeout_s):
                    await self._connected.wait()

    async def close(self) -> None:
        self._closed = True
        wanted, self._wanted = self._wanted, {}
        for subscription in wanted.values():
            subscription.refuse()
        for task in (self._listening, self._whispering):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def subscribe(self, log_id: str) -> None:
        """As in the contract. Raises StoreUnavailable; even then the log stays wanted, until it is let go."""
        await self._confirmation(self._channel(log_id), log_id)

    async def unsubscribe(self, log_id: str) -> None:
        self._let_go(self._channel(log_id))

    def announce(self, log_id: str) -> None:
        channel = self._readers(log_id)
        if not self._closed and channel not in self._wanted:
            self._wanted[channel] = _Subscription(None)
            if self._link is not None:
                self._link.subscribe([channel])

    def retract(self, log_id: str) -> None:
        self._let_go(self._readers(log_id))

    async def heard_elsewhere(self, log_id: str) -> bool:
        channels = self._channel(log_id), self._readers(log_id)
        for channel in channels:
            if self._link is not None and channel in self._wanted and not self._wanted[channel].is_heard:
                await self._confirmed(self._wanted[channel])  # Redis may count us already
        reply = await self._client.one(("PUBSUB", "NUMSUB", *channels))
        ours = sum(channel in self._wanted and self._wanted[channel].is_heard for channel in channels)
        return sum(map(int, reply[1::2])) > ours

    def publish(self, log_id: str, news: News) -> None:
        pass  # the store's scripts have told it, in the step that wrote

    def whisper(self, log_id: str, whisper: Whisper) -> None:
        self._whispers.append(("PUBLISH", self._channel(log_id), whisper_news(self._worker.decode(), whisper)))
        if self._whispering is None:
            self._whispering = asyncio.create_task(self._whisper_all())
            self._whispering.add_done_callback(say_why_it_failed)

    async def _whisper_all(self) -> None:
        try:
            while self._whispers:
                whispers, self._whispers = self._whispers, []
                with contextlib.suppress(StoreUnavailable):
                    await self._client.pipeline(whispers)
        finally:
            self._whispering = None

    # -- subscriptions

    def _channel(self, log_id: str) -> bytes:
        return news_channel(self._prefix, log_id).encode()

    def _readers(self, log_id: str) -> bytes:
        """Where nothing is ever told: who listens there says that the log is followed."""
        return self._channel(log_id) + b":readers"

    def _let_go(self, channel: bytes) -> None:
        subscription = self._wanted.pop(channel, None)
        if subscription is not None:
            subscription.confirm()  # whoever still waits was there before this
            if self._link is not None:
                self._link.unsubscribe(channel)

    async def _confirmation(self, channel: bytes, log_id: str | None) -> None:
        """Want the channel, and return once Redis has confirmed it."""
        if self._closed:
            raise StoreUnavailable("This worker is shutting down.")
        subscription = self._wanted.setdefault(channel, _Subscription(log_id))
        if self._link is not None:
            self._link.subscribe([channel])
        await self._confirmed(subscription)

    async def _confirmed(self, subscription: "_Subscription") -> None:
        waiter = asyncio.get_running_loop().create_future()
        subscription.waiters.add(waiter)
        try:
            async with asyncio.timeout(self._timeout_s):
                await waiter
        except TimeoutError:
            subscription.give_up()
            raise StoreUnavailable("The store does not answer: its news cannot be heard for now.") from None
        finally:
            subscription.waiters.discard(waiter)

    def _on_subscribed(self, link: Link, channel: bytes) -> None:
        subscription = self._wanted.get(channel)
        if not link.confirmed(channel) or subscription is None:
            return  # another SUBSCRIBE is under way, or it was let go since
        missed = subscription.confirm()
        if missed and subscription.log_id is not None:
            self._have_looked(subscription.log_id)

    # -- listening

    async def _listen(self) -> None:
        """Keep a connection, for ever."""
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            self._linked_at = math.inf
            try:
                await self._listen_once(tries)
            except Exception as error:
                linked_s = loop.time() - self._linked_at
                if linked_s >= 0 or tries == 0:  # one line for an outage, however long
                    _say_why(error)
                tries = 1 if linked_s > RETRY_CAP_S else tries + 1
            await asyncio.sleep(full_jitter(tries, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S))

    async def _listen_once(self, tries: int) -> None:
        """Listen until the connection fails."""
        async with linked(self._client.listener()) as link:
            if tries:
                log.info("the store's news are heard again")
            self._linked_at = asyncio.get_running_loop().time()
            self._link = link
            self._connected.set()
            link.subscribe(self._wanted)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(link.write())
                    tasks.create_task(link.probe(self._probe_s, self._timeout_s))
                    tasks.create_task(self._read(link))
            finally:
                self._link = None
                for subscription in self._wanted.values():
                    subscription.lose()

    async def _read(self, link: Link) -> None:
        handled = 0
        while True:
            match await link.read():
                case [b"message", channel, data]:
                    self._on_message(channel, data)
                case [b"subscribe", channel, _]:
                    self._on_subscribed(link, channel)
                case _:
                    pass  # an answer to UNSUBSCRIBE or PING: the connection lives, and that is all
            handled += 1
            if handled % MESSAGES_TOGETHER == 0:
                await asyncio.sleep(0)

    def _on_message(self, channel: bytes, data: bytes) -> None:
        subscription = self._wanted.get(channel)
        if subscription is None:
            return
        log_id = subscription.log_id
        try:
            if channel == self._cancels:
                if self._tell is not None:
                    self._tell(decode_cancel(data))
            elif log_id is None:
                pass  # a stranger's: nothing is told where readers are counted
            elif self._receiver is not None and not is_from(self._worker, data):
                self._receiver.on_news(log_id, decode_news(data))
        except BadNews as error:
            self._complain(channel, error)
            if log_id is not None:
                self._have_looked(log_id)
        except Exception:  # of whoever was told: all other logs' news come over this connection too
            log.exception("what %s carries could not be taken", channel.decode())
            if log_id is not None:
                self._have_looked(log_id)

    def _have_looked(self, log_id: str) -> None:
        """Have the receiver look at the store: it may have missed something."""
        try:
            if self._receiver is not None:
                self._receiver.on_reconnected(log_id)
        except Exception:
            log.exception("the log of %s could not be looked at", log_id)

    def _complain(self, channel: bytes, error: BadNews) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained_at < COMPLAIN_S:
            self._left_out += 1
            return
        log.warning("%s carries what is %s; %d more before it", channel.decode(), error, self._left_out)
        self._complained_at, self._left_out = now, 0


class _Subscription:
    """A channel that is wanted, whatever becomes of connections. `log_id` is None where no log's news are told."""

    __slots__ = ("_state", "log_id", "waiters")

    def __init__(self, log_id: str | None) -> None:
        self.log_id = log_id
        self.waiters: set[asyncio.Future[None]] = set()
        self._state: Literal["new", "heard", "deaf"] = "new"

    @property
    def is_heard(self) -> bool:
        """Whether Redis counts us among its listeners."""
        return self._state == "heard"

    def confirm(self) -> bool:
        """It is heard from now on. Whether news may have been missed: it was heard before, or somebody gave up."""
        missed = self._state == "deaf"
        self._state = "heard"
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        return missed

    def lose(self) -> None:
        """Its connection is gone."""
        if self._state == "heard":
            self._state = "deaf"

    def give_up(self) -> None:
        """Nobody waits for its first confirmation any more."""
        if self._state == "new":
            self._state = "deaf"

    def refuse(self) -> None:
        """There will be no confirmation."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(StoreUnavailable("This worker is shutting down."))


def _say_why(error: Exception) -> None:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, RedisError | OSError):
        log.warning("the store's news cannot be heard for now: %s", error)
    else:
        log.error("listening to the store's news failed", exc_info=error)
