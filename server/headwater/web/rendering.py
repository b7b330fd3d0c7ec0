"""Finished answers rendered for the page."""

from typing import Annotated, Final

from anyio import to_thread
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from headwater.errors import Forbidden, Invalid
from headwater.state import AppState
from headwater.web.auth import principal_of
from headwater.web.markdown import html_of
from headwater.web.operation import Answer, Body, operation
from headwater.web.parse import read_json
from headwater.web.render import json_response

# A page of a room's history is some fifty answers.
_TEXTS_MAX: Final = 100
# Together, in characters: some four of the longest answers of today's models, and two seconds' work at the worst.
_CHARS_MAX: Final = 64 * 1024
# As JSON, where a character may be six bytes.
_BODY_BYTES: Final = 6 * _CHARS_MAX + 1024


class MarkdownRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /markdown`."""

    texts: Annotated[list[str], Meta(max_length=_TEXTS_MAX)]


class MarkdownAnswer(Struct, frozen=True):
    """The HTML of each text, in their order."""

    html: list[str]


@operation(
    None,
    Answer(description="The HTML of each.", example=MarkdownAnswer(["<p><em>Hello</em></p>\n"])),
    guarded=True,
    body=Body(MarkdownRequest, {"two": MarkdownRequest(["*Hello*", "1. one\n2. two"])}),
    errors=(Forbidden("This is for those who may see an answer."),),
)
async def render_markdown(request: Request[AppState]) -> Response:
    """`POST /markdown`: finished answers as HTML, for the page."""
    principal = principal_of(request)
    if not (principal.scopes or principal.rooms or principal.runs):
        raise Forbidden("This is for those who may see an answer: the credential has no scope, no run and no room.")
    body = await read_json(request, MarkdownRequest, _BODY_BYTES)
    chars = sum(map(len, body.texts))
    if chars > _CHARS_MAX:
        raise Invalid(f"texts: more than {_CHARS_MAX} characters together.", field="texts", limit=_CHARS_MAX)
    return json_response(await to_thread.run_sync(_rendered, body, limiter=request.state["rendering"]))


def _rendered(body: MarkdownRequest) -> MarkdownAnswer:
    return MarkdownAnswer([html_of(text) for text in body.texts])
