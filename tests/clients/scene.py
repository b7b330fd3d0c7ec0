"""A server that asks for keys, the scripted upstream behind it, and a plain client: what unmodified clients play on.

Everything runs beside the test, which may therefore block, as people's scripts do.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from anyio.from_thread import start_blocking_portal

from tests.streaming.stage import DEADLINE_S, ENDED, SETTINGS
from tests.streaming.texts import pieces
from tests.support.keys import JWT_SECRET, bearer
from tests.support.server import ServerProcess
from tests.support.upstream import Exchange, Script, Upstream
from tests.support.waiting import wait_until

KEY = "a-key-of-the-tests"
READER = "a-key-that-only-reads"
MANY = "a-key-that-wants-too-much"
PARALLEL_RUNS = 40
"""More than any test has at once, and few enough to start them all."""
SILENCE_S = 1.2
"""Of `quiet`: longer than it takes until the server looks whether a stream needs a comment."""

_PIECES = pieces(60, seed=7)
_TAIL = ' "quoted" \u2028 \\ </script> \U0001f469\u200d\U0001f680'
WILD = "".join(_PIECES) + _TAIL
"""A text that breaks whoever reads bytes, lines or JSON wrongly."""

_HEAD = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "add", "arguments": ""}}
_SECOND = {"name": "add", "arguments": '{"a": 3, "b": 4}'}
_ARGUMENTS = ('{"a": ', "1, ", '"b": 2}')
CALLS: list[dict[str, Any]] = [
    {"role": "assistant", "content": "Let me add."},
    {"tool_calls": [_HEAD]},
    *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in _ARGUMENTS),
    {"tool_calls": [{**_HEAD, "index": 1, "id": "call_b", "function": _SECOND}]},
]
"""Some text, then two calls, the first of them in fragments."""
SUMS = [("call_a", "add", '{"a": 1, "b": 2}'), ("call_b", "add", '{"a": 3, "b": 4}')]
"""The id, the name and the arguments of each, put together."""

_NAMELESS = {"index": 0, "function": _SECOND}
"""A call to which its model gave no id."""

# Above what Headwater waits for: it says at once that the upstream is out of service.
_LATER = "30"

MODELS = {
    "wild": Script(pieces=[*_PIECES, _TAIL], interval_s=0.002),
    "tools": Script(deltas=CALLS, finish_reason="tool_calls"),
    "careless": Script(
        deltas=[{"tool_calls": [_NAMELESS]}, {"tool_calls": [{**_NAMELESS, "index": 1}]}], finish_reason="tool_calls"
    ),
    "twins": Script(
        deltas=[{"tool_calls": [_HEAD]}, {"tool_calls": [{**_HEAD, "index": 1}]}], finish_reason="tool_calls"
    ),
    "reasoning": Script(deltas=[{"reasoning_content": "hm, "}, {"reasoning_content": "well"}, {"content": "Yes."}]),
    "refusing": Script(deltas=[{"refusal": "I will "}, {"refusal": "not."}]),
    "typed": Script(pieces=['{"city": ', '"Łódź", ', '"people": 3}']),
    "short": Script(tokens=5, finish_reason="length"),
    "quiet": Script(tokens=2, start_s=0.1, interval_s=SILENCE_S),
    "sleepy": Script(tokens=2, start_s=SILENCE_S, interval_s=SILENCE_S),
    "slow": Script(tokens=2_000, interval_s=0.05),
    "picky": Script(status=400),
    "busy": Script(status=429, retry_after=_LATER),
    "down": Script(status=503, retry_after=_LATER),
    "spoiled": Script(fault="error", after=3),
    "cut": Script(fault="cut", after=3),
    "cut-call": Script(deltas=CALLS, fault="cut", after=4),
}
"""What the upstream answers, by the names that clients ask for."""

TOOL: dict[str, Any] = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


class Scene:
    """One server. `url` is what clients take as their base URL; `http` is a client of no SDK's."""

    def __init__(self, server: ServerProcess, upstream: Upstream, http: httpx2.Client) -> None:
        self.server = server
        self.upstream = upstream
        self.http = http
        self.url = f"{server.url}/v1"

    def __repr__(self) -> str:
        return f"<Scene {self.server} {self.upstream}>"

    def run(self, run_id: str) -> Any:
        """The run now."""
        response = self.http.get(f"/v1/runs/{run_id}")
        assert response.status_code == 200, response.text
        return response.json()

    def ended(self, run_id: str) -> Any:
        """The run, once it has ended."""

        def look() -> Any:
            run = self.run(run_id)
            return run if run["status"] in ENDED else None

        return wait_until(look, DEADLINE_S, f"{run_id} has ended")

    def asked(self, question: str) -> Exchange:
        """The newest request at the upstream whose last message has this content."""

        def look() -> Exchange | None:
            bodies = [one for one in self.upstream.exchanges if one.path.endswith("/chat/completions")]
            return next((one for one in reversed(bodies) if one.body["messages"][-1]["content"] == question), None)

        return wait_until(look, DEADLINE_S, "the upstream is asked")


@asynccontextmanager
async def _running(directory: Path, special: dict[str, object]) -> AsyncIterator[tuple[ServerProcess, Upstream]]:
    keys = f"full={KEY},reader={READER};scopes=runs:read,many={MANY}"
    limits = {"requests_per_minute": 0, "parallel_runs": PARALLEL_RUNS, "keep_alive_s": 0.1}
    tokens = {"jwt_secret": JWT_SECRET, "jwt_alg": "HS256"}
    async with Upstream(MODELS) as upstream:
        settings = {**SETTINGS, "keys": keys, **tokens, **limits, **special}
        async with ServerProcess(directory, settings=settings, env={"OPENAI_BASE_URL": upstream.url}) as server:
            yield server, upstream


@contextmanager
def on_stage(directory: Path, **settings: object) -> Iterator[Scene]:
    """A scene of its own; `settings` are fields of the server's Config."""
    with (
        start_blocking_portal("asyncio", {"use_uvloop": True}) as portal,
        portal.wrap_async_context_manager(_running(directory, settings)) as (server, upstream),
        httpx2.Client(base_url=server.url, headers=bearer(KEY), timeout=DEADLINE_S) as http,
    ):
        yield Scene(server, upstream, http)
