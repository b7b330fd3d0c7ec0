"""How the scripted upstream goes on with an answer of which the request brings the beginning."""

import json
from itertools import accumulate, pairwise
from typing import Any


class Refused(Exception):
    """The request cannot be continued: a 400 with this text."""


def beginning(path: str, body: Any) -> str:
    """The text of the assistant's message that the request ends in, "" if it does not. Raises Refused."""
    if path == "/v1/chat/completions":
        flags = body.get("continue_final_message", False), body.get("add_generation_prompt", True)
        if flags == (True, True):
            raise Refused("continue_final_message and add_generation_prompt cannot both be true")
    last = (body.get("messages") or [{}])[-1]
    if last.get("role") != "assistant":
        return ""
    content = last.get("content") or ""
    text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
    if path == "/v1/messages" and text != text.rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")
    return text


def question(body: Any) -> bytes:
    """What all requests for one answer have in common: the conversation without the beginning of the answer."""
    messages = body.get("messages") or []
    if messages and messages[-1].get("role") == "assistant":
        messages = messages[:-1]
    return json.dumps([body.get("system"), messages]).encode()


def rest(pieces: list[str], written: str, *, echo: bool) -> list[str]:
    """What follows `written`, cut in the middle of each of `pieces` where it was cut between them.

    With `echo` what is written comes once more. Raises Refused if the whole text does not begin so.
    """
    text = "".join(pieces)
    if not text.startswith(written):
        raise Refused("the script's text does not begin like that")
    start = 0 if echo else len(written)
    middles = (end - len(piece) // 2 for piece, end in zip(pieces, accumulate(map(len, pieces)), strict=True))
    cuts = [start, *(middle for middle in middles if start < middle < len(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if a < b]
