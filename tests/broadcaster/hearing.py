"""What the tests of broadcasters hear with, and what they tell."""

from headwater.broadcaster.base import News
from headwater.core.events import Entry, Text, encode_events
from headwater.core.news import Removed, Whisper, entry_head, removal_news, status_news, whisper_news
from headwater.core.position import Position


class Ear:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.news: list[tuple[str, News]] = []
        self.reconnected: list[str] = []

    def on_news(self, log_id: str, news: News) -> None:
        self.news.append((log_id, news))

    def on_reconnected(self, log_id: str) -> None:
        self.reconnected.append(log_id)

    def of(self, log_id: str) -> list[News]:
        """The news of this log, in order."""
        return [news for heard, news in self.news if heard == log_id]


def word(number: int, text: str = "word ") -> Entry:
    """The entry of one text that stands at this seq."""
    return Entry(Position(number - 1, 7 if number > 1 else 0), number, 7, (Text(text),))


def written(worker: str, news: News) -> bytes:
    """What a store's script publishes of it."""
    if isinstance(news, Entry):
        return entry_head(worker, news.after, news.position).encode() + encode_events(news.events)
    if isinstance(news, Whisper):
        return whisper_news(worker, news)
    if isinstance(news, Removed):
        return removal_news(worker).encode()
    return status_news(worker, news).encode()
