"""An upstream's answer, from its bytes to deltas and an honest end: what all wires have in common. No I/O."""

from abc import ABC, abstractmethod

from headwater.core.events import FinishReason, Usage
from headwater.core.lifecycle import Failed, Incomplete
from headwater.core.sse import FRAME_BYTES_MAX
from headwater.providers.base import Finish, ProviderError, Step
from headwater.providers.upstream_errors import Scrubber, error_message


class AnswerStream(ABC):
    """Takes the body in as it comes.

    Once `settled` the model has finished, and at most its usage follows; once `done` nothing more is to be read.
    `passing` says that it failed before anything came, for a reason that will pass: another try may do better.
    `promised` is whether the server's headers said that this is the body that was asked for.
    """

    body_name = "a stream"
    """What was asked for, for errors."""

    def __init__(self, scrub: Scrubber, *, promised: bool = True) -> None:
        self.settled = False
        self.done = False
        self.passing = False
        self._scrub = scrub
        self._promised = promised
        self._events = 0
        self._error: ProviderError | None = None
        self._finish_word: str | None = None  # in the upstream's words
        self._said_done = False

    @abstractmethod
    def feed(self, data: bytes) -> list[Step]:
        """The steps that `data` completed. It never raises: what is wrong with the stream, `finish` says."""

    @abstractmethod
    def close(self) -> list[Step]:
        """The body is over, or was cut: what was still held back."""

    @property
    @abstractmethod
    def usage(self) -> Usage | None:
        """What the upstream counted last."""

    @abstractmethod
    def _finish_reason(self) -> FinishReason | None:
        """Why the model finished; None where the protocol did not say so, or not in words that are known."""

    @abstractmethod
    def _take_whole(self, body: bytes, steps: list[Step]) -> None:
        """Take a body that is one JSON value, not a stream."""

    def feed_whole(self, body: bytes) -> list[Step]:
        """The steps of a body that is JSON, of a server that ignored `stream` or reports an error under a 200."""
        steps: list[Step] = []
        if len(body) > FRAME_BYTES_MAX:
            self._fail("bad_upstream_data", f"the upstream's answer is larger than {FRAME_BYTES_MAX} bytes")
        else:
            self._take_whole(body, steps)
        self.settled = self.done = True
        return steps

    def awaits_usage(self) -> bool:
        """Whether the model has finished, and its usage, or the end of the protocol, may follow."""
        return self.settled and not self.done

    @property
    def is_finished(self) -> bool:
        """Whether the model has finished, and nothing went wrong."""
        return self.settled and self._error is None

    def known_finish(self) -> Finish | None:
        """Why the model finished, where only its usage, or the end of the protocol, may follow."""
        reason = self._finish_reason() if self._error is None and self.awaits_usage() else None
        return Finish(reason, self.usage, final=False) if reason else None

    def finish(self, cut: str | None = None) -> Finish:
        """How the answer ended; `cut` says why the connection broke, if it did. Raises ProviderError."""
        if self._error is None and (reason := self._finish_reason()):
            return Finish(reason, self.usage)
        if self._error is None:
            self._fail(*self._shortcoming(cut))
        assert self._error is not None
        raise self._error

    def _shortcoming(self, cut: str | None) -> tuple[Failed | Incomplete, str]:
        """What is missing from an answer that held no error and no reason to finish that is known."""
        if self._finish_word and self.settled:
            word = self._scrub(self._finish_word[:64])
            return "no_finish_reason", f"the upstream finished for a reason that is not known here: {word!r}"
        if self._said_done:
            return "no_finish_reason", "the upstream ended its answer without saying why"
        if cut is not None:
            return "upstream_cut", f"the connection to the upstream was lost: {cut}"
        if not self._events and not self._promised:
            return "bad_upstream_data", f"the upstream's answer is not {self.body_name}"
        return "upstream_cut", "the upstream's answer ended before it was finished"

    def _fail_upstream(self, error: object) -> None:
        message = self._scrub(error_message(error)) or "it gave no reason"
        self._fail("upstream_error", f"the upstream reported an error: {message}")

    def _fail_under_200(self, error: object) -> None:
        message = self._scrub(error_message(error)) or "it gave no reason"
        self._fail("bad_upstream_data", f"the upstream answered 200 with an error: {message}")

    def _fail(self, reason: Failed | Incomplete, detail: str) -> None:
        self._error = ProviderError(reason, detail, self.usage)
        self.settled = self.done = True
