"""The provider's contract.

A provider is asked once per attempt. It yields deltas as they come, a `Usage` where it knows one, and, if its
protocol said so, one final `Finish` last. Ending without one is a cut. It raises `ProviderError` where it knows better.
Closing the generator closes the upstream at once.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from msgspec import Struct

from headwater.core.events import Delta, FinishReason, Usage
from headwater.core.lifecycle import Failed, Incomplete
from headwater.core.run import RunRequest


class Finish(Struct, frozen=True):
    """The protocol's own word that the answer is finished, and why. Unless `final`, what it cost is still to come."""

    reason: FinishReason
    usage: Usage | None = None
    final: bool = True


class ProviderError(Exception):
    """The stream went wrong. `reason` is what the end will say; `detail` one sentence without secrets.

    `usage` is what the provider had counted until then, `status` the HTTP status with which an upstream refused
    the request, and `retry_after_s` how many seconds it asked to wait.
    """

    def __init__(
        self,
        reason: Failed | Incomplete,
        detail: str,
        usage: Usage | None = None,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.usage = usage
        self.status = status
        self.retry_after_s = retry_after_s


class Written(Struct, frozen=True):
    """What there is of an answer already: its whole text, and about how many tokens that took."""

    text: str
    tokens: int


Step = Delta | Finish | Usage
"""A `Usage` on the way counts the whole answer until then: the bill if it is cut off there."""


class Provider(ABC):
    """One way to answer requests."""

    @abstractmethod
    def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        """The answer to `request`, in lists of what came together: a list per chunk read, never empty.

        The caller closes it. The time to the first delta and between deltas is the caller's to bound,
        so keep-alives of the upstream must not be yielded. A `Usage` is no sign of life.
        """

    def continues(self, request: RunRequest) -> bool:
        """Whether an answer to `request` that was broken off in its text can be gone on with, by `generate_from`."""
        return False

    def generate_from(self, request: RunRequest, written: Written) -> AsyncGenerator[list[Step], None]:
        """The rest of an answer, which holds nothing but text so far; otherwise as `generate`.

        Joined to `written.text`, which is not empty, it is the answer. Its usage is that of this request alone.
        Only called where it `continues`. A ProviderError of the status 400 says that it cannot after all.
        """
        raise NotImplementedError

    def check(self, request: RunRequest) -> None:
        """Refuse, before a run is made of it, a request that can never be answered. Raises `errors.Invalid`."""
        return

    async def close(self) -> None:
        """Let go of what the provider holds for all requests."""
        return
