"""What the document at /openapi.json shows of responses."""

from typing import Final

from headwater.core.events import End, Usage
from headwater.core.run import ResponseOptions, RunRequest
from headwater.errors import Forbidden, Invalid, UnknownPrevious, UnknownResponse
from headwater.formats.base import Head
from headwater.formats.openai import item_id, response_id
from headwater.formats.responses.items import items_of, output_of
from headwater.formats.responses.object import response_object
from headwater.web import examples
from headwater.web.openai.responses_request import ResponseRequest
from headwater.web.operation import Parameter

RESPONSE_ID: Final = response_id(examples.RUN_ID)

_QUESTION: Final = "How do I resume a stream?"
_HEAD: Final = Head(
    examples.RUN_ID, "demo", 1767225600.25, RunRequest(input=_QUESTION, response=ResponseOptions(background=True))
)
_ITEMS: Final = items_of(examples.RUN_ID, [{"text": "To resume a stream, send the last event's id."}], 1)

REQUESTS: Final = {
    "text": ResponseRequest(input=_QUESTION, model="demo"),
    "streamed": ResponseRequest(input=[{"role": "user", "content": _QUESTION}], model="demo", stream=True),
    "in the background": ResponseRequest(input=_QUESTION, model="demo", background=True),
}
RESPONSE: Final = response_object(
    _HEAD, "completed", output_of(_ITEMS, ended=True, whole=True), End("completed", "stop", usage=Usage(6, 20))
)
CANCELLED: Final = response_object(
    _HEAD, "cancelled", output_of(_ITEMS, ended=True, whole=False), End("cancelled", usage=Usage(6, 20))
)
DELETED: Final = {"id": RESPONSE_ID, "object": "response", "deleted": True}
_ITEM_ID: Final = item_id("msg_in", examples.RUN_ID, 0)
ITEMS: Final = {
    "object": "list",
    "data": [
        {
            "id": _ITEM_ID,
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": _QUESTION}],
            "status": "completed",
        }
    ],
    "first_id": _ITEM_ID,
    "last_id": _ITEM_ID,
    "has_more": False,
}

RETRIEVAL: Final = (
    examples.choice("stream", ("true", "false", "1", "0"), "Answer with the events.", "false"),
    Parameter(
        name="starting_after",
        where="query",
        description="With `stream=true`: the `sequence_number` of the last event that was handled.",
        schema={"type": "integer", "minimum": 0},
        example=0,
    ),
    examples.RESUME[0],
)
PAGE: Final = (
    Parameter(
        name="limit",
        where="query",
        description="Items of a page.",
        schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        example=20,
    ),
    examples.choice("order", ("asc", "desc"), "Which come first: `desc` is the newest.", "desc"),
    Parameter(
        name="after",
        where="query",
        description="The id of the last item of the page before this one.",
        schema={"type": "string"},
        example=_ITEM_ID,
    ),
)

UNKNOWN: Final = UnknownResponse(f"Response with id '{RESPONSE_ID}' not found.")
NO_PREVIOUS: Final = UnknownPrevious(
    f"Previous response with id '{RESPONSE_ID}' not found.", field="previous_response_id"
)
NO_NUMBER: Final = Invalid(
    "starting_after must be the sequence_number of an event, not 'last'.", field="starting_after"
)
SHARED: Final = Forbidden("This response was shared with you: only its owner may see what was asked.")
NO_ITEM: Final = Invalid("after: there is no item 'msg_1' among them.", field="after")
