"""A room's events as lines, with one answer at a time growing before one's eyes."""

from headwater.cli.attempts import how_it_goes_on
from headwater.cli.remote import one_line
from headwater.cli.screen import Paper
from headwater_client import (
    AsyncRoom,
    Began,
    Deleted,
    Edited,
    Ended,
    Grew,
    Joined,
    Member,
    Message,
    Missed,
    Presence,
    Refused,
    Retried,
    RoomEvent,
    Said,
)


class Talk:
    """Writes what happens in the room. A message may be ahead of the events that tell of it: nothing is shown twice."""

    def __init__(self, room: AsyncRoom, paper: Paper) -> None:
        self._room = room
        self._paper = paper
        self._open: Message | None = None
        self._written = ""
        self._goes_on_below = False
        self._shown: set[tuple[str, str]] = set()

    def take(self, event: RoomEvent) -> None:
        """One more event."""
        match event:
            case Joined(recovered=False) | Missed():
                self._from_its_beginning()
            case Said(message):
                self._whole(message)
            case Began(message) if self._open is None and message.growing:
                self._show(message)
            case Retried(message) if self._open is not None and self._open.id == message.id:
                self._retried(event)
            case Grew(message):
                self._grew(message)
            case Ended(message):
                self._ended(message)
            case Edited(message):
                self._line(f"{message.name}, edited: {message.text}")
            case Deleted(message):
                self._line(f"* a message of {message.name} was taken back")
            case Presence(joined, left):
                self._came_and_went(joined, left)
            case Refused(message, error):
                self._line(f"* not said: {one_line(message.text)[:40]!r}: {one_line(error.message)}")

    def note(self, text: str) -> None:
        """Something that nobody said."""
        self._line(f"* {text}")

    def who(self) -> None:
        """Who is there."""
        self.note(f"here: {', '.join(sorted(member.name for member in self._room.members.values()))}")

    def _from_its_beginning(self) -> None:
        self._open = None
        for message in self._room.messages:
            if not message.growing:
                self._whole(message)
        you = self._room.you
        if you is not None:
            self.note(f"you are {you.name} in {self._room.name}; /help says what can be typed")
        self.who()
        self._show_next()

    def _line(self, text: str) -> None:
        """A whole line; the answer that grows goes on below it."""
        self._paper.line(_indented(text))
        self._goes_on_below = self._open is not None

    def _whole(self, message: Message) -> None:
        """A message at once; one's own when it is said, and not again when everybody has it."""
        if self._is_new(message):
            said = f"{message.name}: {message.text}{_how_it_ended(message)}"
            self._line(f"* a message of {message.name} was taken back" if message.deleted else said)

    def _is_new(self, message: Message) -> bool:
        key = (message.by, message.client_id) if message.client_id is not None else ("", message.id)
        if key in self._shown:
            return False
        self._shown.add(key)
        return True

    # -- answers

    def _show(self, message: Message) -> None:
        self._open, self._written, self._goes_on_below = message, "", False
        self._paper.write(f"{message.name}: ")
        self._grew(message)

    def _show_next(self) -> None:
        growing = [message for message in self._room.messages if message.growing]
        if growing:
            self._show(growing[0])

    def _grew(self, message: Message) -> None:
        if self._open is None or self._open.id != message.id:
            return
        if not message.text.startswith(self._written):
            self._open = None
            self.note("the answer begins anew")
            return self._show(message)
        new, self._written = message.text[len(self._written) :], message.text
        return self._go_on(_indented(new))

    def _retried(self, event: Retried) -> None:
        self.note(how_it_goes_on(event))
        if event.how == "restarted":
            self._show(event.message)

    def _go_on(self, text: str) -> None:
        if text and self._open is not None:
            self._paper.write(f"{self._open.name} …{text}" if self._goes_on_below else text)
            self._goes_on_below = False

    def _ended(self, message: Message) -> None:
        if self._open is None or self._open.id != message.id:
            return self._whole(message)
        self._grew(message)
        self._go_on(f"{_how_it_ended(message)}\n" if self._is_new(message) else "\n")
        self._open = None
        return self._show_next()

    def _came_and_went(self, joined: tuple[Member, ...], left: tuple[Member, ...]) -> None:
        you = self._room.you
        for member in joined:
            if you is None or member.id != you.id:
                self.note(f"{member.name} came")
        for member in left:
            self.note(f"{member.name} left")


def _indented(text: str) -> str:
    """At the beginning of a line stands who says it: nobody's words look like somebody else's."""
    return text.replace("\n", "\n  ")


def _how_it_ended(message: Message) -> str:
    if message.status in (None, "completed"):
        return ""
    why = message.error.detail if message.error is not None and message.error.detail else message.reason
    return f" ({message.status}{f': {one_line(why)}' if why else ''})"
