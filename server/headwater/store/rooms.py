"""The contract of rooms: their settings, their logs, the messages as they stand, and the answers that are asked for.

A room's log is read as a run's is, by position. Each append to it changes, in the same step, the messages that it is
about: readers of the log and of pages see one history. The same rules as of `store/base.py` hold: times are judged by
the store's clock (but an event says when it happened by the clock of who wrote it), a write can be sent again after a
lost answer, and any method raises `StoreUnavailable` when the store could not answer.

A run of a room lies beside it: `Run.room` names the room, and the step that writes such a run's `end`, whoever does it
(`Store.append`, `Store.cancel`, `Store.give_up`), also writes a `RunEnded` with all of the output on top of the room's
log, under the tag of the end, changes the answer's message, and removes the turn. Of a message that is gone or damaged
those who follow are told all the same; a room that knows neither the turn nor the message is told nothing.
"""

from abc import abstractmethod
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from headwater.core.events import Entry
from headwater.core.position import START, Position
from headwater.core.room import Place, Post, RoomEvent, RoomKey, RoomSettings, Turn, room_key
from headwater.core.run import Run
from headwater.errors import Conflict
from headwater.store.base import Logs


class Room(Struct, frozen=True, kw_only=True):
    """A room as it stands. `created_at` is in Unix seconds by the store's clock; `top` is where its log stands."""

    key: RoomKey
    settings: RoomSettings
    created_at: float
    top: Position = START


class Put(Struct, frozen=True):
    """Keep a message so. It is a new one if `version` is START, else it must not have changed since `version`."""

    post: Post
    version: Position = START


class Change(Struct, frozen=True, kw_only=True):
    """One append: `events` enter the log as one entry under `tag`, and the messages they are about become `puts`.

    `once`, where it is not "", names what must happen but once, as a sender and their own name for a message: the
    first to use it wins. It is remembered for as long as the message that it made is kept. `turns` begin to wait.
    """

    tag: int
    events: tuple[RoomEvent, ...]
    puts: tuple[Put, ...] = ()
    once: str = ""
    turns: tuple[Turn, ...] = ()

    def place(self, message: str, after: Position) -> tuple[Position, Position]:
        """Where it puts a message on top of `after`: the positions of the first and the last event about it."""
        about = [seq for seq, event in enumerate(self.events, after.seq + 1) if event.message == message]
        return Position(about[0], self.tag), Position(about[-1], self.tag)


class Changing(Enum):
    """What the store did with a change. Only STORED changed anything, or found this change (by its tag) done before."""

    STORED = "stored"
    SEEN = "seen"  # `once` was used: by the message that is told
    CHANGED = "changed"  # a message is another now than at `version`, or is gone
    GONE = "gone"  # there is no such room


class Changed(Struct, frozen=True):
    """`entry` is what was stored, now or by an earlier try; `message` the id of the message that had used `once`."""

    outcome: Changing
    entry: Entry | None = None
    message: str | None = None


class Beginning(Enum):
    """What became of a turn that was to begin."""

    BEGUN = "begun"  # now, or by an earlier try
    BUSY = "busy"  # as many answers are open as may be
    GONE = "gone"  # it was dropped, or has ended, or was begun by another


class Begun(Struct, frozen=True):
    """`entry` is what entered the room's log, `run` the queued run, where it was BEGUN."""

    outcome: Beginning
    entry: Entry | None = None
    run: Run | None = None


class Entered(Struct, frozen=True, kw_only=True):
    """A room at one moment, for one who comes in.

    Where `since` joins the log, `entries` are what lies after it, in order, up to about `max_bytes` of them; else
    `joined` is False and `page` has the newest messages, oldest first. `top` is the log's top at that moment,
    `open` the turns whose runs have not ended, in the order of their begin, each with its answer's message,
    `marks` how far each member has read, as seqs.
    """

    room: Room
    joined: bool
    entries: tuple[Entry, ...]
    page: tuple[Place, ...]
    open: tuple[tuple[Turn, Place], ...]
    marks: dict[str, int]


class RoomStore(Logs):
    """The contract. `tests/store/contract/rooms.py` holds every engine to it.

    `read` and `tops` are of rooms' logs, by rooms' ids; the status of a top is `in_progress`.
    """

    @abstractmethod
    async def put(self, key: RoomKey, settings: RoomSettings, *, replace: bool) -> tuple[Room, bool]:
        """Make the room if there is none; with `replace` its settings become these. The room, and whether it is new.

        A room that is made again after it was lost begins anew at START, with other tags.
        """

    @abstractmethod
    async def get(self, room_id: str) -> Room | None:
        """The room, or None."""

    @abstractmethod
    async def remove(self, room_id: str) -> bool:
        """Remove the room with all that is in it: in one step it is there no more. False if there is none.

        The runs of its answers stay, until they expire. One that is made again under its name begins anew at START.
        Raises `Conflict`, and changes nothing, while answers are open or wait (see `answers_under_way`).
        """

    @abstractmethod
    async def list_rooms(self, tenant: str, *, before: str | None, limit: int) -> tuple[list[Room], bool]:
        """The tenant's rooms, newest first, those older than the room named `before`; and whether there are more.

        Raises `UnknownRoom` if there is no room `before`.
        """

    @abstractmethod
    async def change(self, room_id: str, change: Change) -> Changed:
        """Append to the log and change messages, in one step.

        In this order: no such room → GONE; the newest change of one of the messages bears this tag, or `once` was
        used by the message that this change makes → STORED, with the entry as it was stored; `once` was used
        otherwise → SEEN; a message's version is another → CHANGED; else it is STORED. Then what the room's retention
        lets go is trimmed, oldest first: log entries, and with them the messages that they created, but of an
        open answer's the message stays until it ends. So is what is beyond the bytes that the engine keeps of a log
        (as they were when the room was set), but never the newest entry.
        """

    @abstractmethod
    async def begin(self, room_id: str, turn_id: str, run: Run, change: Change, *, most: int) -> Begun:
        """Open a waiting turn: in one step the run is created, queued, and `change`, which says so, is appended.

        `run.room` is the room's id and `run.id` is `run_id_of` the turn. GONE if there is no such turn waiting, unless
        it was opened under this very tag; BUSY if `most` turns of the room are open.
        """

    @abstractmethod
    async def drop(self, room_id: str, turn_id: str) -> bool:
        """Remove a turn that waits. False if it has begun, or is gone."""

    @abstractmethod
    async def refuse(self, room_id: str, turn_id: str, change: Change) -> Changed:
        """Remove a turn that waits, and append `change`, which says why, in one step. GONE if it waits no more."""

    @abstractmethod
    async def turns(self, room_id: str) -> list[Turn]:
        """The room's turns, waiting and open, in the order in which they were asked for."""

    @abstractmethod
    async def waiting(self, limit: int) -> list[str]:
        """Rooms with turns that wait, those first that were told of least lately. Some may have none any more."""

    @abstractmethod
    async def enter(self, room_id: str, since: Position | None, *, max_bytes: int, page: int) -> Entered | None:
        """What one who comes in gets, all of one moment; None if there is no such room. Without `since` as if it did
        not join. START joins while nothing was trimmed; so does the position up to which was trimmed."""

    @abstractmethod
    async def page(self, room_id: str, *, before: int | None, limit: int) -> tuple[list[Place], bool]:
        """Messages, oldest first: the newest that were created below the seq `before`; and whether there are older.

        Empty if there is no such room.
        """

    @abstractmethod
    async def find(self, room_id: str, message_ids: Sequence[str]) -> list[Place | None]:
        """These messages, in the order asked."""

    @abstractmethod
    async def sent(self, room_id: str, once: str) -> str | None:
        """The id of the message that used `once`, or None."""

    @abstractmethod
    async def mark(self, room_id: str, member: str, seq: int) -> int:
        """Note that a member has read up to a seq, which never goes back: how far it is now. At most MARKS_MAX
        members of a room are noted; of more, those who read least lately are forgotten."""

    @abstractmethod
    async def trim(self, limit: int) -> int:
        """Remove what has outlived its room's `age_s`, in up to `limit` rooms: in how many something was.

        Also what a removal that was cut short has left of its room, which nobody sees.
        """


def answers_under_way(room_id: str) -> Conflict:
    """Why a room cannot be removed now."""
    name = room_key(room_id).name
    return Conflict(f"In the room {name} answers are under way, or waited for: cancel them first.")


# As many as may be in a room at once, by far: some 100 bytes each.
MARKS_MAX = 10_000
