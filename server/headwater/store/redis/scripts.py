"""The Lua scripts of `store/lua`, one a file; each says there what it takes and returns."""

from importlib.resources import files
from typing import Final

from headwater.redis_client import Script, script

_FOLDER: Final = files("headwater.store") / "lua"
_PRELUDE: Final = (_FOLDER / "prelude.lua").read_text()


def _load(name: str) -> Script:
    return script(f"{_PRELUDE}\n{(_FOLDER / f'{name}.lua').read_text()}")


APPEND: Final = _load("append")
CANCEL: Final = _load("cancel")
CHARGE: Final = _load("charge")
CREATE: Final = _load("create")
DUE: Final = _load("due")
ENTER: Final = _load("enter")
FORGET: Final = _load("forget")
GET: Final = _load("get")
GIVE_UP: Final = _load("give_up")
HOLD: Final = _load("hold")
HOLDERS: Final = _load("holders")
INDEX: Final = _load("index")
KEEP: Final = _load("keep")
MARK: Final = _load("mark")
READ: Final = _load("read")
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
