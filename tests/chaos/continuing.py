"""How soon an answer goes on, or ends, after the worker that produced it was killed: as its followers saw it."""

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from tests.chaos.faults import Havoc, Window
from tests.chaos.load import Asked, Kill
from tests.chaos.stored import Stored
from tests.chaos.subscribers import Subscriber

PROMISED_S = 2.0
"""Beyond the lease: what is promised of whoever carries on."""


class Wait(NamedTuple):
    """From a kill to what a subscriber heard next. `bounded`: nothing else went wrong that excuses being late."""

    subscriber: Subscriber
    took_s: float
    within_s: float
    bounded: bool

    @property
    def late(self) -> bool:
        """Whether it took longer than is promised."""
        return self.took_s > self.within_s


def waits(asked: Asked, stored: Stored, havoc: Havoc) -> Iterator[Wait]:
    """Of everybody who followed the run when it lost its producer, for each time that it did.

    Not where writes were lost after that: then the places in the log have changed.
    """
    lease_s = havoc.world.lease_s
    for kill in asked.kills:
        for subscriber in asked.subscribers:
            heard = _heard_at(kill, subscriber, stored)
            if any(window.holds(kill.at, subscriber.ended_at or inf) for window in havoc.windows):
                continue
            if heard is None or not (subscriber.opened and subscriber.opened[0] < kill.at < heard):
                continue
            came_back = any(kill.at < at <= heard for at in subscriber.opened)
            within_s = lease_s + PROMISED_S + (subscriber.back_s if came_back else 0.0)
            # What went wrong shortly before may have made the others look away for as long as a lease.
            near = (trouble.holds(kill.at - lease_s, kill.at + within_s) for trouble in _others(havoc, kill))
            yield Wait(subscriber, heard - kill.at, within_s, not any(near) and not asked.question.fault)


def _heard_at(kill: Kill, subscriber: Subscriber, stored: Stored) -> float | None:
    """When it heard of the first takeover after the kill, or of the end, where there was none."""
    for attempt, shown in zip(stored.attempts, stored.shown, strict=True):
        if attempt["reason"] == "takeover" and attempt["seq"] > kill.seq:
            return subscriber.went_on_at(attempt, shown)
    return subscriber.ended_at or None


def _others(havoc: Havoc, kill: Kill) -> Iterator[Window]:
    return (trouble for trouble in havoc.troubles if trouble.start != kill.at)
