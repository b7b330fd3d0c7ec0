"""Rooms over HTTP: their settings, their messages, and their log as server-sent events."""

from starlette.requests import Request
from starlette.responses import Response

from headwater.core import commands
from headwater.core.claims import is_printable
from headwater.core.commands import PAGE
from headwater.core.members import member_of
from headwater.core.pushes import view
from headwater.core.room import RoomSettings
from headwater.entropy import new_client_id
from headwater.errors import Invalid, TooMany, Unavailable
from headwater.formats.room import RoomOverEvents
from headwater.state import AppState
from headwater.web import examples, room_examples
from headwater.web.auth import principal_of
from headwater.web.following import root_of
from headwater.web.operation import Answer, Body, operation
from headwater.web.parse import idempotency_key, position_of, read_json, wants_event_stream, whole_number
from headwater.web.render import json_response
from headwater.web.room_shapes import RoomMessage, message_list, room_answer, room_list, room_url
from headwater.web.stream import LogResponse, come_back, draw_retry_ms
from headwater.web.visit import Visit

# Rooms of a list that does not say: a screenful.
_ROOMS = 20


@operation(
    "rooms:read",
    Answer(description="A page of them.", example=room_examples.ROOMS),
    parameters=(room_examples.BEFORE_ROOM, examples.limit(_ROOMS)),
    errors=(room_examples.NOT_A_LIMIT, room_examples.UNKNOWN_ROOM),
)
async def list_rooms(request: Request[AppState]) -> Response:
    """`GET /v1/rooms`: the caller's rooms, newest first."""
    rooms, has_more = await request.state["rooms"].list(
        principal_of(request),
        request.query_params.get("before"),
        whole_number(request, "limit", default=_ROOMS, low=1, high=request.state["config"].max_page),
    )
    return json_response(room_list(rooms, root_of(request), has_more=has_more))


@operation(
    "rooms:write",
    Answer(status=201, description="It is made.", example=room_examples.ROOM, headers=room_examples.WHERE),
    Answer(description="It was there, and has these settings now.", example=room_examples.ROOM),
    body=Body(RoomSettings, room_examples.SETTINGS),
    errors=(room_examples.NOT_A_MODEL, room_examples.NO_MODERATOR),
)
async def put_room(request: Request[AppState]) -> Response:
    """`PUT /v1/rooms/{room}`: make a room, or set one anew.

    What the body leaves out gets its default. Whoever may take part can make a room; to change one takes a moderator.
    """
    state, name = request.state, request.path_params["room"]
    settings = await read_json(request, RoomSettings, state["quotas"].input_bytes())
    room, fresh = await state["rooms"].put(principal_of(request), name, settings)
    answer = room_answer(room, root_of(request))
    if not fresh:
        return json_response(answer)
    return json_response(answer, 201, {"Location": room_url(name, root_of(request))})


@operation(
    "rooms:read",
    Answer(description="The room.", example=room_examples.ROOM),
    errors=(room_examples.UNKNOWN_ROOM, room_examples.NOT_LET_IN),
)
async def get_room(request: Request[AppState]) -> Response:
    """`GET /v1/rooms/{room}`: the room's settings, and where its log stands."""
    room = await request.state["rooms"].find(principal_of(request), request.path_params["room"])
    return json_response(room_answer(room, root_of(request)))


@operation(
    "rooms:write",
    Answer(status=204, description="It is gone.", example=None),
    errors=(room_examples.UNKNOWN_ROOM, room_examples.NO_MODERATOR, room_examples.ANSWERS_UNDER_WAY),
)
async def delete_room(request: Request[AppState]) -> Response:
    """`DELETE /v1/rooms/{room}`: remove a room with all that was said in it.

    It takes a moderator. Whoever is there is sent away, and may make the room anew.
    """
    await request.state["rooms"].remove(principal_of(request), request.path_params["room"])
    return Response(status_code=204)


@operation(
    "rooms:read",
    Answer(description="A page of them.", example=room_examples.MESSAGES),
    parameters=(room_examples.BEFORE_MESSAGE, examples.limit(PAGE)),
    errors=(
        room_examples.NOT_A_LIMIT,
        room_examples.UNKNOWN_ROOM,
        room_examples.UNKNOWN_MESSAGE,
        room_examples.NOT_LET_IN,
    ),
)
async def list_messages(request: Request[AppState]) -> Response:
    """`GET /v1/rooms/{room}/messages`: messages as they stand, newest first."""
    places, has_more = await request.state["rooms"].history(
        principal_of(request),
        request.path_params["room"],
        request.query_params.get("before"),
        whole_number(request, "limit", default=PAGE, low=1, high=request.state["config"].max_page),
    )
    return json_response(message_list(reversed(places), has_more=has_more))


@operation(
    "rooms:write",
    Answer(status=201, description="It is said.", example=room_examples.MESSAGE),
    Answer(
        description="It was said before under this name. So it stands now.",
        example=room_examples.MESSAGE,
        headers=room_examples.REPLAYED,
    ),
    body=Body(RoomMessage, room_examples.SAYINGS),
    parameters=(room_examples.IDEMPOTENCY_KEY,),
    errors=(
        room_examples.NOT_A_KEY,
        room_examples.UNKNOWN_ROOM,
        room_examples.UNKNOWN_MESSAGE,
        room_examples.NOT_LET_IN,
    ),
)
async def post_message(request: Request[AppState]) -> Response:
    """`POST /v1/rooms/{room}/messages`: say something, as a service does that has no socket."""
    state, principal = request.state, principal_of(request)
    key = idempotency_key(request, commands.CLIENT_ID_MAX)
    body = await read_json(request, RoomMessage, state["quotas"].input_bytes())
    if None not in (key, body.client_id) and key != body.client_id:
        raise Invalid("client_id and Idempotency-Key are two names for this message: send one.", field="client_id")
    if body.name is not None and not is_printable(body.name):
        raise Invalid(commands.NAME_UNPRINTABLE, field="name")
    message = commands.Message(
        client_id=key or body.client_id or new_client_id(),
        text=body.text,
        reply_to=body.reply_to,
        mentions=body.mentions,
    )
    said = await state["talk"].say(principal, request.path_params["room"], member_of(principal, body.name), message)
    if said.fresh:
        return json_response(view(said.place), 201)
    return json_response(view(said.place), 200, {"Idempotent-Replayed": "true"})


@operation(
    "rooms:read",
    Answer(
        description="The room's events as they come; the room has no end, and neither has the response.",
        media_type=RoomOverEvents.media_type,
        example=room_examples.EVENTS,
    ),
    parameters=room_examples.RESUME,
    errors=(
        room_examples.UNKNOWN_ROOM,
        examples.NOT_A_POSITION,
        room_examples.NOT_LET_IN,
        examples.FULL,
        examples.DRAINING,
        room_examples.DAMAGED,
    ),
)
async def room_events(request: Request[AppState]) -> Response:
    """`GET /v1/rooms/{room}/events`: follow the room from a position, or from its newest messages."""
    state, principal, name = request.state, principal_of(request), request.path_params["room"]
    position = position_of(request)
    if request.method == "HEAD":  # a stream without a body would last for ever
        await state["rooms"].find(principal, name)
        return Response(headers={"Cache-Control": "no-cache, no-transform"}, media_type=RoomOverEvents.media_type)
    try:
        visit = await Visit.begin(request)
        try:
            cursor = await state["rooms"].follow(principal, name, position)
        except BaseException:
            visit.close()
            raise
    except (Unavailable, TooMany) as error:
        if wants_event_stream(request):
            return come_back(error, state["config"])
        raise
    visit.follow(request, cursor)
    return LogResponse(cursor, draw_retry_ms(state["config"]), on_close=visit.close)
