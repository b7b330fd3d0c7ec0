"""One worker's live logs and the cursors that follow them."""

from headwater.hub.cursor import Cursor
from headwater.hub.hub import Hub
from headwater.hub.rooms import RoomCursor

__all__ = ["Cursor", "Hub", "RoomCursor"]
