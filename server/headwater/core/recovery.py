"""What may become of an answer that broke off: who may go on with it, how, and when enough was tried."""

from collections.abc import Sequence
from typing import Final

from headwater.core.content import Part
from headwater.core.events import Attempt, End, Event, Text
from headwater.core.run import RunRequest

# Failures after which another try may do better. What a model or we decided (a limit, a filter, a cancel) is no such.
_PASSING: Final = frozenset(
    {
        "upstream_cut",
        "idle_timeout",
        "no_finish_reason",
        "upstream_error",
        "upstream_unreachable",
        "first_token_timeout",
        "bad_upstream_data",
        "internal_error",
    }
)
# What an upstream says of the request, which another would say, too; 429 and 5xx speak of itself.
_REFUSED: Final = frozenset({400, 413, 422})
# How upstreams are asked, in `extra`, for a document of a given form.
_FORMS: Final = frozenset(
    {
        "format",
        "grammar",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "json_schema",
        "response_format",
        "structured_outputs",
    }
)
# Workers that may die over one run, one after the other, without a token from any: more are no accident.
DEATHS_MAX: Final = 3


class Shown:
    """What a reader of a run holds: its output since it last began anew."""

    def __init__(self, parts: Sequence[Part] = (), tokens: int = 0) -> None:
        self.tokens = tokens
        """How many deltas that took: about as many tokens."""
        self._texts = [part["text"] for part in parts if "text" in part]
        self._is_text = len(self._texts) == len(parts)

    def __repr__(self) -> str:
        return f"<Shown tokens={self.tokens}{'' if self._is_text else ', not only text'}>"

    def add(self, event: Event) -> None:
        """Take one more event of the log."""
        if isinstance(event, Text):
            self._texts.append(event.text)
            self.tokens += 1
        elif isinstance(event, Attempt):
            if event.how == "restarted":
                self._texts, self._is_text, self.tokens = [], True, 0
        elif not isinstance(event, End):
            self._is_text = False
            self.tokens += 1

    @property
    def began(self) -> bool:
        """Whether there is anything that a new beginning would withdraw."""
        return not self._is_text or any(self._texts)

    @property
    def text(self) -> str:
        """All of it, where it is nothing but text."""
        return "".join(self._texts)

    def may_be_continued(self, request: RunRequest, max_bytes: int) -> bool:
        """Whether going on is sound: a model that is given the beginning of such an answer writes the rest of it.

        Not where it has begun to think or to call a tool, nor where it owes a document of some form: no upstream that
        is known goes on in the midst of those.
        """
        form = (request.response_format or {}).get("type", "text")
        free = form == "text" and _FORMS.isdisjoint(request.extra or ())
        return self._is_text and free and len(self.text.encode()) <= max_bytes


def may_pass(end: End, *, continuing: bool) -> bool:
    """Whether another try may come further than the one that ended so; `continuing` if it was to go on from a text."""
    if end.reason not in _PASSING:
        return False
    status = end.error.upstream_status if end.error is not None else None
    return continuing or status not in _REFUSED


def is_refusal(end: End) -> bool:
    """Whether the upstream said that it will not take this request."""
    return end.error is not None and end.error.upstream_status in _REFUSED


def deaths_in_a_row(attempts: Sequence[Attempt], tries: Sequence[int], leases: int, *, released: bool) -> int:
    """How many workers died lately over a run without a delta from any.

    `leases` are all that there were before this one, the last of them `released` or not; `attempts` and `tries` are
    those of the log.
    """
    told = 1 + sum(attempt.reason != "failover" for attempt in attempts)
    deaths = max(0, leases - told)  # those that died before they could say that they had taken over
    for number in range(len(tries) - 1, -1, -1):
        if tries[number]:
            break
        following = attempts[number].reason if number < len(attempts) else None
        deaths += following == "takeover" or (following is None and not released)
    return deaths
