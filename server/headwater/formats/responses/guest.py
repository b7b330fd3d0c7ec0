"""Responses for guests: whoever a run was shared with is shown what it answers, and nothing of what it was asked."""

from typing import Final

from msgspec.structs import replace

from headwater.core.run import RunRequest
from headwater.formats.base import Format, Head
from headwater.formats.responses.encoder import Responses

_NOTHING: Final = RunRequest(input="")


class GuestResponses(Responses):
    """A form of its own, as frames are shared by all who follow in one."""

    def __init__(self, head: Head) -> None:
        super().__init__(head_for_guests(head))


def head_for_guests(head: Head) -> Head:
    """The same run, as if nothing had been asked."""
    return replace(head, request=_NOTHING)


def form_for_guests(form: type[Format]) -> type[Format]:
    """What a guest gets who asks for this form; the others never repeat a request."""
    return GuestResponses if form is Responses else form
