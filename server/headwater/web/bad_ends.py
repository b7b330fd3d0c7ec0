"""The end of a run as an error: for callers who wait for an answer, and get none."""

import math
from typing import Final

from headwater.core.events import End
from headwater.errors import (
    HeadwaterError,
    RunCancelled,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnknown,
)

# What an upstream says of a request is said on; of its own keys and its own state it is our operator's affair.
_BY_STATUS: Final[dict[int | None, type[UpstreamFailed]]] = {
    400: UpstreamRefused,
    413: UpstreamRefused,
    422: UpstreamRefused,
    404: UpstreamUnknown,
    429: UpstreamBusy,
    503: UpstreamUnavailable,
    529: UpstreamUnavailable,
}


def error_of(end: End) -> HeadwaterError | None:
    """What went wrong, or None where the model itself came to an end."""
    reason = end.reason or end.status
    detail = end.error.detail if end.error is not None else f"The run ended as {end.status}."
    match reason:
        case "completed" | "length" | "content_filter":
            return None
        case "cancelled":
            return RunCancelled("The run was cancelled.")
        case "internal_error":
            return HeadwaterError(detail)
        case "upstream_error":
            status, wait_s = (None, None) if end.error is None else (end.error.upstream_status, end.error.retry_after_s)
            kind = _BY_STATUS.get(status, UpstreamFailed)
            return kind(detail, reason=reason, retry_after=None if wait_s is None else math.ceil(wait_s))
        case "first_token_timeout" | "idle_timeout":
            return UpstreamTimeout(detail, reason=reason)
        case "producer_lost" | "drained":
            return UpstreamUnavailable(detail, reason=reason, retry_after=1)
        case _:
            return UpstreamFailed(detail, reason=reason)
