"""The Lua scripts of `store/lua`, one a file; each says there what it takes and returns."""

from importlib.resources import files
from typing import Final

from headwater.redis_client import Script, script

_FOLDER: Final = files("headwater.store") / "lua"


def _load(name: str, *before: str) -> Script:
    """A script, with what it shares with others `before` it."""
    return script("\n".join([(_FOLDER / f"{each}.lua").read_text() for each in ("prelude", *before, name)]))


APPEND: Final = _load("append")
CANCEL: Final = _load("cancel")
CHARGE: Final = _load("charge")
CREATE: Final = _load("create", "create_run")
DUE: Final = _load("due")
ENTER: Final = _load("enter")
FORGET: Final = _load("forget")
GET: Final = _load("get")
GIVE_UP: Final = _load("give_up")
HOLD: Final = _load("hold")
HOLDERS: Final = _load("holders")
INDEX: Final = _load("index")
KEEP: Final = _load("keep")
LOOK: Final = _load("look")
LOOKED: Final = _load("looked")
LOOKS: Final = _load("looks")
MARK: Final = _load("mark")
READ: Final = _load("read", "rows")
RELEASE: Final = _load("release")
RENEW: Final = _load("renew")
RESERVATION: Final = _load("reservation")
RESERVE: Final = _load("reserve")
RESERVED: Final = _load("reserved")
STAND: Final = _load("stand")
TAKE: Final = _load("take")
TICKET: Final = _load("ticket")
TICKET_ADD: Final = _load("ticket_add")
UNRESERVE: Final = _load("unreserve")
USED: Final = _load("used")

# The same where the run is a room's.
APPEND_IN_ROOM: Final = _load("append", "room", "room_end")
CANCEL_IN_ROOM: Final = _load("cancel", "room", "room_end")
GIVE_UP_IN_ROOM: Final = _load("give_up", "room", "room_end")

ROOM_BEGIN: Final = _load("room_begin", "room", "room_change", "create_run")
ROOM_DROP: Final = _load("room_drop", "room", "room_change")
ROOM_ENTER: Final = _load("room_enter", "room", "rows", "messages")
ROOM_LOOK: Final = _load("room_look", "room")
ROOM_MARK: Final = _load("room_mark")
ROOM_PAGE: Final = _load("room_page", "room", "messages")
ROOM_POST: Final = _load("room_post", "room", "room_change")
ROOM_PUT: Final = _load("room_put")
ROOM_READ: Final = _load("room_read", "room", "rows")
ROOM_REMOVE: Final = _load("room_remove")
ROOM_TRIM: Final = _load("room_trim", "room")
