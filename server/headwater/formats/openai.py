"""What OpenAI's formats have in common: how they call a run, by the prefixes that their clients know."""

from typing import Final

# Their SDKs take whatever ends with an empty line for an event with data, a `retry` and a comment behind an `id` too.
KEEP_ALIVE: Final = b":\n"

_RUN = "run_"
_RESPONSE = "resp_"


def completion_id(run_id: str) -> str:
    """The id of a run as a chat completion: `chatcmpl-…`."""
    return f"chatcmpl-{run_id.removeprefix(_RUN)}"


def response_id(run_id: str) -> str:
    """The id of a run as a response: `resp_…`."""
    return _RESPONSE + run_id.removeprefix(_RUN)


def run_id_of(response_id: str) -> str:
    """The run that a response's id stands for; the id of a run stands for itself."""
    return _RUN + response_id.removeprefix(_RESPONSE) if response_id.startswith(_RESPONSE) else response_id


def item_id(kind: str, run_id: str, index: int) -> str:
    """The id of an item in a response's output, such as `msg_…_0`."""
    return f"{kind}_{run_id.removeprefix(_RUN)}_{index}"
