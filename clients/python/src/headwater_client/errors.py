"""What can go wrong, each with a sentence that says what to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater_client.runs import End, Run


class HeadwaterError(Exception):
    """Any error of this package. `code` is stable and made for programs; the message is for people.

    Where a server answered, `status` is its HTTP status; where it said how long to wait, `retry_after` has the seconds.
    """

    def __init__(self, message: str, *, code: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.retry_after = retry_after


class Unauthorized(HeadwaterError):
    """There is no credential, or it is not valid (any more), and no newer one was to be had."""


class Forbidden(HeadwaterError):
    """The credential does not allow it."""


class NotFound(HeadwaterError):
    """There is no such run, room, message or model; or it has expired, or is somebody else's."""


class BadRequest(HeadwaterError):
    """The request is wrong, and changed nothing. `field` is the part of it, `limit` the bound that was passed."""

    def __init__(
        self, message: str, *, code: str, status: int | None = None, field: str | None = None, limit: int | None = None
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.field = field
        self.limit = limit


class TooManyRetries(HeadwaterError):
    """The server could not be reached, or would not serve, for as long as `max_wait_s` allows.

    `tries` have failed since `waited_s` seconds; the last failure is the `__cause__`. Nobody knows whether a run was
    started: to try again, give `idempotency_key` to `create` once more, so that it is not started twice.
    """

    idempotency_key: str | None = None

    def __init__(self, message: str, *, tries: int, waited_s: float, retry_after: float | None = None) -> None:
        super().__init__(message, code="too_many_retries", retry_after=retry_after)
        self.tries = tries
        self.waited_s = waited_s


class NotHeadwater(HeadwaterError):
    """What answers at this address is no Headwater: the address is wrong."""


class Buffered(HeadwaterError):
    """A proxy on the way holds the stream back."""


class ServerError(HeadwaterError):
    """The server has a fault of its own: sending the request again will not help."""


class Unavailable(HeadwaterError):
    """The server is away, or cannot serve for now. It is retried; you see it as the cause of a retry."""


class NotCompleted(HeadwaterError):
    """The answer has ended, and is not whole. `text` is what there is of it, `end` says why."""

    def __init__(self, message: str, *, run: "Run", end: "End", text: str) -> None:
        super().__init__(message, code=end.reason or end.status)
        self.run = run
        self.end = end
        self.text = text


class TakenBack(HeadwaterError):
    """Text that was given out already is not part of the answer any more: it was begun anew."""


class NotDelivered(HeadwaterError):
    """One left the room before the server had taken these messages, by their client_id."""

    def __init__(self, message: str, *, client_ids: Sequence[str]) -> None:
        super().__init__(message, code="not_delivered")
        self.client_ids = tuple(client_ids)
