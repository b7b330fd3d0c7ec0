"""The life of a run as a table, and how a provider's stream becomes an honest end."""

from typing import Final, Literal

from headwater.core.events import End, Failure, FinishReason, Status, Usage

TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    "queued": frozenset({"in_progress", "cancelled", "incomplete", "failed"}),
    "in_progress": frozenset({"completed", "failed", "cancelled", "incomplete"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "incomplete": frozenset(),
}
"""Everything that may follow a status. A status that nothing follows is an end."""

ENDED: Final = frozenset(status for status, following in TRANSITIONS.items() if not following)

Incomplete = Literal[
    "length", "content_filter", "upstream_cut", "idle_timeout", "no_finish_reason", "producer_lost", "drained"
]
Failed = Literal["upstream_error", "upstream_unreachable", "first_token_timeout", "bad_upstream_data", "internal_error"]


def end_finished(finish: FinishReason, usage: Usage | None) -> End:
    """The end of a stream whose protocol said why it finished."""
    match finish:
        case "stop" | "tool_calls":
            return End("completed", finish_reason=finish, usage=usage)
        case "length" | "content_filter":
            return End("incomplete", finish_reason=finish, reason=finish, usage=usage)


def end_incomplete(
    reason: Incomplete,
    detail: str,
    usage: Usage | None = None,
    *,
    upstream_status: int | None = None,
    retry_after_s: float | None = None,
) -> End:
    """The end of a run whose output stops short, with what was known of its usage."""
    failure = Failure(reason, detail, upstream_status, retry_after_s)
    return End("incomplete", reason=reason, error=failure, usage=usage)


def end_failed(
    reason: Failed,
    detail: str,
    usage: Usage | None = None,
    *,
    upstream_status: int | None = None,
    retry_after_s: float | None = None,
) -> End:
    """The end of a run that went wrong."""
    failure = Failure(reason, detail, upstream_status, retry_after_s)
    return End("failed", reason=reason, error=failure, usage=usage)


def end_cancelled(usage: Usage | None = None) -> End:
    """The end of a run that somebody cancelled."""
    return End("cancelled", usage=usage)
