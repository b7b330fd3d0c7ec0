"""The broadcaster's contract: news of logs, from the worker that wrote to those that follow.

News is a hint, never the truth: it may be lost, repeated or late. Each entry carries `after`,
so a receiver sees what it missed, and reads that from the store.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from headwater.core.events import Entry, Status
from headwater.core.news import Removed, Whisper

News = Entry | Status | Removed | Whisper
"""A new entry of a log, its new status, that it was removed, or what passes beside it and is kept nowhere."""


class Receiver(Protocol):
    """Who hears the news. Both methods return at once and never raise."""

    def on_news(self, log_id: str, news: News) -> None:
        """Something happened to a subscribed log."""

    def on_reconnected(self, log_id: str) -> None:
        """News of this log may have been lost until just now: look at the store."""


class Broadcaster(ABC):
    """The contract."""

    @abstractmethod
    def attach(self, receiver: Receiver) -> None:
        """Name the one receiver of this worker, before the first subscription."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready."""

    @abstractmethod
    async def close(self) -> None:
        """Let go."""

    @abstractmethod
    async def subscribe(self, log_id: str) -> None:
        """Return once news of this log will arrive: what is written from now on is heard of."""

    @abstractmethod
    async def unsubscribe(self, log_id: str) -> None:
        """Stop the news of this log."""

    @abstractmethod
    def announce(self, log_id: str) -> None:
        """Let other workers know, soon, that this log is followed here, where its news are not heard from them."""

    @abstractmethod
    def retract(self, log_id: str) -> None:
        """It is followed here no more."""

    @abstractmethod
    async def heard_elsewhere(self, log_id: str) -> bool:
        """Whether another worker hears this log's news or announced it: somebody follows it there, or did just now.

        Raises StoreUnavailable.
        """

    @abstractmethod
    def on_cancel(self, worker: str, tell: Callable[[str], None]) -> None:
        """Before `open`: call `tell` with the id of each run of this worker that another worker has cancelled.

        A hint, too: the answers to appends and renewals say the same, later.
        """

    @abstractmethod
    def publish(self, log_id: str, news: News) -> None:
        """Tell the other workers. Nothing to do where the store's own write has told them."""

    @abstractmethod
    def whisper(self, log_id: str, whisper: Whisper) -> None:
        """Tell the other workers, soon, what no store keeps; it may be lost."""
