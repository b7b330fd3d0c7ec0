"""What this worker knows of the upstreams: which fail so often that others are asked first."""

import asyncio
import logging
from collections.abc import Sequence

from headwater.config import Config
from headwater.core.events import End
from headwater.core.recovery import is_refusal, may_pass
from headwater.executor.breakers import Breakers
from headwater.metrics import Metrics
from headwater.providers.catalog import Model

log = logging.getLogger("headwater.executor")


class Upstreams:
    """Asked whom to ask, and told what came of it, by all runs of a worker."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._breakers = Breakers(config.breaker_failures, config.breaker_rest_s)
        self._metrics = metrics

    def prefer(self, models: Sequence[Model]) -> Model:
        """Whom to ask: the first that does not rest; the first of all where each does."""
        now = asyncio.get_running_loop().time()
        return next((model for model in models if not self._breakers.rests(model.name, now)), models[0])

    def asked(self, model: Model) -> None:
        """It is asked now."""
        self._breakers.asked(model.name, asyncio.get_running_loop().time())

    def answered(self, model: Model, end: End) -> None:
        """What came of it, as far as that says anything of the upstream."""
        if end.status == "completed" or end.reason in ("length", "content_filter") or is_refusal(end):
            self._breakers.answered(model.name)
        elif may_pass(end, continuing=False):
            wanted_s = end.error.retry_after_s if end.error is not None else None
            if self._breakers.failed(model.name, asyncio.get_running_loop().time(), wanted_s):
                log.warning("model %r fails again and again (%s): others are asked first", model.name, end.reason)
                self._metrics.breakers_opened.labels(model.name).inc()
