"""The address of a server."""

import re
from typing import Final
from urllib.parse import urlsplit

from headwater_client.errors import BadRequest, NotHeadwater

ROOM_CHARS_MAX: Final = 128
_WITH_USER: Final = re.compile(r"([^/?#]*//)?[^/?#]*@")
# Not . or .., which are taken out of addresses on their way.
_ROOM: Final = re.compile(rf"(?!\.{{1,2}}$)[A-Za-z0-9._~-]{{1,{ROOM_CHARS_MAX}}}")


def address(url: str) -> str:
    """The address as requests use it, without a slash at its end. Raises NotHeadwater."""
    if _WITH_USER.match(url):
        raise NotHeadwater(  # which names no address: there may be a password in it
            "The server's address has a user or a password in it: leave it out, and give a token.", code="not_headwater"
        )
    if not _is_address(url):
        raise NotHeadwater(
            f"{url!r} is no address of a server: it has http:// or https://, a host, and perhaps a port and a path, "
            "as in http://127.0.0.1:8000.",
            code="not_headwater",
        )
    return url.rstrip("/")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0  # a port that is none raises ValueError
    except ValueError:
        return False
    is_plain = url.isprintable() and " " not in url and not parts.query and not parts.fragment
    return parts.scheme in ("http", "https") and has_place and is_plain


def checked_room(name: str) -> str:
    """The name of a room. Raises BadRequest where no room can have it."""
    if not _ROOM.fullmatch(name):
        raise BadRequest(
            f"{name!r} is no name of a room: it has 1 to {ROOM_CHARS_MAX} letters, digits, dots, dashes, _ and ~.",
            code="invalid",
            field="room",
            limit=ROOM_CHARS_MAX,
        )
    return name


def socket_address(url: str, room: str) -> str:
    """Where the room's WebSocket is."""
    return f"ws{url.removeprefix('http')}/v1/rooms/{room}/ws"
