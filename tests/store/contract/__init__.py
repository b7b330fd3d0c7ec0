"""The contracts of `store/base.py`, `rooms.py`, `vault.py` and `limits.py` as tests.

An engine's test file inherits the classes and adds `make_store`.

    class TestHere(StoreContract):
        @pytest.fixture
        async def make_store(self) -> AsyncIterator[StoreMaker]: ...

Each part of the contract is a file of this package.
"""

import pytest

from tests.store.contract.appends import Appends
from tests.store.contract.cancels import Cancels
from tests.store.contract.durability import Durability
from tests.store.contract.expiry import Expiry
from tests.store.contract.leases import Leases
from tests.store.contract.limits import Places, Windows
from tests.store.contract.reads import Reads
from tests.store.contract.room_ends import RoomEnds
from tests.store.contract.room_logs import Entering, RoomLogs, Trimming
from tests.store.contract.room_removal import Removing
from tests.store.contract.room_turns import Turns
from tests.store.contract.rooms import Marks, Messages, RoomDurability, Rooms
from tests.store.contract.runs import Runs
from tests.store.contract.vault import Keys, Tickets

__all__ = ["DurableRoomContract", "DurableStoreContract", "RoomContract", "StoreContract"]


@pytest.mark.anyio
class StoreContract(Runs, Leases, Appends, Cancels, Reads, Expiry, Keys, Tickets, Windows, Places):
    """What every engine promises."""


@pytest.mark.anyio
class DurableStoreContract(Durability):
    """What an engine promises whose data outlives the store object."""


@pytest.mark.anyio
class RoomContract(Rooms, Removing, Messages, Marks, RoomLogs, Trimming, Entering, Turns, RoomEnds):
    """What every engine promises of rooms."""


@pytest.mark.anyio
class DurableRoomContract(RoomDurability):
    """What an engine promises of rooms whose data outlives the store object."""
