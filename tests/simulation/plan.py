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
    "failover",
    "forget",
    "clock",
    "lose_news",
    "muddle_news",
    "deafen",
    "upstream",
    "cancel",
)
"""What can go wrong. A schedule has only some of it: what always happens together is never seen apart."""


THEMES = (
    {"forget", "kill", "lose_news"},
    {"forget", "freeze", "deafen"},
    {"failover", "cancel", "fail"},
    {"freeze", "muddle_news"},
    {"stall", "freeze"},
    {"kill", "upstream", "drain"},
    {"lose_news", "muddle_news", "deafen"},
)
"""What is worst together."""
LASTING = {"fail", "lose_news", "muddle_news", "upstream"}
"""What has no beginning of its own: it is so from the start."""

FORGETTING = {"failover", "forget"}
"""After a failover everybody has seen that the store was away; a store that just forgets is worse than any."""

LOSING = {"fail", "outage", "cut_off", "lose_news"} | FORGETTING
"""Where news or an answer is lost; without any of it nobody may depend on a second look."""

FREEZE_TIMES = 2
"""Processes are frozen for longer than the rest lasts: for longer than any lease."""


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
    def forgets(self) -> bool:
        """Whether the store may lose what it has acknowledged."""
        return bool(self.kinds & FORGETTING)

    @property
    def upset_s(self) -> float:
        """For so long after a mishap a worker may lose a lease because of it."""
        lease_s = self.config.lease_s
        again_s = lease_s + 1.0 if self.forgets else 0.0  # taken again, and then too little was found of it
        return lease_s + 1.0 + again_s + self._stalled_s

    @property
    def taken_s(self) -> float:
        """From the calm on, until each run is held by somebody who lives.

        That are two sweeps after a lease has run out, or after what followed the last failure: no sweeps for as long
        as a lease lasts, a late request of somebody who had given up, a lease of whoever found nothing to go on from;
        and there must be somebody who is not frozen.
        """
        lease_s = self.config.lease_s
        failed_s = 2 * lease_s if self.kinds & {"fail", "outage", "cut_off", "failover"} else 0.0
        forgot_s = 2 * lease_s if self.forgets else 0.0
        behind_s = 2.0 if "clock" in self.kinds else 0.0
        frozen_s = max((FREEZE_TIMES * one.for_s for one in self.actions if one.kind == "freeze"), default=0.0)
        return lease_s + 2.0 + failed_s + forgot_s + behind_s + frozen_s + self._stalled_s

    @property
    def bound_s(self) -> float:
        """From the calm on, until all runs have ended and all readers know it: somebody waits for an upstream, some
        times, then one answers at its pace, and a reader hears of it at the second look at a quiet log."""
        return self.taken_s + 45.0

    @property
    def _stalled_s(self) -> float:
        return sum(action.for_s for action in self.actions if action.kind == "stall")


def draw_plan(chance: random.Random) -> Plan:
    """One schedule."""
    theme = chance.choice((*THEMES, set[str]()))
    kinds = {kind for kind in KINDS if kind in theme or chance.random() < 0.2}
    if chance.random() < 0.3:
        kinds -= LOSING
    lasts_s = chance.uniform(0.5, 3.0)
    actions = [
        Action(chance.uniform(0.0, lasts_s), kind, chance.choice((0.05, 0.5, 1.8, 2.6)))
        for kind in KINDS
        if kind in kinds - LASTING
        for _ in range(chance.choice((1, 1, 2)))
    ]
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
    if not kinds & FORGETTING:  # else those who wrote must come to heal before others see that a lease is over
        settings |= {"lease_s": 1.5, "renew_s": 0.5, "sweep_s": 0.25, "heal_s": 3.0}
    if not kinds & LOSING:
        settings["check_s"] = 1e6  # no news and no answer is lost, so that nobody may depend on a second look
    return Config(**settings)
