"""Who is asking."""

from starlette.requests import HTTPConnection

from headwater.core.access import ANONYMOUS, Principal
from headwater.state import AppState


def principal_of(connection: HTTPConnection[AppState]) -> Principal:
    """The principal of a request. A server that only loopback reaches has one: whoever started it."""
    return ANONYMOUS
