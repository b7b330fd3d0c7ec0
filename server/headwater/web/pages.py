"""The page: a playground, rooms, and a board, in one frame. Anybody may load it; what it shows it asks the API for."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from headwater.state import AppState
from headwater.version import VERSION
from headwater.web.following import root_of
from headwater.web.guests import guest_name

POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
"""What a page may load and do: nothing that does not come from here, and nothing that stands in the page itself."""

_HEADERS: Final = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
_TEMPLATES: Final = Environment(
    loader=PackageLoader("headwater.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
# Read at the start: no request shall wait for a disk.
_PAGES: Final = {name: _TEMPLATES.get_template(name) for name in _TEMPLATES.list_templates()}


def _page(request: Request[AppState], template: str, **about: object) -> Response:
    """A page in its frame."""
    html = _PAGES[template].render(
        root=root_of(request),
        asks=request.state["access"].asks,
        guest=guest_name(request),
        version=VERSION,
        **about,
    )
    return HTMLResponse(html, headers=_HEADERS)


async def playground(request: Request[AppState]) -> Response:
    """`GET /` and `GET /runs/{id}`: ask a model, and follow a run."""
    return _page(request, "playground.html", faults=request.state["config"].faults)


async def rooms(request: Request[AppState]) -> Response:
    """`GET /rooms`: the rooms that there are, and a way in."""
    return _page(request, "rooms.html")


async def room(request: Request[AppState]) -> Response:
    """`GET /rooms/{room}`: a room."""
    return _page(request, "room.html", room=request.path_params["room"])


async def board(request: Request[AppState]) -> Response:
    """`GET /board`: what the server does now."""
    return _page(request, "board.html")
