"""What may pass: a reason to try again."""

from dataclasses import dataclass


class Broken(Exception):
    """What came is not what the protocol promises. The connection is given up, and the last good position kept."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failure that may pass. `error` says of what; the other side may have asked to wait `at_least_s`."""

    error: Exception
    at_least_s: float = 0.0
    silent: bool = False
    """Nothing came at all, for as long as something should have."""
