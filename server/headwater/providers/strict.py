"""Strict conversion of what people wrote into Structs, with the path of what is wrong."""

import re
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_SENTENCE = re.compile(r"(?P<why>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_FIELD = re.compile(r"Object (?P<how>contains unknown|missing required) field `(?P<field>.*)`", re.DOTALL)


class Misfit(Exception):
    """`path` names the part, such as `extra.demo.tokens`; `why` says what is wrong with it."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


def convert(value: object, to: type[T], *, at: str) -> T:
    """`value`, which stands at the path `at`, as a `to`. Raises Misfit. Values are never quoted: one may be a key."""
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        match = _SENTENCE.fullmatch(str(error))
        assert match is not None
        why, path = match["why"], match["path"] or ""
        if field := _FIELD.fullmatch(why):
            path = f"{path}.{field['field']}"
            known = ", ".join(item.encode_name for item in msgspec.structs.fields(to))
            why = "is required" if field["how"] == "missing required" else f"is not known here; known are {known}"
        elif why.startswith("Invalid enum value"):
            why = "Expected one of " + ", ".join(_choices(get_type_hints(to)[path.removeprefix(".")]))
        raise Misfit(at + path, why) from None


def _choices(hint: Any) -> list[str]:
    """The strings of a Literal, also of one inside a union."""
    if isinstance(hint, str):
        return [hint]
    return [choice for arg in get_args(hint) for choice in _choices(arg)]
