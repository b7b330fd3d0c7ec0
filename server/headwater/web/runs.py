"""The run API."""

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from headwater.core.events import Status
from headwater.core.lifecycle import TRANSITIONS
from headwater.core.position import START
from headwater.core.run import RunRequest
from headwater.errors import TooMany, Unavailable
from headwater.formats.base import Format
from headwater.formats.native import Native
from headwater.formats.ndjson import Ndjson
from headwater.formats.text import PlainText
from headwater.state import AppState
from headwater.web.auth import principal_of
from headwater.web.parse import idempotency_key, one_of, position_of, read_json, wants_event_stream, whole_number
from headwater.web.render import json_response, run_answer, run_summary
from headwater.web.stream import LogResponse, come_back, draw_retry_ms

FORMATS: dict[str, type[Format]] = {"native": Native, "ndjson": Ndjson, "text": PlainText}
_STATUSES: dict[str, Status] = {status: status for status in TRANSITIONS}
# Rows of a list that does not say: a screenful.
_PAGE = 20


async def create_run(request: Request[AppState]) -> Response:
    """`POST /v1/runs`: start a run; 202 with where to follow it, or its events themselves."""
    state = request.state
    principal = principal_of(request)
    form = one_of(request, "format", FORMATS)
    key = idempotency_key(request)
    body = await read_json(request, RunRequest)
    streams = body.stream or form is not None or wants_event_stream(request)
    if streams:
        state["hub"].check_room()  # before there is a run that would be started for nobody
    created = await state["runs"].start(principal, body, key, awaited=streams)
    run, root = created.run, _root(request)
    url = f"{root}/v1/runs/{run.id}"
    headers = {"Headwater-Run": run.id, "Content-Location": url, "Location": url}
    if not created.fresh:
        headers["Idempotent-Replayed"] = "true"
    if not streams:
        task = BackgroundTask(state["background"].after_start, run.id) if created.fresh else None
        return json_response(run_summary(run, root), 202, headers, task)
    try:
        start = START if created.fresh else None
        cursor = await state["hub"].follow(run, form or Native, start, fresh=created.fresh)
    finally:
        if created.fresh:
            # A background task would wait for the end of the stream that it is to start.
            state["executor"].wake(run.id)
    task = BackgroundTask(state["background"].remove_expired)
    return LogResponse(cursor, draw_retry_ms(state["config"]), headers, task)


async def list_runs(request: Request[AppState]) -> Response:
    """`GET /v1/runs`: the caller's runs, newest first."""
    page = await request.state["runs"].list(
        principal_of(request),
        conversation=request.query_params.get("conversation"),
        status=one_of(request, "status", _STATUSES),
        before=request.query_params.get("before"),
        limit=whole_number(request, "limit", default=_PAGE, low=1, high=request.state["config"].max_page),
    )
    rows = [run_summary(run, _root(request)) for run in page.runs]
    return json_response({"object": "list", "data": rows, "has_more": page.has_more})


async def get_run(request: Request[AppState]) -> Response:
    """`GET /v1/runs/{id}`: the run with its output so far."""
    answer = await request.state["runs"].read(principal_of(request), request.path_params["run_id"])
    return json_response(run_answer(answer, _root(request)))


async def delete_run(request: Request[AppState]) -> Response:
    """`DELETE /v1/runs/{id}`: remove an ended run."""
    await request.state["runs"].delete(principal_of(request), request.path_params["run_id"])
    return Response(status_code=204)


async def cancel_run(request: Request[AppState]) -> Response:
    """`POST /v1/runs/{id}/cancel`: cancel, wait up to a second for the end, answer with the run."""
    answer = await request.state["runs"].cancel(principal_of(request), request.path_params["run_id"])
    return json_response(run_answer(answer, _root(request)))


async def run_events(request: Request[AppState]) -> Response:
    """`GET /v1/runs/{id}/events`: follow the run from a position, or from a snapshot."""
    state = request.state
    form = one_of(request, "format", FORMATS) or Native
    position = position_of(request)
    if request.method == "HEAD":  # a stream without a body would last as long as the run
        await state["runs"].find(principal_of(request), request.path_params["run_id"])
        return Response(headers={"Cache-Control": "no-cache, no-transform"}, media_type=form.media_type)
    try:
        cursor = await state["runs"].follow(principal_of(request), request.path_params["run_id"], form, position)
    except (Unavailable, TooMany) as error:
        if form is Native and wants_event_stream(request):
            return come_back(error, state["config"])
        raise
    if cursor is None:
        return Response(status_code=204, headers={"Cache-Control": "no-cache, no-transform"})
    return LogResponse(cursor, draw_retry_ms(state["config"]))


def _root(request: Request[AppState]) -> str:
    """The path that this app is mounted under; empty for none."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")
