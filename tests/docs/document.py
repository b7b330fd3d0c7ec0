"""The examples of docs/examples.md, as a reader would save them."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "examples.md"
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(title: str) -> dict[str, list[str]]:
    """The blocks under a title, by their language, in order."""
    _, found, rest = DOCUMENT.read_text().partition(f"\n## {title}\n")
    assert found, f"{DOCUMENT} has nothing about {title!r}"
    blocks: dict[str, list[str]] = {}
    for language, text in _FENCED.findall(rest.partition("\n## ")[0]):
        blocks.setdefault(language, []).append(text)
    return blocks


def titles() -> list[str]:
    """Of all examples."""
    return re.findall(r"^## (.*)$", DOCUMENT.read_text(), re.MULTILINE)


def put(text: str, changes: dict[str, str]) -> str:
    """An example with addresses of the test's in place of its own, each of which must be there."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in the example any more"
        text = text.replace(old, new)
    return text
