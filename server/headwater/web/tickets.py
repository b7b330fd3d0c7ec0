"""Tickets: what a page puts into a URL, where its browser lets it set no header."""

from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from headwater.access import Ticket
from headwater.core.room import ROOM_NAME
from headwater.errors import Forbidden, Invalid
from headwater.state import AppState
from headwater.web import examples
from headwater.web.auth import principal_of
from headwater.web.operation import Answer, Body, operation
from headwater.web.parse import read_json
from headwater.web.render import json_response

# A ticket's request is two names.
_BODY_BYTES = 4096

RoomName = Annotated[str, Meta(pattern=f"^{ROOM_NAME}$")]


class TicketRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /v1/tickets`: one of the two."""

    run: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    room: RoomName | None = None


@operation(
    None,
    Answer(
        status=201,
        description="Put it into the URL as `?ticket=…`.",
        example=Ticket("hwt_example", 1767226500.25),
        headers={"Cache-Control": "no-store."},
    ),
    guarded=True,
    body=Body(TicketRequest, {"run": TicketRequest(run=examples.RUN_ID), "room": TicketRequest(room="help")}),
    errors=(examples.UNKNOWN_RUN, Forbidden("The credential does not let its bearer into this room.")),
)
async def create_ticket(request: Request[AppState]) -> Response:
    """`POST /v1/tickets`: for one run, good until it expires, or for one room, good once."""
    principal = principal_of(request)
    if principal.by_ticket:  # else one that got out would be good for ever
        raise Forbidden("A ticket makes no tickets: use the credential that it was made with.")
    body = await read_json(request, TicketRequest, _BODY_BYTES)
    if (body.run is None) == (body.room is None):
        raise Invalid("Name a `run` or a `room`, one of the two.")
    access = request.state["access"]
    if body.run is not None:
        if not principal.may("runs:read"):
            raise Forbidden("This needs the scope runs:read.")
        await request.state["runs"].find(principal, body.run)
        ticket = await access.run_ticket(principal, body.run)
    else:
        assert body.room is not None, "one of the two is there"
        if principal.role_in(body.room) is None:
            raise Forbidden("This credential is not let into this room.")
        ticket = await access.room_ticket(principal, body.room)
    return json_response(ticket, 201, {"Cache-Control": "no-store"})
