"""JSON as upstreams write it, into Structs of as much of its shape as we read."""

import json
from typing import TypeVar

import msgspec

from headwater.providers.surrogates import without_halves

T = TypeVar("T", bound=msgspec.Struct)


class BadShape(Exception):
    """Not JSON, or JSON of another shape. The text is the end of a sentence about it."""


def decode_loose(data: bytes, decoder: msgspec.json.Decoder[T], to: type[T]) -> tuple[T, bool]:
    """The value, and whether its strings may hold halves of surrogate pairs. Raises BadShape."""
    try:
        return decoder.decode(data), False
    except msgspec.ValidationError as error:
        raise BadShape(f"has a wrong shape: {error}") from None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # msgspec refuses half of a surrogate pair, which comes where a server cuts between two escapes.
        try:
            return msgspec.convert(json.loads(data), to), True
        except (ValueError, RecursionError):
            raise BadShape("is not JSON") from None
        except msgspec.ValidationError as error:
            raise BadShape(f"has a wrong shape: {error}") from None


def json_text(value: object) -> str:
    """A value that came decoded, such as the arguments of a call, as the text that everybody else sends.

    It can be stored: what was decoded loosely may hold halves of surrogate pairs, and they become U+FFFD.
    """
    return without_halves(json.dumps(value, ensure_ascii=False))


def json_or_text(data: bytes) -> object:
    """The value that `data` is, or its text if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")
