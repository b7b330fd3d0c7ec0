"""When to try again, and when to stop trying."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headwater_client.core.steps import Sleep, Steps, Tell
from headwater_client.core.trouble import Trouble
from headwater_client.errors import TooManyRetries
from headwater_client.runs import Resumed, Retrying

# Doubled with each failure: the first cut is hardly felt, and after an outage of seconds answers go on within seconds.
FIRST_S: Final = 0.5
LONGEST_S: Final = 8.0
# A connection that lasted so long worked, even if there was nothing to say: a proxy may cut silent ones.
LASTED_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not change: how the client is set, its clock (seconds) and its chance (0 up to 1)."""

    url: str
    max_wait_s: float
    clock: Callable[[], float]
    chance: Callable[[], float]


class Trials:
    """Failures in a row, with full jitter between them, for `max_wait_s` together."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.tries = 0
        """Failures in a row."""
        self._since = 0.0
        self._down = False

    def plan(self, trouble: Trouble) -> Retrying:
        """One more failure: the wait after it. Raises TooManyRetries where it would be beyond what is allowed."""
        rules, now = self._rules, self._rules.clock()
        if self.tries == 0:
            self._since = now
        self.tries += 1
        self._down = True
        waited = now - self._since
        left = rules.max_wait_s - waited
        if left <= 0 or trouble.at_least_s > left:
            raise self._too_many(trouble, waited) from trouble.error
        bound = min(LONGEST_S, FIRST_S * 2 ** min(self.tries - 1, 10))
        return Retrying(self.tries, min(trouble.at_least_s + bound * rules.chance(), left), trouble.error)

    def again(self, trouble: Trouble) -> Steps[None]:
        """Wait after a failure, and tell of it. Raises TooManyRetries."""
        retrying = self.plan(trouble)
        yield Tell(retrying)
        yield Sleep(retrying.wait_s)

    def works(self) -> Steps[None]:
        """There is an answer again. It is not forgotten yet that there was none."""
        for notice in self.worked():
            yield Tell(notice)

    def worked(self) -> list[Resumed]:
        """The same, as what there is to tell."""
        was_down, self._down = self._down, False
        return [Resumed(self.tries)] if was_down else []

    def forget(self) -> None:
        """It brought us further: the next failure is the first."""
        self.tries = 0

    def _too_many(self, trouble: Trouble, waited: float) -> TooManyRetries:
        if trouble.at_least_s > self._rules.max_wait_s:
            what = f"it asks to wait {trouble.at_least_s:g} s, longer than max_wait_s ({self._rules.max_wait_s:g} s)"
        else:
            what = f"given up after {self.tries} tries in {waited:.0f} s"
        return TooManyRetries(
            f"{self._rules.url} cannot be used: {what}. The last failure: "
            f"{str(trouble.error) or type(trouble.error).__name__}. Check that the server runs and can be reached.",
            tries=self.tries,
            waited_s=waited,
            retry_after=trouble.at_least_s or None,
        )
