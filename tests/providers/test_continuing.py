"""Answers broken off by a scripted upstream and gone on with, over real sockets, in each way that there is."""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import anyio.to_thread
import pytest

import headwater
from headwater.core.events import Text, Usage
from headwater.core.run import Message, RunRequest
from headwater.http_client import HttpClient
from headwater.providers.anthropic import AnthropicProvider
from headwater.providers.base import Finish, ProviderError, Step, Written
from headwater.providers.ollama import OllamaProvider
from headwater.providers.openai import OpenAIProvider
from headwater.providers.retry import WITH_FALLBACKS
from headwater.providers.upstream import UpstreamProvider
from headwater.state import AppState
from tests.support.server import free_port
from tests.support.upstream import Exchange, Script, Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

PIECES = ["Well", " — once", "\n\n", "upon ", "a time", ", once", " 👩‍👩‍👧", " more", "."]
WHOLE = "".join(PIECES)
MESSAGES = [Message("system", "Be kind."), Message("user", "Tell.")]


class Style(NamedTuple):
    make: Callable[..., UpstreamProvider]
    continuation: str
    continuing: str = "rest"

    def provider(self, client: HttpClient, upstream: Upstream, **options: Any) -> UpstreamProvider:
        url = upstream.url if self.make is OpenAIProvider else upstream.root
        return self.make(client, base_url=url, model="m", continuation=self.continuation, roll=lambda: 0.0, **options)


STYLES = {
    "vllm": Style(OpenAIProvider, "vllm"),
    "trailing": Style(OpenAIProvider, "trailing"),
    "prefix": Style(OpenAIProvider, "prefix"),
    "prefix, echoed": Style(OpenAIProvider, "prefix", "echo"),
    "anthropic": Style(AnthropicProvider, "trailing"),
    "ollama": Style(OllamaProvider, "trailing"),
}
EACH = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)


async def heard(answer: AsyncGenerator[list[Step], None]) -> tuple[str, Finish | ProviderError]:
    """The text that came, and how it ended."""
    steps: list[Step] = []
    try:
        async for some in answer:
            assert some, "an empty list"
            steps += some
    except ProviderError as error:
        end: Finish | ProviderError = error
    else:
        finish = steps.pop()
        assert isinstance(finish, Finish)
        end = finish
    return "".join(step.text for step in steps if isinstance(step, Text)), end


async def told(provider: UpstreamProvider, request: RunRequest, tries: int) -> tuple[str, list[Any]]:
    """The text of so many tries, each of which goes on with the one before, and how they ended."""
    text, ends = "", []
    for _ in range(tries):
        answer = provider.generate_from(request, Written(text, len(text))) if text else provider.generate(request)
        more, end = await heard(answer)
        text += more
        ends.append(end.reason)
    return text, ends


def without_answer(exchange: Exchange) -> list[Any]:
    messages: list[Any] = exchange.body["messages"]
    return [message for message in messages if message["role"] != "assistant"]


@EACH
@pytest.mark.parametrize("after", range(1, len(PIECES)))
async def test_an_answer_that_is_cut_twice_is_whole_in_the_end(
    client: HttpClient, upstream: Upstream, style: Style, after: int
) -> None:
    cut = {"fault": "cut", "after": after}
    # The second goes on for one piece, whatever comes before it.
    again = {"fault": "cut", "after": after + 2 if style.continuing == "echo" else 1}
    script = Script(pieces=PIECES, tries=[cut, again], continuing=style.continuing)  # type: ignore[arg-type]
    request = RunRequest(input=MESSAGES, extra=script.extra())
    text, ends = await told(style.provider(client, upstream), request, 3)
    assert (text, ends) == (WHOLE, ["upstream_cut", "upstream_cut", "stop"])
    first, second, third = upstream.exchanges
    shown = "".join(PIECES[:after])
    assert (first.written, second.written) == ("", shown.rstrip() if style.make is AnthropicProvider else shown)
    assert third.written.startswith(second.written)
    assert without_answer(first) == without_answer(second) == without_answer(third)


@EACH
async def test_a_refused_continuation_is_a_400(client: HttpClient, upstream: Upstream, style: Style) -> None:
    request = RunRequest(input="Tell.", extra=Script(pieces=PIECES, continuing="refuse").extra())
    text, end = await heard(style.provider(client, upstream).generate_from(request, Written("Well", 1)))
    assert isinstance(end, ProviderError)
    assert (text, end.reason, end.status, len(upstream.exchanges)) == ("", "upstream_error", 400, 1)
    assert "prefill" in end.detail


@EACH
async def test_only_what_is_left_of_the_limit_is_asked_for(
    client: HttpClient, upstream: Upstream, style: Style
) -> None:
    provider = style.provider(client, upstream)
    request = RunRequest(input="Tell.", max_output_tokens=20, extra=Script(pieces=PIECES).extra())
    await heard(provider.generate_from(request, Written("Well", 17)))
    body = upstream.exchanges[0].body
    assert body.get("max_tokens", body.get("options", {}).get("num_predict")) == 3
    assert await heard(provider.generate_from(request, Written("Well", 20))) == ("", Finish("length", Usage()))
    assert len(upstream.exchanges) == 1


async def test_a_default_limit_counts_what_is_written_too(client: HttpClient, upstream: Upstream) -> None:
    provider = AnthropicProvider(client, base_url=upstream.root, model="m", max_output_tokens=100)
    request = RunRequest(input="Tell.", extra=Script(pieces=PIECES).extra())
    await heard(provider.generate_from(request, Written("Well", 17)))
    assert upstream.exchanges[0].body["max_tokens"] == 83


async def test_space_alone_is_no_beginning_that_anthropic_takes(client: HttpClient, upstream: Upstream) -> None:
    request = RunRequest(input="Tell.", extra=Script(pieces=["\n", "\n", "Well."]).extra())
    text, end = await heard(STYLES["anthropic"].provider(client, upstream).generate_from(request, Written("\n", 1)))
    assert (text, end.reason) == ("\nWell.", "stop")
    assert [message["role"] for message in upstream.exchanges[0].body["messages"]] == ["user"]


MODELS = """
[models.own]
provider = "openai"
base_url = "URL/v1"
continuation = "vllm"
fallbacks = ["plain"]

[models.plain]
provider = "openai"
base_url = "URL/v1"

[models.never]
provider = "ollama"
base_url = "URL"
continuation = "none"
"""


async def test_the_models_file_and_the_surroundings_say_who_continues(upstream: Upstream, tmp_path: Path) -> None:
    upstream.models["listed"] = Script()
    (tmp_path / "models.toml").write_text(MODELS.replace("URL", upstream.root))
    config = headwater.Config(store="sqlite::memory:", models=str(tmp_path / "models.toml"))
    environ = {"OPENAI_BASE_URL": upstream.url, "OPENAI_CONTINUATION": "prefix"}
    app = await anyio.to_thread.run_sync(partial(headwater.create_app, config, environ=environ))
    async with headwater.lifespan(app) as entered:
        catalog = cast(AppState, dict(entered))["catalog"]
        request = RunRequest(input="Tell.", extra=Script(status=429, retry_after="2").extra())
        can = {name: catalog.get(name).provider.continues(request) for name in catalog.names()}
        assert can == {"own": True, "plain": False, "never": False, "demo": True, "listed": True}
        before = len(upstream.exchanges)
        _, end = await heard(catalog.get("own").provider.generate(request))
        assert (end.reason, len(upstream.exchanges) - before) == ("upstream_error", 1), "it waited for it"


async def test_who_continues_unless_the_operator_says_otherwise(client: HttpClient) -> None:
    request = RunRequest(input="Tell.")
    made = [
        make(client, base_url="http://h", model="m") for make in (OpenAIProvider, AnthropicProvider, OllamaProvider)
    ]
    assert [provider.continues(request) for provider in made] == [False, True, True]
    never = AnthropicProvider(client, base_url="http://h", model="m", continuation="none")
    assert not never.continues(request)


HTML = "<html>502</html>"
FAULTS = {
    "closed before headers": (Script(fault="close_before_headers"), "upstream_unreachable", None, 0),
    "reset before headers": (Script(fault="reset_before_headers"), "upstream_unreachable", None, 0),
    "429": (Script(status=429), "upstream_error", 429, 0),
    "429, wait long": (Script(status=429, retry_after="30"), "upstream_error", 429, 0),
    "500": (Script(status=500), "upstream_error", 500, 0),
    "503": (Script(status=503), "upstream_error", 503, 0),
    "a slow first token": (Script(start_s=0.02), "stop", None, 7),
    "an error in the first event": (Script(fault="error"), "upstream_error", None, 0),
    "a cut": (Script(fault="cut", after=3), "upstream_cut", None, 3),
    "a malformed line": (Script(fault="malformed", after=3), "bad_upstream_data", None, 3),
    "no [DONE]": (Script(done=False), "stop", None, 7),
    "[DONE] after an error": (Script(fault="error_done", after=3), "upstream_error", None, 3),
    "a content filter": (Script(finish_reason="content_filter"), "content_filter", None, 7),
    "a refusal of the continuation": (Script(continuing="refuse"), "upstream_error", 400, 0),
    "flapping": (Script(tries=[{"status": 503}]), "stop", None, 7),
    "a page": (Script(content_type="text/html", body=HTML), "bad_upstream_data", None, 0),
}


@pytest.mark.parametrize(("script", "reason", "status", "last"), FAULTS.values(), ids=FAULTS)
async def test_a_continuation_ends_as_honestly_as_a_first_try(
    client: HttpClient, upstream: Upstream, script: Script, reason: str, status: int | None, last: int
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    provider = STYLES["vllm"].provider(client, upstream, sleep=sleep, retries=WITH_FALLBACKS)
    request = RunRequest(input="Count.", extra=script.extra())
    text, end = await heard(provider.generate_from(request, Written("0", 1)))
    assert (end.reason, getattr(end, "status", None)) == (reason, status)
    # The rest begins behind the 0, and its pieces are cut in the middle of those of a first try.
    assert text == "".join(f" {number}" for number in range(1, last + 1)) + " " * (last == 7)
    assert len(upstream.exchanges) <= 2 and sum(waits) <= 1


async def test_nobody_there_is_said_of_a_continuation_too(client: HttpClient) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    provider = OpenAIProvider(client, base_url=url, model="m", continuation="vllm", roll=lambda: 0.0)
    _, end = await heard(provider.generate_from(RunRequest(input="Tell."), Written("Well", 1)))
    assert end.reason == "upstream_unreachable"


async def test_a_continuation_that_is_let_go_closes_the_upstream(client: HttpClient, upstream: Upstream) -> None:
    script = Script(pieces=PIECES, fault="stall", after=1)
    answer = (
        STYLES["vllm"]
        .provider(client, upstream)
        .generate_from(RunRequest(input="Tell.", extra=script.extra()), Written("Well", 1))
    )
    assert await anext(answer)
    await answer.aclose()
    await eventually(lambda: upstream.exchanges[0].closed_at is not None, what="the upstream sees it close")
