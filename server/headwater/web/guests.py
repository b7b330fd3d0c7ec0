"""Who looks at the page: a name that its visitor gives, in a signed cookie. It opens nothing."""

import re
from typing import Final

from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headwater.core.room import ROOM_NAME
from headwater.errors import Invalid
from headwater.state import AppState
from headwater.web.following import root_of
from headwater.web.parse import read_form

COOKIE: Final = "headwater_guest"
# As a member's name in a room; see core/commands.py.
NAME_MAX: Final = 64
# A name and a room, each character of them nine bytes at most.
_FORM_BYTES: Final = 4096
_ROOM: Final = re.compile(ROOM_NAME)


class Guests:
    """Starlette's sessions, with a secret that is known only once the store is open, under the path of the app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sessions = SessionMiddleware(
            self.app,
            secret_key=scope["state"]["page_secret"],
            session_cookie=COOKIE,
            path=scope.get("root_path", "") or "/",
            same_site="strict",
            https_only=scope["scheme"] == "https",
        )
        await sessions(dict(scope), receive, send)  # a host's own session stays the host's


def guest_name(request: Request[AppState]) -> str:
    """The name that this visitor gave; empty for none."""
    return str(request.session.get("name", ""))


async def take_name(request: Request[AppState]) -> Response:
    """`POST /guest`: keep a visitor's name, and go on to a room."""
    form = await read_form(request, _FORM_BYTES)
    name, room = form.get("name", "").strip(), form.get("room", "").strip()
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        raise Invalid(f"name: 1 to {NAME_MAX} printable characters.", field="name", limit=NAME_MAX)
    if room and not _ROOM.fullmatch(room):
        raise Invalid("room: 1 to 128 letters, digits, '.', '_', '~' and '-'.", field="room", limit=128)
    request.session["name"] = name
    return RedirectResponse(f"{root_of(request)}/rooms/{room}".rstrip("/"), 303)
