"""What a request asks, as plain text."""

from typing import Any

from headwater.core.run import RunRequest


def text_of(content: str | list[dict[str, Any]] | None) -> str:
    """The text of a message's content: its text parts joined, images and the like left out."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in content or () if part.get("type") in ("text", "input_text")]
    return "\n".join(text for text in texts if isinstance(text, str))


def question(request: RunRequest) -> str:
    """The text of the last user message, "" if there is none."""
    if isinstance(request.input, str):
        return request.input
    users = (message for message in reversed(request.input) if message.role == "user")
    last = next(users, None)
    return "" if last is None else text_of(last.content)


def word_count(request: RunRequest) -> int:
    """Words in the instructions and all messages: the usage of what has no tokenizer."""
    messages = [request.input] if isinstance(request.input, str) else [text_of(m.content) for m in request.input]
    return sum(len(text.split()) for text in (request.instructions or "", *messages))
