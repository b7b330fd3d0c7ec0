"""What the operator is told of answers that failed."""

import logging

from msgspec import Struct

from headwater.core.events import End

log = logging.getLogger("headwater.executor")

# Between two lines about one model: while its upstream is down, each of a thousand answers fails for the same reason.
COMPLAIN_S = 10.0
# Models of which it is known when they were complained of. Beyond, the one that failed first gets a line once more.
MODELS_MAX = 1_000


class _Complaint(Struct):
    at: float
    left_out: int = 0


class Failures:
    """A line for a model whose answer failed, and after that for a while only how many more there were."""

    def __init__(self) -> None:
        self._complaints: dict[str, _Complaint] = {}

    def note(self, model: str, end: End, now: float) -> None:
        """See how an answer ended."""
        if end.status != "failed":
            return
        last = self._complaints.get(model)
        if last is not None and now - last.at < COMPLAIN_S:
            last.left_out += 1
            return
        error = end.error
        log.warning(
            "model %r failed: %s: %r; %d more before it",
            model,
            end.reason or (error.code if error else "unknown"),
            error.detail if error else "",
            last.left_out if last else 0,
        )
        self._complaints[model] = _Complaint(now)
        if len(self._complaints) > MODELS_MAX:
            del self._complaints[next(iter(self._complaints))]
