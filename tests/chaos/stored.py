"""A run as the store has it in the end: its whole log, read again from the beginning, and the run itself."""

import json
from typing import Any

from msgspec import Struct

from tests.support.sse import Follower, Message


class Stored(Struct):
    """The log of a run that has ended, and what it comes to."""

    run: dict[str, Any]
    text: str
    end: dict[str, Any]
    end_position: str
    attempts: list[dict[str, Any]]
    shown: list[str]
    """The output before each attempt, since the restart before it."""
    tags: list[str]
    """Who wrote, in the order of the log; the same one stands once for all that it wrote in a row."""
    lost: str | None = None
    """The whole that it might be, where a failover may have lost what was acknowledged of it."""

    @property
    def id(self) -> str:
        """The run's."""
        return str(self.run["id"])

    @property
    def taken_back(self) -> bool:
        """Whether a reader may have been shown what is not part of it any more."""
        return self.lost is not None or bool(self.withdrawn)

    @property
    def withdrawn(self) -> list[str]:
        """What was shown and taken back."""
        return [
            shown
            for attempt, shown in zip(self.attempts, self.shown, strict=True)
            if attempt["how"] == "restarted" and shown
        ]

    def had(self, text: str) -> bool:
        """Whether a reader that left may hold this: it was the output at some time."""
        return any(one.startswith(text) for one in (self.text, *self.withdrawn, self.lost or ""))


def stored_from(run: dict[str, Any], ndjson: str, *, lost: str | None = None) -> Stored:
    """The run with its log, as `format=ndjson` tells it from position 0-0 on. Raises AssertionError."""
    follower = Follower()
    attempts, shown, tags, position = [], [], list[str](), ""
    for line in ndjson.split("\n"):
        if not line:
            continue
        event = json.loads(line)
        kind = event.pop("event")
        place = None if kind == "run" else event.pop("id")
        if kind == "attempt":
            attempts.append(event)
            shown.append(follower.text)
        follower.take(Message(kind, json.dumps(event), place))
        if place is not None:
            position = place
            tag = place.partition("-")[2]
            if tags[-1:] != [tag]:
                tags.append(tag)
    assert follower.snapshots == 0, "a log from its beginning has no snapshot"
    assert follower.end is not None, "its log has no end"
    return Stored(run, follower.text, follower.end, position, attempts, shown, tags, lost)
