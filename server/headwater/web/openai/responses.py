"""OpenAI's responses, for the clients that people already have."""

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headwater.core.access import Principal
from headwater.core.lifecycle import ENDED
from headwater.core.run import Run, RunRequest
from headwater.errors import Forbidden, Invalid, RunNotEnded, UnknownResponse, UnknownRun
from headwater.formats.base import Head
from headwater.formats.openai import response_id, run_id_of
from headwater.formats.responses import Responses
from headwater.formats.responses.guest import head_for_guests
from headwater.formats.responses.items import attempt_of, items_of, output_of
from headwater.formats.responses.object import Json, response_object
from headwater.runs import Answer as RunAnswer
from headwater.state import AppState
from headwater.web import examples
from headwater.web.auth import principal_of
from headwater.web.following import OnDisconnect, Started, gone, on_disconnect, started_headers
from headwater.web.openai import examples as openai_examples
from headwater.web.openai import responses_examples
from headwater.web.openai.responses_history import check_size, history_of
from headwater.web.openai.responses_items import input_items
from headwater.web.openai.responses_request import ResponseRequest, run_request
from headwater.web.openai.responses_stream import response_stream, starting_after
from headwater.web.operation import Answer, Body, operation
from headwater.web.parse import idempotency_key, one_of, read_open_json, whole_number
from headwater.web.render import json_response

# What OpenAI says of a list of input.
_ROWS, _ROWS_MAX = 20, 100
_YES_OR_NO = {"true": True, "1": True, "false": False, "0": False}


@operation(
    "runs:write",
    Answer(description="The response.", example=responses_examples.RESPONSE, headers=examples.WHERE),
    Answer(
        description="Its events as they come, where the body says `stream`.",
        media_type=Responses.media_type,
        example=examples.stream_of(Responses),
        headers=examples.WHERE,
    ),
    body=Body(ResponseRequest, responses_examples.REQUESTS),
    parameters=(openai_examples.ON_DISCONNECT, examples.IDEMPOTENCY_KEY),
    errors=(*openai_examples.STARTING, responses_examples.NO_PREVIOUS),
)
async def create_response(request: Request[AppState]) -> Response:
    """`POST /v1/responses`: a response, streamed, whole, or in the background.

    The run goes on when its caller leaves, unless told to be cancelled.
    """
    on_leave = on_disconnect(request, "continue")
    key = idempotency_key(request)
    limit = request.state["quotas"].input_bytes()
    asked, body = await read_open_json(request, ResponseRequest, limit)
    history = []
    if asked.previous_response_id is not None:
        answered = _answered(asked)
        runs, principal = request.state["runs"], principal_of(request)
        history = await history_of(runs, principal, asked.previous_response_id, answered, limit)
    wanted = run_request(asked, body, history)
    if history:
        check_size(wanted, limit)
    if asked.background and not asked.stream:
        return await _in_background(request, wanted, key)
    try:
        return await _awaited(request, wanted, key, on_leave, stream=bool(asked.stream))
    except ClientDisconnect:
        return gone()


def _answered(asked: ResponseRequest) -> set[str]:
    """The ids of the calls whose outputs come with it."""
    items = asked.input if isinstance(asked.input, list) else []
    return {str(item.get("call_id")) for item in items if item.get("type") == "function_call_output"}


async def _in_background(request: Request[AppState], wanted: RunRequest, key: str | None) -> Response:
    state, principal = request.state, principal_of(request)
    created = await state["runs"].start(principal, wanted, key)
    task = BackgroundTask(state["background"].after_start, created.run.id) if created.fresh else None
    if created.fresh:
        told = response_object(_head(created.run, principal), created.run.status, [])
    else:
        told = _told(await state["runs"].read(principal, created.run.id), principal)
    return json_response(told, headers=started_headers(request, created.run, fresh=created.fresh), background=task)


async def _awaited(
    request: Request[AppState], wanted: RunRequest, key: str | None, on_leave: OnDisconnect, *, stream: bool
) -> Response:
    started = await Started.begin(request, wanted, key, on_leave)
    if stream:
        return await started.follow(Responses, gated=True)
    told = _told(await started.answer(whole=False), principal_of(request))
    return json_response(told, headers=started.headers)


@operation(
    "runs:read",
    Answer(description="The response as it stands.", example=responses_examples.RESPONSE),
    Answer(
        description="Its events as they come, with `stream=true`.",
        media_type=Responses.media_type,
        example=examples.stream_of(Responses),
    ),
    Answer(status=204, description="Nothing lies after the position in `Last-Event-ID`.", example=None),
    parameters=responses_examples.RETRIEVAL,
    errors=(
        responses_examples.UNKNOWN,
        responses_examples.NO_NUMBER,
        examples.NOT_A_POSITION,
        examples.FULL,
        examples.DRAINING,
        examples.DAMAGED,
    ),
)
async def get_response(request: Request[AppState]) -> Response:
    """`GET /v1/responses/{id}`: a response as it stands, or its events.

    Whoever it was shared with is told nothing of what was asked.
    An answer that began anew since the event in `starting_after` is told of by an `error`. A number does not tell
    whose event it was, so where a store lost its newest entries the `id` of an event is the safer mark.
    """
    stream = one_of(request, "stream", _YES_OR_NO)
    if not stream and starting_after(request) is not None:
        raise Invalid("starting_after is for stream=true only.", field="starting_after")
    run = await _find(request)
    if not stream:
        principal = principal_of(request)
        return json_response(_told(await request.state["runs"].read(principal, run.id), principal))
    if request.method == "HEAD":  # a stream without a body would last as long as the run
        return Response(headers={"Cache-Control": "no-cache, no-transform"}, media_type=Responses.media_type)
    return await response_stream(request, run.id)


@operation(
    "runs:write",
    Answer(description="It is gone.", example=responses_examples.DELETED),
    errors=(responses_examples.UNKNOWN, examples.NOT_ENDED),
)
async def delete_response(request: Request[AppState]) -> Response:
    """`DELETE /v1/responses/{id}`: remove a response that has ended."""
    run = await _find(request)
    try:
        await request.state["runs"].delete(principal_of(request), run.id)
    except RunNotEnded as error:
        named = response_id(run.id)
        raise RunNotEnded(error.detail.replace(f"Run {run.id}", f"Response '{named}'")) from None
    return json_response({"id": response_id(run.id), "object": "response", "deleted": True})


@operation(
    "runs:write",
    Answer(description="The response, as it stands then.", example=responses_examples.CANCELLED),
    errors=(responses_examples.UNKNOWN, examples.DAMAGED),
)
async def cancel_response(request: Request[AppState]) -> Response:
    """`POST /v1/responses/{id}/cancel`: cancel a response, wait up to a second for its end, answer with it.

    One that is not to be stored is there until it has ended.
    """
    run, principal = await _find(request, until_ended=True), principal_of(request)
    return json_response(_told(await request.state["runs"].cancel(principal, run.id), principal))


@operation(
    "runs:read",
    Answer(description="A page of them.", example=responses_examples.ITEMS),
    parameters=responses_examples.PAGE,
    errors=(responses_examples.UNKNOWN, responses_examples.NO_ITEM, responses_examples.SHARED),
)
async def list_input_items(request: Request[AppState]) -> Response:
    """`GET /v1/responses/{id}/input_items`: all that the model was given, the newest first.

    What was said before, where the response went on from another, is part of it; instructions are not.
    """
    limit = whole_number(request, "limit", default=_ROWS, low=1, high=_ROWS_MAX)
    newest_first = one_of(request, "order", {"desc": True, "asc": False})
    after = request.query_params.get("after")
    run = await _find(request)
    if not principal_of(request).owns(run.owner):
        raise Forbidden("This response was shared with you: only its owner may see what was asked.")
    items = input_items(run)
    if newest_first is not False:
        items.reverse()
    start = 0
    if after is not None:
        start = next((index for index, item in enumerate(items, 1) if item["id"] == after), 0)
        if not start:
            raise Invalid(f"after: there is no item {after[:64]!r} among them.", field="after")
    page = items[start : start + limit]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    has_more = len(items) > start + limit
    return json_response({"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": has_more})


async def _find(request: Request[AppState], *, until_ended: bool = False) -> Run:
    """The run that a path means. Raises UnknownResponse.

    So it does for one that is not to be stored, be it at once or once it has ended.
    """
    named = request.path_params["response_id"]
    unknown = UnknownResponse(f"Response with id '{named}' not found.")
    try:
        run = await request.state["runs"].find(principal_of(request), run_id_of(named))
    except UnknownRun:
        raise unknown from None
    if not run.request.stored and not (until_ended and run.status not in ENDED):
        raise unknown
    return run


def _told(answer: RunAnswer, principal: Principal) -> Json:
    run, contents = answer.run, answer.contents
    whole, ended = run.status == "completed", run.status in ENDED
    items = items_of(run.id, contents.parts, attempt_of(contents.attempts))
    told = response_object(_head(run, principal), run.status, output_of(items, ended=ended, whole=whole), contents.end)
    return told | ({"completed_at": int(run.ended_at)} if whole and run.ended_at is not None else {})


def _head(run: Run, principal: Principal) -> Head:
    head = Head(run.id, run.model, run.created_at, run.request)
    return head if principal.owns(run.owner) else head_for_guests(head)
