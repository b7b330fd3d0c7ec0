"""The text of a run in pieces that are only ever added to, and the errors where that cannot be."""

from headwater_client.errors import NotCompleted, TakenBack
from headwater_client.runs import Attempt, Delta, End, Run, RunEvent, Snapshot


class TextTail:
    """What has been given out of a run's text."""

    def __init__(self) -> None:
        self._given: list[str] = []

    @property
    def text(self) -> str:
        """All of it."""
        if len(self._given) > 1:
            self._given = ["".join(self._given)]
        return self._given[0] if self._given else ""

    def take(self, event: RunEvent, run: Run) -> str:
        """What this event adds. Raises TakenBack where it withdraws something, NotCompleted at the end of a part."""
        match event:
            case Delta(text=str(text)):
                self._given.append(text)
                return text
            case Snapshot():
                return self._rest_of(event.text, run)
            case Attempt(how="restarted") if self.text:
                raise _taken_back(run)
            case End(status=status) if status != "completed":
                raise _not_completed(event, run, self.text)
        return ""

    def _rest_of(self, text: str, run: Run) -> str:
        """A snapshot comes where history was lost: what was given out is still in it, or is not."""
        if not text.startswith(self.text):
            raise _taken_back(run)
        rest, self._given = text[len(self.text) :], [text]
        return rest


def _taken_back(run: Run) -> TakenBack:
    return TakenBack(
        f"The answer of {run.id} was begun anew, and the text so far is not part of it any more. "
        "Read it again with get, or follow runs with watch, which tells of it.",
        code="taken_back",
    )


def _not_completed(end: End, run: Run, text: str) -> NotCompleted:
    why = end.error.detail if end.error is not None and end.error.detail else end.reason or ""
    said = f": {why}" if why else ""
    return NotCompleted(f"The answer of {run.id} is {end.status}{said}. It is not whole.", run=run, end=end, text=text)
