"""Every error that reaches a caller.

HeadwaterError
├── BadRequest 400          malformed JSON, position, header; UnknownPrevious
├── Forbidden 403
├── NotFound 404            UnknownRun, UnknownResponse, UnknownModel, UnknownRoom, UnknownMessage
├── MethodNotAllowed 405
├── RequestTimeout 408      the body did not arrive in time: retryable
├── Conflict 409            IdempotencyConflict, RunNotEnded, RunCancelled
├── TooLarge 413
├── HeadTooLarge 431
├── UnsupportedMediaType 415
├── Invalid 422             a field's type or value, by its path
├── TooMany 429             retryable
├── Unavailable 503         StoreUnavailable, Draining: retryable
├── UpstreamFailed 502      and 400, 404, 429, 503, 504: what the model's server did, before its first token
└── DamagedLog 500          what was stored of one run or room cannot be read
ConfigError                 what the operator wrote cannot be used: one line, exit code 2
"""

from typing import ClassVar


class HeadwaterError(Exception):
    """An error with a stable code, an HTTP status, a WebSocket close code and a sentence for a person.

    `field` names the part of the input, `limit` the bound that was met, `retry_after` seconds to wait.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    close_code: ClassVar[int] = 1011
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        limit: int | float | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.limit = limit
        self.retry_after = retry_after
        self.headers = headers or {}


class BadRequest(HeadwaterError):
    status, code, title, close_code = 400, "bad_request", "Bad request", 4400


class MalformedJSON(BadRequest):
    code, title = "malformed_json", "Malformed JSON"


class MalformedPosition(BadRequest):
    code, title = "malformed_position", "Malformed position"


class UnknownPrevious(BadRequest):
    code, title = "previous_response_not_found", "Unknown previous response"


class Unauthenticated(HeadwaterError):
    """No credential, or one that says nothing (any more). All that are not valid are refused alike."""

    status, code, title, close_code = 401, "unauthenticated", "Unauthenticated", 4401


class Forbidden(HeadwaterError):
    status, code, title, close_code = 403, "forbidden", "Forbidden", 4403


class NotFound(HeadwaterError):
    status, code, title, close_code = 404, "not_found", "Not found", 4400


class UnknownRun(NotFound):
    code, title = "unknown_run", "Unknown run"


class UnknownResponse(NotFound):
    code, title = "response_not_found", "Unknown response"


class UnknownModel(NotFound):
    code, title = "unknown_model", "Unknown model"


class UnknownRoom(NotFound):
    code, title = "unknown_room", "Unknown room"


class UnknownMessage(NotFound):
    code, title = "unknown_message", "Unknown message"


class MethodNotAllowed(HeadwaterError):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class RequestTimeout(HeadwaterError):
    status, code, title, retryable = 408, "request_timeout", "Request timeout", True


class Conflict(HeadwaterError):
    status, code, title, close_code = 409, "conflict", "Conflict", 4400


class IdempotencyConflict(Conflict):
    code, title = "idempotency_conflict", "Idempotency key used with another body"


class RunNotEnded(Conflict):
    code, title = "run_not_ended", "The run has not ended"


class RunCancelled(Conflict):
    code, title = "cancelled", "The run was cancelled"


class TooLarge(HeadwaterError):
    status, code, title, close_code = 413, "too_large", "Too large", 1009


class HeadTooLarge(HeadwaterError):
    status, code, title = 431, "head_too_large", "Request headers too large"


class UnsupportedMediaType(HeadwaterError):
    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class Invalid(HeadwaterError):
    status, code, title, close_code = 422, "invalid", "Invalid input", 4400


class TooMany(HeadwaterError):
    status, code, title, close_code, retryable = 429, "too_many", "Too many", 4429, True


class Unavailable(HeadwaterError):
    status, code, title, close_code, retryable = 503, "unavailable", "Unavailable", 1013, True


class StoreUnavailable(Unavailable):
    code, title = "store_unavailable", "The store is unavailable"


class Draining(Unavailable):
    code, title, close_code = "draining", "Shutting down", 1001


class UpstreamFailed(HeadwaterError):
    """The model's server could not be reached, broke off, or answered with something else than an answer.

    `reason` is that of the run's end.
    """

    status, code, title, retryable = 502, "upstream_error", "The upstream failed", True

    def __init__(self, detail: str, *, reason: str, retry_after: int | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.reason = reason


class UpstreamRefused(UpstreamFailed):
    """It found the request wrong; asked again it would again."""

    status, code, title, retryable = 400, "upstream_refused", "The upstream refused the request", False


class UpstreamUnknown(UpstreamFailed):
    status, code, title, retryable = 404, "upstream_not_found", "The upstream does not know the model", False


class UpstreamBusy(UpstreamFailed):
    status, code, title = 429, "upstream_busy", "The upstream has too much to do"


class UpstreamUnavailable(UpstreamFailed):
    status, code, title = 503, "upstream_unavailable", "The upstream is out of service"


class UpstreamTimeout(UpstreamFailed):
    status, code, title = 504, "upstream_timeout", "The upstream did not answer in time"


class DamagedLog(HeadwaterError):
    """What was stored of one run or room cannot be read; the others can."""

    code, title = "damaged_log", "The log is damaged"


class ConfigError(Exception):
    """A setting, file or address that cannot be used. Its text is one line for the operator."""
