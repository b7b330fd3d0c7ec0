"""News within one process: the embedded set-up, where the store admits no second one."""

from collections.abc import Callable

from headwater.broadcaster.base import Broadcaster, News, Receiver
from headwater.core.news import Whisper


class Exchange:
    """What the local broadcasters of one process share: who listens to which log, and who has announced it."""

    def __init__(self) -> None:
        self.listeners: dict[str, set[LocalBroadcaster]] = {}
        self.announcers: dict[str, set[LocalBroadcaster]] = {}


class LocalBroadcaster(Broadcaster):
    """One worker's end of an exchange. Alone on its exchange it has nobody to tell."""

    def __init__(self, exchange: Exchange | None = None) -> None:
        self._exchange = exchange or Exchange()
        self._receiver: Receiver | None = None

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        for log_id in tuple(self._exchange.listeners):
            self._leave(self._exchange.listeners, log_id)
        for log_id in tuple(self._exchange.announcers):
            self._leave(self._exchange.announcers, log_id)

    async def subscribe(self, log_id: str) -> None:
        self._exchange.listeners.setdefault(log_id, set()).add(self)

    async def unsubscribe(self, log_id: str) -> None:
        self._leave(self._exchange.listeners, log_id)

    def announce(self, log_id: str) -> None:
        self._exchange.announcers.setdefault(log_id, set()).add(self)

    def retract(self, log_id: str) -> None:
        self._leave(self._exchange.announcers, log_id)

    def _leave(self, those: "dict[str, set[LocalBroadcaster]]", log_id: str) -> None:
        those.get(log_id, set()).discard(self)
        if not those.get(log_id):
            those.pop(log_id, None)

    async def heard_elsewhere(self, log_id: str) -> bool:
        there = self._exchange.listeners.get(log_id, set()) | self._exchange.announcers.get(log_id, set())
        return bool(there - {self})

    def on_cancel(self, worker: str, tell: Callable[[str], None]) -> None:
        pass  # whoever cancels is in this process, and says it there

    def publish(self, log_id: str, news: News) -> None:
        for other in tuple(self._exchange.listeners.get(log_id, ())):
            if other is not self and other._receiver is not None:
                other._receiver.on_news(log_id, news)

    def whisper(self, log_id: str, whisper: Whisper) -> None:
        self.publish(log_id, whisper)
