"""How a contract test gets its stores and its time. An engine's tests implement this and nothing else."""

from abc import ABC, abstractmethod

from headwater.core.room import ROOM_BYTES_MAX
from headwater.store.base import Store
from headwater.store.limits import Limits
from headwater.store.rooms import RoomStore
from headwater.store.vault import Vault


class StoreMaker(ABC):
    """One set of data, the stores that are opened on it, and the clock they judge by.

    An engine whose clock cannot be moved waits in `advance`, so it names short times here.
    """

    lease_s: float
    run_ttl_s: float

    @abstractmethod
    async def open(self) -> Store:
        """A store on this data, ready. Where only one may be open at a time, close the other first."""

    @abstractmethod
    def vault(self, store: Store) -> Vault:
        """The vault beside an open store of this maker."""

    @abstractmethod
    def limits(self, store: Store) -> Limits:
        """The limits beside an open store of this maker."""

    @abstractmethod
    def rooms(self, store: Store, *, kept_bytes: int = ROOM_BYTES_MAX) -> RoomStore:
        """The rooms beside an open store of this maker, with so many bytes of each log kept."""

    @abstractmethod
    async def advance(self, seconds: float) -> None:
        """Let the store's clock go on by at least this."""

    @abstractmethod
    async def close(self) -> None:
        """Close what is open and remove the data."""
