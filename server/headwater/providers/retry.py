"""Whether to ask an upstream again, and when: arithmetic without a clock."""

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from msgspec import Struct

# Busy, or broken for a moment. The others repeat themselves. 529 is how some say "overloaded".
PASSING = frozenset({429, 500, 502, 503, 504, 529})


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Full jitter: a wait is drawn from zero to a bound that doubles. Times are in seconds."""

    # With the bounds below, three more tries reach over 0 to 3.5 s: a hiccup, not an outage. Who calls us retries, too.
    tries_max: int = 4
    base_s: float = 0.5
    cap_s: float = 8.0
    # An upstream that asks for more than this is out of service for a person who waits; we say so instead.
    retry_after_max_s: float = 20.0

    def wait_s(self, failures: int, roll: float, retry_after_s: float | None) -> float | None:
        """How long to wait after this many failures, or None to give up; `roll` is random in [0, 1).

        Never shorter than the upstream asked for.
        """
        asked_s = retry_after_s or 0.0
        if failures >= self.tries_max or asked_s > self.retry_after_max_s:
            return None
        # Jitter comes on top of what was asked for, as everyone else was told the same.
        return asked_s + roll * min(self.cap_s, math.ldexp(self.base_s, failures - 1))


# Where another model stands ready, it answers sooner than this one after a wait.
WITH_FALLBACKS = RetryPolicy(tries_max=2, retry_after_max_s=1.0)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that a Retry-After asks for, at `now` in Unix seconds; None if there is none that can be read."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value) if value[:1].isdigit() else _date(value) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(value: str) -> float:
    date = parsedate_to_datetime(value)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
