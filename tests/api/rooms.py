"""Rooms as a service sees them: made, spoken in, and listened to."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx2

from tests.support.sse import EventStreamParser, Message

PASSING = ("presence", "typing", "read")
"""Events of no log."""


def new_name() -> str:
    """Of a room that is no other test's."""
    return f"room_{uuid4().hex}"


def make(api: httpx2.Client, **settings: Any) -> Any:
    """A new room."""
    response = api.put(f"/v1/rooms/{new_name()}", json=settings)
    assert response.status_code == 201, response.text
    return response.json()


def say(api: httpx2.Client, room: Any, text: str, **fields: Any) -> Any:
    """A new message in the room."""
    response = api.post(room["messages_url"], json={"text": text, **fields})
    assert response.status_code == 201, response.text
    return response.json()


def page(api: httpx2.Client, room: Any, **query: Any) -> Any:
    """Messages of the room, newest first."""
    response = api.get(room["messages_url"], params=query)
    assert response.status_code == 200, response.text
    return response.json()


class Listener:
    """One connection that follows a room's log."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.parser = EventStreamParser()
        self._pieces = response.iter_raw()
        self._events: deque[Message] = deque()

    def hear(self) -> Message:
        """The next event of the log, or of an answer. Raises StopIteration when the stream is over."""
        while True:
            while not self._events:
                self._events.extend(self.parser.feed(next(self._pieces)))
            event = self._events.popleft()
            if event.event not in PASSING:
                return event

    def until(self, kind: str) -> list[Message]:
        """The events up to the next of this kind, which is the last of them."""
        heard = [self.hear()]
        while heard[-1].event != kind:
            heard.append(self.hear())
        return heard


@contextmanager
def listening(api: httpx2.Client, room: Any, last_event_id: str = "", **query: str) -> Iterator[Listener]:
    """Follow the room until the block is left."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    with api.stream("GET", room["events_url"], params=query, headers=headers) as response:
        if response.status_code != 200:
            response.read()
        assert response.status_code == 200, response.text
        yield Listener(response)
