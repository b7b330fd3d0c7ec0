"""What one schedule has in store: drawn from its seed before anything happens."""

import random
from typing import Any

from msgspec import Struct

from headwater.config import Config

KINDS = (
    "kill",
    "freeze",
    "drain",
    "fail",
    "outage",
    "cut_off",
    "stall",
    "forget",
    "clock",
    "lose_news",
    "muddle_news",
    "deafen",
    "upstream",
    "cancel",
)
"""What can go wrong. A schedule has only some of it: what always happens together is never seen apart."""


class Action(Struct, frozen=True):
    """One thing that goes wrong, when, and for how long."""

    at_s: float
    kind: str
    for_s: float


class Plan(Struct, frozen=True):
    """A schedule. Times are virtual seconds."""

    kinds: frozenset[str]
    workers: int
    runs: int
    readers: int
    """Of each run."""
    lasts_s: float
    """Then all is made calm."""
    actions: tuple[Action, ...]
    config: Config

    @property
    def bound_s(self) -> float:
        """From the calm on, all runs have ended and all readers know it: the sum of what can be in the way."""
        return 60.0


def draw_plan(chance: random.Random) -> Plan:
    """One schedule."""
    kinds = [kind for kind in KINDS if chance.random() < 0.3]
    lasts_s = chance.uniform(0.5, 4.0)
    actions = []
    for kind in kinds:
        for _ in range(chance.choice((1, 1, 2))):
            actions.append(Action(chance.uniform(0.0, lasts_s), kind, chance.choice((0.05, 0.5, 1.8, 2.6))))
    actions.sort(key=lambda action: action.at_s)
    return Plan(
        kinds=frozenset(kinds),
        workers=chance.choice((1, 2, 2, 3)),
        runs=chance.choice((1, 1, 2)),
        readers=chance.choice((1, 1, 2, 3)),
        lasts_s=lasts_s,
        actions=tuple(actions),
        config=_config(chance, frozenset(kinds)),
    )


def _config(chance: random.Random, kinds: frozenset[str]) -> Config:
    settings: dict[str, Any] = {
        "idle_timeout_s": 1.5,
        "first_token_timeout_s": 2.0,
        "drain_s": 1.0,
        "window_bytes": chance.choice((1_500, 4_000, 256 * 1024)),
        "read_bytes": chance.choice((8, 64, 256 * 1024)),
        "append_bytes": chance.choice((8, 256 * 1024)),
        "commit_ms": chance.choice((0.0, 5.0)),
    }
    if "forget" not in kinds:  # else those who wrote must come to heal before others see that a lease is over
        settings |= {"lease_s": 1.5, "renew_s": 0.5, "sweep_s": 0.25, "heal_s": 3.0}
    if not kinds & {"fail", "outage", "cut_off", "lose_news", "forget"}:
        settings["check_s"] = 1e6  # no news and no answer is lost, so that nobody may depend on a second look
    return Config(**settings)
