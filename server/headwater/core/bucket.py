"""How fast somebody may go: so many at once, and so many a second."""

import math
from typing import Final

from msgspec import Struct


class Rate(Struct, frozen=True):
    """`burst` at once (1 or more), and `per_s` a second (more than 0) in the long run."""

    per_s: float
    burst: int


class Bucket:
    """A token bucket: full at first. Times are monotonic seconds; one that is told late takes nothing back."""

    def __init__(self, rate: Rate) -> None:
        self.rate: Final = rate
        self._left = float(rate.burst)
        self._at = -math.inf

    def __repr__(self) -> str:
        return f"<Bucket {self._left:.1f} of {self.rate.burst}>"

    def take(self, now: float) -> bool:
        """Take a token. False if there is none."""
        if now > self._at:
            self._left = min(self.rate.burst, self._left + (now - self._at) * self.rate.per_s)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
