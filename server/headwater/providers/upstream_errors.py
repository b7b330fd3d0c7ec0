"""What an upstream says about an error, made fit for a run's `end`: found, cleaned of secrets and short."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

# Two sentences. Some servers put a stack trace, or the whole prompt, into theirs.
MESSAGE_MAX = 300

# Keys as the vendors make them, and whatever stands in an authorization.
_KEYS = re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|key)[-_][\w*-]{6,}|\bBearer\s+\S+", re.IGNORECASE)
# What is shorter occurs in ordinary words.
_SECRET_MIN = 6

_NOT_JSON = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class Scrubber:
    """Takes the secrets out of a text, line ends too, and shortens it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one may be part of another.
        ordered = sorted((secret for secret in secrets if len(secret) >= _SECRET_MIN), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        # Long enough that no secret is cut in two at the end of what is shown.
        text = text[: MESSAGE_MAX * 20]
        if self._secrets is not None:
            text = self._secrets.sub("***", text)
        text = " ".join(_KEYS.sub("***", text).split())
        return text if len(text) <= MESSAGE_MAX else f"{text[: MESSAGE_MAX - 1]}…"


def error_message(value: Any) -> str:
    """The sentence in an error as the servers shape them; "" if there is none."""
    for _ in range(4):  # {"error": {"detail": [{"msg": …}]}} is as deep as they go
        match value:
            case str():
                return value
            case {"error": inner} | {"message": inner} | {"detail": inner} | {"msg": inner} if inner:
                value = inner
            case {"code": inner} | {"type": inner} if inner:
                value = inner
            case [inner, *_]:
                value = inner
            case _:
                return ""
    return ""


def error_code(body: bytes) -> str:
    """The `code` of an error in OpenAI's shape; "" if there is none."""
    try:
        value = msgspec.json.decode(body)
    except _NOT_JSON:
        return ""
    match value:
        case {"error": {"code": str(code)}}:
            return code
        case _:
            return ""


def body_message(body: bytes, media_type: str) -> str:
    """The sentence in the body of a refusal; "" if it is a page or nothing."""
    try:
        return error_message(msgspec.json.decode(body))
    except _NOT_JSON:
        return "" if "html" in media_type or b"<html" in body[:1000].lower() else body.decode(errors="replace")
