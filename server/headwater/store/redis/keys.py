"""What lies under which key.

All of one run share a hash tag, and so do all lists of one owner, so that each script keeps to one slot.
"""

from msgspec import Struct


class Keys(Struct, frozen=True):
    """The names of everything, behind `prefix`."""

    prefix: str

    def run(self, run_id: str) -> str:
        """A hash: the run without its request."""
        return f"{self.prefix}:run:{{{run_id}}}"

    def request(self, run_id: str) -> str:
        """A string: the request, as JSON. Apart, because it may be megabytes."""
        return f"{self.prefix}:request:{{{run_id}}}"

    def log(self, run_id: str) -> str:
        """A stream: an entry for each append, its id the position."""
        return f"{self.prefix}:log:{{{run_id}}}"

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
