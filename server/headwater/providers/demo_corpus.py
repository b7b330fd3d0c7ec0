"""Headwater's own documentation, cut into sections and ranked by the words of a question.

Okapi BM25 over an inverted index that is built once. Everything but `load_corpus` is pure.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_PICTURE = re.compile(r"\s*!\[.*\]\(.*\)\s*")
_WORD = re.compile(r"[^\W_]+")

# The usual BM25 constants: how soon a repeated word stops counting, how much length is held against a section.
_K1, _B = 1.2, 0.75
# A section whose title names the thing is about it; three mentions in passing are not.
_TITLE_WEIGHT = 3
# Far more than anyone types; ranking runs on the event loop, so its time has a bound.
_QUESTION_CHARS = 2_000
# Whole paragraphs up to about this: half a minute at reading speed is long enough for a demonstration.
_EXCERPT_WORDS = 140

# They stand in every section, as does the project's name.
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a an and are as at be been but by can could do does for from get give has have how i if in into is it its me
        my of on or our please should so tell than that the their them then there these they this to us use was we
        what when where which who why will with would you your about headwater
        """,
    )
)


class Section(NamedTuple):
    """A heading of a document and the Markdown under it, up to the next heading."""

    source: str
    title: str
    text: str


def sections(markdown: str, source: str) -> list[Section]:
    """The sections of a document, in order; a heading with nothing of its own under it is left out."""
    found: list[tuple[str, list[str]]] = [(source, [])]
    fenced = False
    for line in markdown.split("\n"):
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.fullmatch(line)
        if heading:
            found.append((heading[2].replace("`", ""), []))
        elif fenced or not _PICTURE.fullmatch(line):  # a picture is not for reading out
            found[-1][1].append(line)
    texts = ((title, "\n".join(lines).strip()) for title, lines in found)
    return [Section(source, title, text) for title, text in texts if text]


def excerpt(section: Section) -> tuple[str, bool]:
    """The first paragraphs of a section, code blocks kept whole, and whether that is all of it."""
    taken: list[str] = []
    words = 0
    fenced = False
    lines = section.text.split("\n")
    for index, line in enumerate(lines):
        fenced ^= bool(_FENCE.match(line))
        words += len(line.split())
        taken.append(line)
        if words >= _EXCERPT_WORDS and not fenced and (index + 1 == len(lines) or not lines[index + 1].strip()):
            break
    return "\n".join(taken), len(taken) == len(lines)


def terms(text: str) -> list[str]:
    """The words that count, in order, without their endings: resume, resumes and resuming are one."""
    return [_stem(word) for word in _WORD.findall(text.casefold()) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    # cancelled, stopping: the doubled letter belongs to the ending
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] and word[-1] in "bdglmnprt" else word


class Corpus:
    """Sections and their index."""

    def __init__(self, documents: Iterable[Section]) -> None:
        self.sections: Sequence[Section] = tuple(documents)
        counts = [self._count(section) for section in self.sections]
        lengths = [count.total() for count in counts]
        average = sum(lengths) / len(lengths) if lengths else 1.0
        holders: dict[str, list[tuple[int, int]]] = {}
        for index, count in enumerate(counts):
            for term, times in count.items():
                holders.setdefault(term, []).append((index, times))
        self._weights = {
            term: [(index, self._weight(times, lengths[index] / average, len(held))) for index, times in held]
            for term, held in holders.items()
        }

    def __repr__(self) -> str:
        return f"<Corpus of {len(self.sections)} sections>"

    @staticmethod
    def _count(section: Section) -> Counter[str]:
        count = Counter(terms(section.text))
        for term in terms(section.title):
            count[term] += _TITLE_WEIGHT
        return count

    def _weight(self, times: int, relative_length: float, holders: int) -> float:
        rarity = math.log(1 + (len(self.sections) - holders + 0.5) / (holders + 0.5))
        return rarity * times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * relative_length))

    def rank(self, question: str, limit: int) -> list[Section]:
        """The sections that share words with the question, best first; equal ones in document order."""
        scores: dict[int, float] = {}
        for term in dict.fromkeys(terms(question[:_QUESTION_CHARS])):
            for index, weight in self._weights.get(term, ()):
                scores[index] = scores.get(index, 0.0) + weight
        best = sorted(scores, key=lambda index: (-scores[index], index))
        return [self.sections[index] for index in best[:limit]]


def load_corpus(package: Path | None = None) -> Corpus:
    """The documentation that came with the package, else that of the checkout it lies in; empty without either.

    Reads files: call it at start.
    """
    package = package or Path(__file__).resolve().parent.parent
    shipped, checkout = package / "_docs", package.parent.parent
    if shipped.is_dir():
        readme, folder = shipped / "README.md", shipped
    else:
        readme, folder = checkout / "README.md", checkout / "docs"
    guides = [path for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    named = [(readme, "README.md")] * readme.is_file() + [(path, f"docs/{path.name}") for path in guides]
    return Corpus(section for path, name in named for section in sections(path.read_text("utf-8"), name))
