"""Upstreams that fail again and again are left alone for a while. Arithmetic, given the time."""

from msgspec import Struct

# Models of which it is known how they fare. Names are the callers' to choose where any is passed on.
MODELS_MAX = 1_000
# Each time that one fails again after its rest the next is twice as long, up to this many times the first. Nor does an
# upstream get more that asks for it: it may be tried too early, but is not forgotten.
REST_TIMES_MAX = 8


class _Breaker(Struct):
    failures: int = 0
    rest_s: float = 0.0
    rests_until: float = 0.0
    probed: bool = False
    """It was asked after its rest."""


class Breakers:
    """One a model. `failures` in a row make it rest for `rest_s` seconds; after that one run may ask it, and decides.

    It only says who is better not asked first: where nobody else is left, one that rests is asked all the same.
    """

    def __init__(self, failures: int, rest_s: float) -> None:
        self._failures = failures
        self._rest_s = rest_s
        self._breakers: dict[str, _Breaker] = {}

    def __repr__(self) -> str:
        return f"<Breakers resting={[name for name, one in self._breakers.items() if one.rests_until]}>"

    def rests(self, model: str, now: float) -> bool:
        """Whether to ask another first."""
        one = self._breakers.get(model)
        return one is not None and now < one.rests_until

    def asked(self, model: str, now: float) -> None:
        """It is asked: if it has just rested, the others wait for what comes of it, or for as long again."""
        one = self._breakers.get(model)
        if one is not None and one.rests_until and now >= one.rests_until:
            one.rests_until, one.probed = now + one.rest_s, True

    def failed(self, model: str, now: float, retry_after_s: float | None = None) -> bool:
        """It failed, or wants to be left alone for so long; whether it rests from now on and did not before."""
        one = self._breakers.pop(model, None) or _Breaker()
        self._breakers[model] = one  # the one that failed last is forgotten last
        if len(self._breakers) > MODELS_MAX:
            del self._breakers[next(iter(self._breakers))]
        one.failures += 1
        if one.failures < self._failures and not retry_after_s:
            return False
        longest_s = self._rest_s * REST_TIMES_MAX
        rested = one.rests_until > 0
        if not rested:
            one.rest_s = self._rest_s
        elif one.probed:  # those that were under way when it began to rest tell nothing new
            one.rest_s = min(one.rest_s * 2, longest_s)
        one.probed = False
        one.rests_until = max(one.rests_until, now + min(max(one.rest_s, retry_after_s or 0.0), longest_s))
        return not rested

    def answered(self, model: str) -> None:
        """It produces: all is forgotten."""
        self._breakers.pop(model, None)
