"""What a connection that lasts holds of its caller's: a place among those it may have, and leave to stay."""

from functools import partial
from typing import Self

from starlette.requests import HTTPConnection

from headwater.access import Seat, Watch
from headwater.hub import Cursor
from headwater.state import AppState
from headwater.web.auth import address_of, principal_of


class Visit:
    """From before a cursor is taken until its response is over. Close it."""

    __slots__ = ("_seat", "_watch")  # as of all that a stream holds while it is silent

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._watch: Watch | None = None

    @classmethod
    async def begin(cls, connection: HTTPConnection[AppState]) -> Self:
        """Take the place. Raises TooMany, StoreUnavailable."""
        return cls(await connection.state["quotas"].sit_down(principal_of(connection), address_of(connection)))

    def follow(self, connection: HTTPConnection[AppState], cursor: Cursor) -> None:
        """Let the cursor go when the caller's credential is over."""
        on_over = partial(cursor.let_go, "unauthenticated")
        self._watch = connection.state["access"].watch(principal_of(connection), on_over)

    def close(self) -> None:
        """The connection is over."""
        self._seat.close()
        if self._watch is not None:
            self._watch.close()
