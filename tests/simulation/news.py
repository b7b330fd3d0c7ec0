"""News between the workers of a simulated world: lost, doubled, late and out of order, as its weather says."""

from collections.abc import Callable

from headwater.broadcaster.base import Broadcaster, News, Receiver
from headwater.core.events import Entry, Status
from headwater.core.news import Whisper
from tests.simulation.loop import Process
from tests.simulation.weather import Link, Weather


class Air:
    """What carries them."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.hearers: list[SimulatedBroadcaster] = []

    def announce(self, log_id: str, news: Entry | Status, writer: str) -> None:
        """The store's write tells everybody who listens but the writer, who has its answer."""
        for hearer in self.hearers:
            if log_id in hearer.heard and hearer.process.name != writer:
                self._send(hearer, hearer.hear, log_id, news)

    def tell_holder(self, worker: str, run_id: str) -> None:
        """A run that this worker produces was cancelled."""
        for hearer in self.hearers:
            if hearer.process.name == worker:
                self._send(hearer, hearer.hear_cancel, run_id)

    def _send(self, hearer: "SimulatedBroadcaster", hear: Callable[..., None], *what: object) -> None:
        weather = self.weather
        draw = weather.chance.random
        if hearer.deaf or (weather.news_lost and draw() < weather.news_lost):
            return
        for _ in range(2 if weather.news_doubled and draw() < weather.news_doubled else 1):
            late_s = weather.travel_s() + weather.news_late_s * draw()
            weather.loop.call_later(late_s, hear, *what, context=hearer.process.context)


class SimulatedBroadcaster(Broadcaster):
    """One worker's ear."""

    def __init__(self, air: Air, link: Link) -> None:
        self.process: Process = link.process
        self.heard: dict[str, None] = {}
        self.deaf = False
        """Its connection is broken, and it has not noticed, or cannot mend it."""
        self._air = air
        self._ask = link.ask
        self._receiver: Receiver | None = None
        self._tell: Callable[[str], None] = lambda run_id: None
        air.hearers.append(self)

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def hear(self, log_id: str, news: News) -> None:
        """A message has arrived."""
        if log_id in self.heard and self._receiver is not None:
            self._receiver.on_news(log_id, news)

    def hear_cancel(self, run_id: str) -> None:
        """So has one on its own channel."""
        self._tell(run_id)

    def listen_again(self) -> None:
        """Its connection is mended, and every subscription confirmed."""
        self.deaf = False
        for log_id in tuple(self.heard):
            if self._receiver is not None:
                self._receiver.on_reconnected(log_id)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def subscribe(self, log_id: str) -> None:
        await self._ask(lambda: self.heard.setdefault(log_id))

    async def unsubscribe(self, log_id: str) -> None:
        self.heard.pop(log_id, None)

    def announce(self, log_id: str) -> None:
        pass

    def retract(self, log_id: str) -> None:
        pass

    async def heard_elsewhere(self, log_id: str) -> bool:
        return True

    def on_cancel(self, worker: str, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def publish(self, log_id: str, news: News) -> None:
        pass  # the store's own write has told them

    def whisper(self, log_id: str, whisper: Whisper) -> None:
        pass
