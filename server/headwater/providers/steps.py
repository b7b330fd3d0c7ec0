"""What a user's function yields, checked and made into our deltas."""

from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from headwater.core.events import Reasoning, Refusal, Text, ToolCall, Usage
from headwater.providers.base import Finish, ProviderError, Step
from headwater.providers.strict import Misfit, convert


class _Call(Struct, forbid_unknown_fields=True):
    index: Annotated[int, Meta(ge=0)]
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


_Kind = type[Text] | type[Reasoning] | type[Refusal]
_TEXTS: dict[str, _Kind] = {"text": Text, "reasoning": Reasoning, "refusal": Refusal}


def to_step(item: object) -> Step | None:
    """The step that `item` means, None for empty text.

    A str is text; a dict has one key, as on the wire: `{"text": …}`, `{"reasoning": …}`,
    `{"refusal": …}` or `{"tool_call": {"index", "id"?, "name"?, "arguments"?}}`; deltas, a Usage
    and a Finish are themselves. Raises ProviderError("bad_upstream_data"), naming what is wrong.
    """
    match item:
        case str():
            return _text(Text, item)
        case Text() | Reasoning() | Refusal():
            return _text(type(item), item.text)
        case ToolCall(index, id_, name, arguments):
            return _tool_call({"index": index, "id": id_, "name": name, "arguments": arguments})
        case Usage():
            return _usage(item)
        case Finish():
            return _finish(item)
        case dict() if len(item) == 1:
            [(key, value)] = item.items()
            if key == "tool_call":
                return _tool_call(value)
            if key in _TEXTS:
                return _text(_TEXTS[key], value)
    raise _bad(f"{_kind(item)}, which is neither text, a delta, a Usage nor a Finish")


def _kind(item: object) -> str:
    """The type of an item, and what tells one dict from another."""
    if isinstance(item, dict):
        return f"a dict with the keys {', '.join(sorted(str(key)[:40] for key in list(item)[:5])) or '(none)'}"
    return f"{type(item).__name__}"


def _bad(what: str) -> ProviderError:
    return ProviderError("bad_upstream_data", f"the model's function yielded {what}")


def _text(kind: _Kind, text: object) -> Step | None:
    if not isinstance(text, str):
        raise _bad(f"{kind.__name__.lower()} that is no str but {type(text).__name__}")
    return kind(_clean(text)) if text else None


def _tool_call(value: Any) -> ToolCall:
    try:
        call = convert(value, _Call, at="tool_call")
    except Misfit as misfit:
        raise _bad(f"a bad {misfit.path}: {misfit.why}") from None
    parts = (part if part is None else _clean(part) for part in (call.id, call.name, call.arguments))
    return ToolCall(call.index, *parts)


def _usage(usage: Usage) -> Usage:
    try:
        return convert(structs.asdict(usage), Usage, at="Usage")
    except Misfit as misfit:
        raise _bad(f"a bad {misfit.path}: {misfit.why}") from None


def _finish(finish: Finish) -> Finish:
    usage = structs.asdict(finish.usage) if isinstance(finish.usage, Usage) else finish.usage
    try:
        return convert({"reason": finish.reason, "usage": usage}, Finish, at="Finish")
    except Misfit as misfit:
        raise _bad(f"a bad {misfit.path}: {misfit.why}") from None


def _clean(text: str) -> str:
    """Text that UTF-8 can carry: halves of a surrogate pair are joined, lone ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str.__str__(text)  # a subclass would not be stored
