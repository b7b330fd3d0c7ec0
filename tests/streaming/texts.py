"""Text that breaks whoever counts bytes, characters or lines wrongly."""

import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

FAMILY = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}\u200d\N{BOY}"
WORDS = (
    FAMILY, "\N{WAVING WHITE FLAG}\ufe0f\u200d\N{RAINBOW}", "日本語の流れ", "한국어", "источник", "e\u0301",
    "a\u2028b", "c\u2029d", "e\u0085f", "line\nline", "cr\rcr", "crlf\r\n", "\n\n", ": comment", "data: x",
    "id: 1-1", "\ufeff", "\\u0041", '"quoted"', "\t", " ", "plain", "\U0001d11e", "\u202eright to left\u202c",
)  # fmt: skip


def pieces(count: int, seed: int) -> list[str]:
    """So many tokens; an emoji's parts may come in different ones."""
    chance = random.Random(seed)
    text = "".join(chance.choice(WORDS) + " " for _ in range(2 * count))
    cuts = sorted(chance.sample(range(1, len(text)), count - 1))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@contextmanager
def seeded() -> Iterator[int]:
    """A fresh seed, which a failure names."""
    seed = secrets.randbits(32)
    try:
        yield seed
    except BaseException as error:
        error.add_note(f"with the seed {seed}")
        raise
