"""News within one process: the embedded set-up, where the store admits no second one."""

from collections.abc import Callable

from headwater.broadcaster.base import Broadcaster, News, Receiver


class Exchange:
    """What the local broadcasters of one process share: who listens to which log."""

    def __init__(self) -> None:
        self.listeners: dict[str, set[LocalBroadcaster]] = {}


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
        for listeners in self._exchange.listeners.values():
            listeners.discard(self)

    async def subscribe(self, log_id: str) -> None:
        self._exchange.listeners.setdefault(log_id, set()).add(self)

    async def unsubscribe(self, log_id: str) -> None:
        listeners = self._exchange.listeners.get(log_id)
        if listeners is not None:
            listeners.discard(self)
            if not listeners:
                del self._exchange.listeners[log_id]

    async def heard_elsewhere(self, log_id: str) -> bool:
        return bool(self._exchange.listeners.get(log_id, set()) - {self})

    def on_cancel(self, worker: str, tell: Callable[[str], None]) -> None:
        pass  # whoever cancels is in this process, and says it there

    def publish(self, log_id: str, news: News) -> None:
        for other in tuple(self._exchange.listeners.get(log_id, ())):
            if other is not self and other._receiver is not None:
                other._receiver.on_news(log_id, news)
