"""What the clients are asked to do: a use case is a generator that yields steps, and is sent what came of each.

The sync and the async client perform the same steps. None of the rest of `core` knows which of them it is.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from headwater_client.runs import Notice, RunEvent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` follows the address that the client was given."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def bearing(self, token: str | None) -> "Request":
        """The same with this credential."""
        if token is None:
            return self
        return replace(self, headers={**self.headers, "Authorization": f"Bearer {token}"})


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request; header names are in lower case. Of a stream that was opened the body is empty."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def media_type(self) -> str:
        """What the body is."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def streams(self) -> bool:
        """Whether events follow."""
        return self.status == 200 and self.media_type == "text/event-stream"


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came, or the rest of one did not. `silent` where nothing came for as long as something should have.

    `hopeless` where trying again will not help.
    """

    error: Exception
    silent: bool = False
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Get the whole reply: Reply | Lost."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Get the reply, and leave it open if it streams: Reply | Lost. What was open before is closed."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of what is open, none at its end: bytes | Lost."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close what is open, if anything is: None."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait: None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Token:
    """The credential, another one than was `rejected`: str | None."""

    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell whoever wants to know about the connection: None."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Emit:
    """Give this to whoever follows: None."""

    event: RunEvent


Step = Send | Open | Read | Close | Sleep | Token | Tell | Emit
Steps = Generator[Step, Any, T]
