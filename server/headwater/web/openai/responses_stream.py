"""A response followed from anywhere: from its beginning, from a position, or from the number of an event."""

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from headwater.core.position import SEQ_MAX
from headwater.errors import Invalid
from headwater.formats.responses import Responses
from headwater.formats.responses.events import SLOTS
from headwater.hub import Cursor
from headwater.state import AppState
from headwater.web.auth import principal_of
from headwater.web.parse import position_of
from headwater.web.stream import LogResponse, draw_retry_ms
from headwater.web.visit import Visit

_FIELD: Final = "starting_after"
_HEADERS: Final = {"Cache-Control": "no-cache, no-transform"}


async def response_stream(request: Request[AppState], run_id: str) -> Response:
    """The events of a response; `Last-Event-ID` beats `starting_after`, with neither all of them come."""
    state, position, seen = request.state, position_of(request), starting_after(request)
    visit = await Visit.begin(request)
    try:
        cursor = await state["runs"].follow(principal_of(request), run_id, Responses, position)
        if cursor is None:
            visit.close()
            return Response(status_code=204, headers=_HEADERS)
        rest = None if position is not None or seen is None else await _go_on(cursor, seen)
    except BaseException:
        visit.close()
        raise
    if rest is not None:
        cursor.close()
        visit.close()
        return Response(rest, headers=_HEADERS, media_type=Responses.media_type)
    visit.follow(request, cursor)
    return LogResponse(cursor, draw_retry_ms(state["config"]), on_close=visit.close)


def starting_after(request: Request[AppState]) -> int | None:
    """The number of the last event that was seen. Raises Invalid."""
    text = request.query_params.get(_FIELD)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) or int(text) > SEQ_MAX * SLOTS:
        raise Invalid(f"{_FIELD} must be the sequence_number of an event, not {text[:32]!r}.", field=_FIELD)
    return int(text)


async def _go_on(cursor: Cursor, seen: int) -> bytes | None:
    """Have the cursor go on behind what was seen; or what there is to tell, where nothing comes after it.

    Raises Invalid, StoreUnavailable, DamagedLog; then the cursor is closed.
    """
    try:
        form = cursor.format
        assert isinstance(form, Responses)
        try:
            resume = form.resume(seen, cursor.log.status)
        except ValueError as error:
            raise Invalid(f"{_FIELD}: {error}.", field=_FIELD) from None
        if resume.over:
            return resume.ahead
        position, ahead = resume.position, resume.ahead
        if resume.within and (entry := await cursor.one_after(position)) is not None:
            position, ahead = entry.position, form.rest(entry, seen)
        cursor.go_on(position, ahead)
        return None
    except BaseException:
        cursor.close()
        raise
