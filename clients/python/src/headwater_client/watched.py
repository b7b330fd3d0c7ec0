"""What a reader of a run knows, whichever client it belongs to."""

from headwater_client.core.run_view import RunView
from headwater_client.core.text import TextTail
from headwater_client.errors import HeadwaterError
from headwater_client.runs import End, Part, Run, RunEvent, Status


class Watched:
    """A run as its events have shown it so far."""

    def __init__(self, view: RunView) -> None:
        self._view = view

    @property
    def run_id(self) -> str:
        """Which run it is; empty while it is being started."""
        return self._view.run_id

    @property
    def run(self) -> Run | None:
        """The run as it was started, if it was started here."""
        return self._view.run

    @property
    def status(self) -> Status:
        """How the run stands."""
        return self._view.status

    @property
    def text(self) -> str:
        """The text so far, or since `after`."""
        return self._view.content.text

    @property
    def parts(self) -> tuple[Part, ...]:
        """All output so far, or since `after`: text, reasoning, refusals and tool calls."""
        return self._view.content.parts

    @property
    def position(self) -> str:
        """Where this reader stands: what to give as `after`, to go on later."""
        return self._view.position

    @property
    def end(self) -> End | None:
        """How it ended."""
        return self._view.end

    def _its_end(self) -> End:
        if self._view.end is None:
            raise HeadwaterError("This reader was closed before the run had ended.", code="closed")
        return self._view.end


class Streamed:
    """The text of a run as far as it was given out."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._tail = TextTail()

    @property
    def run(self) -> Run | None:
        """The run, once it is started."""
        return self._watched.run

    @property
    def text(self) -> str:
        """What has come so far."""
        return self._tail.text

    @property
    def position(self) -> str:
        """Where this reader stands: what to give to `watch` as `after`, to go on later."""
        return self._watched.position

    @property
    def end(self) -> End | None:
        """How it ended."""
        return self._watched.end

    def _text_of(self, event: RunEvent) -> str:
        assert self.run is not None, "it is started before it is followed"
        return self._tail.take(event, self.run)
