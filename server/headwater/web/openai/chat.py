"""OpenAI's chat completions, for the clients that people already have."""

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headwater.errors import Invalid
from headwater.formats.base import Head
from headwater.formats.chat import Chat, ChatWithUsage, completion
from headwater.state import AppState
from headwater.web import examples
from headwater.web.following import Started, gone, on_disconnect
from headwater.web.openai import examples as openai_examples
from headwater.web.openai.chat_request import ChatRequest, in_their_words, run_request
from headwater.web.operation import Answer, Body, operation
from headwater.web.parse import idempotency_key, read_open_json
from headwater.web.render import json_response


@operation(
    "runs:write",
    Answer(description="The whole answer.", example=openai_examples.COMPLETION, headers=examples.WHERE),
    Answer(
        description="Its chunks as they come, where the body says `stream`.",
        media_type=Chat.media_type,
        example=examples.stream_of(ChatWithUsage),
        headers=examples.WHERE,
    ),
    body=Body(ChatRequest, openai_examples.CHATS),
    parameters=(openai_examples.ON_DISCONNECT, examples.IDEMPOTENCY_KEY),
    errors=openai_examples.STARTING,
)
async def create_completion(request: Request[AppState]) -> Response:
    """`POST /v1/chat/completions`: a completion, streamed or whole.

    The run is cancelled when its caller leaves and nobody else follows it, unless told to go on.
    """
    on_leave = on_disconnect(request, "cancel")
    key = idempotency_key(request)
    chat, body = await read_open_json(request, ChatRequest, request.state["quotas"].input_bytes())
    try:
        started = await Started.begin(request, run_request(chat, body), key, on_leave)
        if chat.stream:
            with_usage = chat.stream_options is not None and chat.stream_options.include_usage
            return await started.follow(ChatWithUsage if with_usage else Chat, gated=True)
        answer = await started.answer(whole=True)
    except Invalid as error:
        raise in_their_words(error) from None
    except ClientDisconnect:
        return gone()
    run, end = answer.run, answer.contents.end
    assert end is not None, "it was awaited"
    head = Head(run.id, run.model, run.created_at, run.request)
    return json_response(completion(head, answer.contents.parts, end), headers=started.headers)
