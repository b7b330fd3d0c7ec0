"""The run API."""

from collections.abc import Mapping

from msgspec.structs import asdict, replace
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from headwater.core.events import Status
from headwater.core.lifecycle import TRANSITIONS
from headwater.core.run import RunBody, RunRequest
from headwater.errors import Invalid, TooMany, Unavailable
from headwater.formats.base import Format
from headwater.formats.chat import Chat, ChatWithUsage
from headwater.formats.native import Native
from headwater.formats.ndjson import Ndjson
from headwater.formats.responses import Responses
from headwater.formats.text import PlainText
from headwater.state import AppState
from headwater.web import examples
from headwater.web.auth import principal_of
from headwater.web.following import Started, on_disconnect, root_of, started_headers
from headwater.web.operation import Answer, Body, operation
from headwater.web.parse import idempotency_key, one_of, position_of, read_json, wants_event_stream, whole_number
from headwater.web.render import json_response, run_answer, run_list, run_summary
from headwater.web.stream import LogResponse, come_back, draw_retry_ms
from headwater.web.visit import Visit

FORMATS: dict[str, type[Format]] = {
    "native": Native,
    "ndjson": Ndjson,
    "text": PlainText,
    "chat": Chat,
    "responses": Responses,
}
_STATUSES: dict[str, Status] = {status: status for status in TRANSITIONS}
_FORMAT = examples.choice("format", FORMATS, "How the events are written; without it `native`.", "text")
_INCLUDE_USAGE = examples.choice(
    "include_usage", ("true", "false"), "With `format=chat`: tell the usage at the end, in a chunk of its own.", "true"
)
# Rows of a list that does not say: a screenful.
_PAGE = 20


def _streams(headers: Mapping[str, str]) -> tuple[Answer, ...]:
    """The run's events as the answer, in each of the formats, by its name."""
    answers = examples.streams_of(FORMATS.values(), headers=headers)
    return tuple(replace(answer, name=name) for name, answer in zip(FORMATS, answers, strict=True))


def _form(request: Request[AppState]) -> type[Format] | None:
    """The format that is asked for, if one is. Raises Invalid."""
    form = one_of(request, "format", FORMATS)
    usage = one_of(request, "include_usage", {"true": True, "false": False})
    if usage is not None and form is not Chat:
        raise Invalid("include_usage is for format=chat only.", field="include_usage")
    return ChatWithUsage if usage else form


@operation(
    "runs:write",
    Answer(status=202, description="It is started.", example=examples.STARTED, headers=examples.WHERE),
    *_streams(examples.WHERE),
    body=Body(RunBody, examples.REQUESTS),
    parameters=(_FORMAT, _INCLUDE_USAGE, examples.IDEMPOTENCY_KEY),
    errors=(
        examples.NOT_A_KEY,
        examples.UNKNOWN_MODEL,
        examples.KEY_CONFLICT,
        examples.NOT_A_CHOICE,
        examples.FULL,
        examples.DRAINING,
        examples.DAMAGED,
    ),
)
async def create_run(request: Request[AppState]) -> Response:
    """`POST /v1/runs`: start a run; 202 with where to follow it, or its events themselves."""
    state = request.state
    form = _form(request)
    key = idempotency_key(request)
    body = RunRequest(**asdict(await read_json(request, RunBody, state["quotas"].input_bytes())))
    if body.stream or form is not None or wants_event_stream(request):
        started = await Started.begin(request, body, key, on_disconnect(request, "continue"))
        return await started.follow(form or Native, gated=False)
    created = await state["runs"].start(principal_of(request), body, key)
    task = BackgroundTask(state["background"].after_start, created.run.id) if created.fresh else None
    headers = started_headers(request, created.run, fresh=created.fresh)
    return json_response(run_summary(created.run, root_of(request)), 202, headers, task)


@operation(
    "runs:read",
    Answer(description="A page of them.", example=examples.LISTED),
    parameters=(examples.CONVERSATION, examples.STATUS, examples.BEFORE, examples.limit(_PAGE)),
    errors=(examples.NOT_A_STATUS, examples.UNKNOWN_RUN),
)
async def list_runs(request: Request[AppState]) -> Response:
    """`GET /v1/runs`: the caller's runs, newest first."""
    page = await request.state["runs"].list(
        principal_of(request),
        conversation=request.query_params.get("conversation"),
        status=one_of(request, "status", _STATUSES),
        before=request.query_params.get("before"),
        limit=whole_number(request, "limit", default=_PAGE, low=1, high=request.state["config"].max_page),
    )
    return json_response(run_list(page.runs, root_of(request), has_more=page.has_more))


@operation(
    "runs:read",
    Answer(description="The run.", example=examples.ENDED),
    errors=(examples.UNKNOWN_RUN, examples.DAMAGED),
)
async def get_run(request: Request[AppState]) -> Response:
    """`GET /v1/runs/{id}`: the run with its output so far."""
    answer = await request.state["runs"].read(principal_of(request), request.path_params["run_id"])
    return json_response(run_answer(answer, root_of(request)))


@operation(
    "runs:write",
    Answer(status=204, description="It is gone.", example=None),
    errors=(examples.UNKNOWN_RUN, examples.NOT_ENDED),
)
async def delete_run(request: Request[AppState]) -> Response:
    """`DELETE /v1/runs/{id}`: remove an ended run."""
    await request.state["runs"].delete(principal_of(request), request.path_params["run_id"])
    return Response(status_code=204)


@operation(
    "runs:write",
    Answer(description="The run, as it stands then.", example=examples.CANCELLED),
    errors=(examples.UNKNOWN_RUN, examples.DAMAGED),
)
async def cancel_run(request: Request[AppState]) -> Response:
    """`POST /v1/runs/{id}/cancel`: cancel, wait up to a second for the end, answer with the run."""
    answer = await request.state["runs"].cancel(principal_of(request), request.path_params["run_id"])
    return json_response(run_answer(answer, root_of(request)))


@operation(
    "runs:read",
    *_streams({}),
    Answer(status=204, description="The run has ended, and nothing lies after the position.", example=None),
    parameters=(_FORMAT, _INCLUDE_USAGE, *examples.RESUME),
    errors=(
        examples.UNKNOWN_RUN,
        examples.NOT_A_POSITION,
        examples.NOT_A_CHOICE,
        examples.FULL,
        examples.DRAINING,
        examples.DAMAGED,
    ),
)
async def run_events(request: Request[AppState]) -> Response:
    """`GET /v1/runs/{id}/events`: follow the run from a position, or from a snapshot."""
    state = request.state
    form = _form(request) or Native
    position = position_of(request)
    if request.method == "HEAD":  # a stream without a body would last as long as the run
        await state["runs"].find(principal_of(request), request.path_params["run_id"])
        return Response(headers={"Cache-Control": "no-cache, no-transform"}, media_type=form.media_type)
    try:
        visit = await Visit.begin(request)
        try:
            cursor = await state["runs"].follow(principal_of(request), request.path_params["run_id"], form, position)
        except BaseException:
            visit.close()
            raise
    except (Unavailable, TooMany) as error:
        if form is Native and wants_event_stream(request):
            return come_back(error, state["config"])
        raise
    if cursor is None:
        visit.close()
        return Response(status_code=204, headers={"Cache-Control": "no-cache, no-transform"})
    visit.follow(request, cursor)
    return LogResponse(cursor, draw_retry_ms(state["config"]), on_close=visit.close)
