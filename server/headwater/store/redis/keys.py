"""What lies under which key.

All of one run share a hash tag, and so do all lists of one owner, so that each script keeps to one slot. A room and
its runs share one, too.
"""

from msgspec import Struct

from headwater.core.room import room_slot, slot_of_run


class Keys(Struct, frozen=True):
    """The names of everything, behind `prefix`."""

    prefix: str

    def run(self, run_id: str) -> str:
        """A hash: the run without its request."""
        return f"{self.prefix}:run:{_tagged(run_id)}"

    def request(self, run_id: str) -> str:
        """A string: the request, as JSON. Apart, because it may be megabytes."""
        return f"{self.prefix}:request:{_tagged(run_id)}"

    def log(self, run_id: str) -> str:
        """A stream: an entry for each append, its id the position."""
        return f"{self.prefix}:log:{_tagged(run_id)}"

    def of_run(self, run_id: str) -> list[str]:
        """All that is of one run: itself, its log, its request."""
        prefix = self.prefix
        name = _tagged(run_id) if "-" in run_id else f"{{{run_id}}}"  # for each append: most runs are no room's
        return [f"{prefix}:run:{name}", f"{prefix}:log:{name}", f"{prefix}:request:{name}"]

    def of_run_in_room(self, run_id: str, slot: str) -> list[str]:
        """The same, and all that is of its room."""
        return [*self.of_run(run_id), *self._in_slot(slot)]

    def runs(self, owner: str) -> str:
        """A sorted set: the owner's runs, by age."""
        return f"{self.prefix}:runs:{{{owner}}}"

    def conversation(self, owner: str, conversation: str) -> str:
        """A sorted set: the owner's runs in one conversation, by age."""
        return f"{self.prefix}:runs:{{{owner}}}:{conversation}"

    def lists(self, owner: str, conversation: str | None) -> list[str]:
        """The lists that a run is in."""
        whole = self.runs(owner)
        return [whole] if conversation is None else [whole, self.conversation(owner, conversation)]

    def room(self, room_id: str) -> str:
        """A hash: a room's settings, where its log stands, up to where that was trimmed."""
        return f"{self.prefix}:room:{{{room_slot(room_id)}}}"

    def posts(self, room_id: str) -> str:
        """A hash: the room's messages by their ids."""
        return f"{self.prefix}:room-posts:{{{room_slot(room_id)}}}"

    def once(self, room_id: str) -> str:
        """A hash: what was to happen but once, and the message that came of it."""
        return f"{self.prefix}:room-once:{{{room_slot(room_id)}}}"

    def turns(self, room_id: str) -> str:
        """A hash: the room's turns by their ids."""
        return f"{self.prefix}:room-turns:{{{room_slot(room_id)}}}"

    def open(self, room_id: str) -> str:
        """A sorted set: the messages of the room's open answers, by the seqs at which they began."""
        return f"{self.prefix}:room-open:{{{room_slot(room_id)}}}"

    def of_room(self, room_id: str) -> list[str]:
        """All that is of one room, as `room_at` in store/lua/room.lua takes it."""
        return self._in_slot(room_slot(room_id))

    def of_room_with_marks(self, room_id: str) -> list[str]:
        """The same, and how far each member has read: a hash; and a sorted set of them by when they told."""
        slot = room_slot(room_id)
        marks = [f"{self.prefix}:room-marks:{{{slot}}}", f"{self.prefix}:room-marked:{{{slot}}}"]
        return [*self._in_slot(slot), *marks]

    def _in_slot(self, slot: str) -> list[str]:
        """Also its log, a stream; and the ids of its messages, a sorted set, by the seqs that created them."""
        names = ("room", "room-log", "room-posts", "room-order", "room-once", "room-turns", "room-open")
        return [f"{self.prefix}:{name}:{{{slot}}}" for name in names]

    def rooms(self, tenant: str) -> str:
        """A sorted set: the names of the tenant's rooms, by age."""
        return f"{self.prefix}:rooms:{{{tenant}}}"

    @property
    def waiting(self) -> str:
        """A sorted set: rooms in which a turn may wait, by when that was last seen to."""
        return f"{self.prefix}:waiting"

    @property
    def aging(self) -> str:
        """A sorted set: rooms that keep things for so long only, by when to look for what is too old."""
        return f"{self.prefix}:aging"

    def reservation(self, owner: str, key: str) -> str:
        """A hash: what an idempotency key was used for. The length keeps two pairs from sharing a name."""
        return f"{self.prefix}:key:{len(owner)}:{owner}:{key}"

    @property
    def unfinished(self) -> str:
        """A sorted set: runs that have not ended, by when somebody should look whether they have a producer."""
        return f"{self.prefix}:unfinished"

    @property
    def expiring(self) -> str:
        """A sorted set: ended runs, by when they expire."""
        return f"{self.prefix}:expiring"

    @property
    def reservations(self) -> str:
        """A sorted set: reservations, by when they expire."""
        return f"{self.prefix}:keys"

    @property
    def vault(self) -> str:
        """A hash: each API key as JSON, when it was revoked, and a version that changes with them."""
        return f"{self.prefix}:vault"

    def ticket(self, digest: str) -> str:
        """A hash: what a ticket stands for, and until when."""
        return f"{self.prefix}:ticket:{{{digest}}}"

    def window(self, name: str) -> str:
        """A hash: what has been counted under a name, and when that ends."""
        return f"{self.prefix}:window:{{{name}}}"

    def places(self, name: str) -> str:
        """A sorted set: who holds places under a name, by when they expire."""
        return f"{self.prefix}:places:{{{name}}}"

    @property
    def probe(self) -> str:
        """A string that is written to see whether writing works."""
        return f"{self.prefix}:probe"


def _tagged(run_id: str) -> str:
    """A run's name in its keys: behind its room's slot, if it is one's."""
    slot = slot_of_run(run_id)
    return f"{{{run_id}}}" if slot is None else f"{{{slot}}}:{run_id}"
