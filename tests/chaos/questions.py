"""What is asked of which model, and what may come of it: the expectations, as a table."""

import random
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from headwater.core.run import RunRequest
from headwater.providers.demo import DemoProvider
from headwater.providers.demo_corpus import load_corpus
from tests.streaming.texts import pieces
from tests.support.upstream import Script

MODELS_FILE: Final = """
[models.steady]
provider = "openai"
base_url = "{url}"
model = "steady"
continuation = "vllm"
fallbacks = ["spare"]

[models.spare]
provider = "openai"
base_url = "{url}"
model = "spare"
continuation = "vllm"

[models.brittle]
provider = "openai"
base_url = "{url}"
model = "brittle"

[models.anew]
provider = "openai"
base_url = "{url}"
model = "anew"
restart = true

[models.absent]
provider = "openai"
base_url = "http://127.0.0.1:{dead}/v1"
continuation = "vllm"
fallbacks = ["spare"]
"""


MARK_OF_STRANGERS: Final = "THIS WAS WRITTEN BY NOBODY WHO MAY"
"""What a stale producer would write."""


class Promise(Struct, frozen=True):
    """What becomes of a model's answers when workers and upstreams fail."""

    continues: bool
    """Whatever is shown of it stays, and the rest follows."""
    restarts: bool = False
    """What is shown may be withdrawn, and the whole follows."""

    falls_back: bool = False
    """There is another upstream to ask, beside the one that fails."""


PROMISES: Final[Mapping[str, Promise]] = {
    "demo": Promise(continues=True),
    "steady": Promise(continues=True, falls_back=True),
    "absent": Promise(continues=True),
    "anew": Promise(continues=False, restarts=True),
    "brittle": Promise(continues=False),
}

Try = dict[str, Any]
"""What is different in a script at one request."""

UPSTREAM_FAULTS: Final[Mapping[str, list[Try]]] = {
    "reset before headers": [{"fault": "reset_before_headers"}],
    "close before headers": [{"fault": "close_before_headers"}],
    "429 with Retry-After": [{"status": 429, "retry_after": "1"}],
    "429 without": [{"status": 429}],
    "500": [{"status": 500}],
    "503": [{"status": 503}],
    "silence before headers": [{"fault": "silence"}],
    "slow first token": [{"start_s": 1.0}],
    "error in the first event": [{"fault": "error", "after": 0}],
    "cut": [{"fault": "cut", "after": 9}],
    "reset": [{"fault": "reset", "after": 9}],
    "stall": [{"fault": "stall", "after": 9, "keep_alive_s": 0.2}],
    "malformed line": [{"fault": "malformed", "after": 9}],
    "no [DONE]": [{"done": False}],
    "[DONE] without a reason": [{"fault": "done", "after": 9}],
    "[DONE] after an error": [{"fault": "error_done", "after": 9}],
    "content filter": [{"finish_reason": "content_filter"}],
    "refusal to continue": [{"fault": "cut", "after": 9}, {"continuing": "refuse"}],
    "flapping": [{"status": 503}, {"fault": "cut", "after": 3}, {"fault": "cut", "after": 5}],
}
"""What the upstream does to the first requests for an answer."""

FINAL_FAULTS: Final = ("silence before headers", "refusal to continue")
"""After which the same upstream is not asked again: another must answer, if there is one."""
TWICE_IN_A_ROW: Final = ("flapping",)
"""Answers of which nothing stays, where what is shown is withdrawn: after the second there is no third."""
FINAL_WORDS: Final = ("content filter",)
"""The upstream's own end, which nobody overrules."""

# Of a story that is told in rooms, where a script cannot come with the request: one for each model.
_STORY: Final = Script(tokens=60, interval_s=0.05)
STORIES: Final = dict.fromkeys(("steady", "spare", "brittle", "anew"), _STORY)


class Question(Struct, frozen=True):
    """One run to be started. `text` is the unbroken answer, `fault` what its upstream does at first."""

    model: str
    body: dict[str, Any]
    text: str
    fault: str = ""
    script: Script | None = None

    @property
    def promise(self) -> Promise:
        """What may come of it."""
        return PROMISES[self.model]

    @property
    def chat(self) -> dict[str, Any]:
        """The same, for OpenAI's chat completions."""
        messages = [{"role": "user", "content": self.body["input"]}]
        return {"model": self.model, "messages": messages, "stream": True, **self.body["extra"]}

    @property
    def whole(self) -> bool:
        """Whether all of it comes at last, unless it is cancelled."""
        promise = self.promise
        if not (promise.continues or promise.restarts) or self.fault in FINAL_WORDS:
            return False
        if self.fault in FINAL_FAULTS:
            return promise.falls_back
        return promise.continues or self.fault not in TWICE_IN_A_ROW


Kind = Literal["demo", "steady", "brittle", "anew", "absent"]
_SHARES: Final[Mapping[Kind, int]] = {"demo": 4, "steady": 8, "anew": 2, "brittle": 2, "absent": 1}


@cache
def _demo() -> DemoProvider:
    return DemoProvider(load_corpus())


def load_answers() -> None:
    """Read what the demo model answers from, once."""
    _demo()


def draw(chance: random.Random, name: str, *, longest_s: float, faulty: float) -> Question:
    """Any question, whose input has `name` in it; in a share of `faulty` the upstream fails at first."""
    kind = chance.choices(list(_SHARES), list(_SHARES.values()))[0]
    seconds = chance.uniform(1.0, longest_s)
    if kind == "demo":
        return demo(name, tokens=chance.randrange(20, 200), seconds=seconds)
    fault = chance.choice(list(UPSTREAM_FAULTS)) if chance.random() < faulty else ""
    return scripted(name, kind, chance, seconds=seconds, fault=fault)


def demo(name: str, *, tokens: int, seconds: float) -> Question:
    """A question to the demo model, answered in so many tokens."""
    options = {"tokens": tokens, "tokens_per_s": max(1.0, tokens / seconds)}
    fields: dict[str, Any] = {"model": "demo", "input": f"How do I resume a stream, {name}?"}
    fields["extra"] = {"demo": options}
    return Question("demo", fields, _demo().answer(msgspec.convert(fields, RunRequest)).text)


def scripted(name: str, model: str, chance: random.Random, *, seconds: float, fault: str = "") -> Question:
    """A question to a model of the scripted upstream."""
    count = chance.randrange(30, 160)
    tries = UPSTREAM_FAULTS[fault] if fault else []
    if chance.random() < 0.3:
        made = pieces(min(count, 60), chance.getrandbits(32))
        script = Script(pieces=made, interval_s=seconds / len(made), tries=tries)
    else:
        script = Script(tokens=count, interval_s=seconds / count, tries=tries)
    return Question(model, {"model": model, "input": name, "extra": script.extra()}, script.text, fault, script)
