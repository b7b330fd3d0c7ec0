"""What the document at /openapi.json shows of the OpenAI routes."""

from typing import Final

from headwater.core.events import End, Usage
from headwater.core.run import RunRequest
from headwater.errors import (
    BadRequest,
    RunCancelled,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnknown,
)
from headwater.formats.base import Head
from headwater.formats.chat import completion
from headwater.web import examples
from headwater.web.openai.chat_request import ChatRequest, StreamOptions
from headwater.web.operation import Parameter

_QUESTION: Final = {"role": "user", "content": "How do I resume a stream?"}
_HEAD: Final = Head(examples.RUN_ID, "demo", 1767225600.25, RunRequest(input="How do I resume a stream?"))
_ANSWER: Final = "To resume a stream, send the last event's id."

CHATS: Final = {
    "whole": ChatRequest(messages=[_QUESTION], model="demo"),
    "streamed": ChatRequest(
        messages=[_QUESTION], model="demo", stream=True, stream_options=StreamOptions(include_usage=True)
    ),
}
COMPLETION: Final = completion(_HEAD, [{"text": _ANSWER}], End("completed", "stop", usage=Usage(6, 20)))

ON_DISCONNECT: Final = Parameter(
    name="Headwater-On-Disconnect",
    where="header",
    description="What becomes of the run when its caller leaves and nobody else follows it.",
    schema={"type": "string", "enum": ["cancel", "continue"]},
    example="continue",
)
STARTING: Final = (
    examples.NOT_A_KEY,
    BadRequest("Headwater-On-Disconnect must be cancel or continue, not 'stop'.", field="Headwater-On-Disconnect"),
    examples.UNKNOWN_MODEL,
    examples.KEY_CONFLICT,
    examples.FULL,
    examples.DRAINING,
    examples.DAMAGED,
    RunCancelled("The run was cancelled."),
    UpstreamRefused("the upstream answered 400: too many tokens in the prompt", reason="upstream_error"),
    UpstreamUnknown("the upstream answered 404: no such model", reason="upstream_error"),
    UpstreamBusy("the upstream answered 429: slow down", reason="upstream_error", retry_after=7),
    UpstreamFailed("the upstream cannot be reached: connection refused", reason="upstream_unreachable"),
    UpstreamUnavailable("the upstream answered 503 (tried 4 times)", reason="upstream_error"),
    UpstreamTimeout("The upstream sent nothing for 120 s.", reason="first_token_timeout"),
)
