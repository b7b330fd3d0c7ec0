"""The use cases of rooms. HTTP and WebSockets call these."""

from headwater.rooms.company import Companies
from headwater.rooms.rooms import Rooms, Visit
from headwater.rooms.talk import Saying, Talk
from headwater.rooms.turns import Turns
from headwater.store.rooms import Room

__all__ = ["Companies", "Room", "Rooms", "Saying", "Talk", "Turns", "Visit"]
