"""Pages of other sites, and other names: who may use this server from a browser."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, QUICK
from tests.support.keys import bearer
from tests.support.server import ServerProcess

FRIEND = "https://app.example.com"
KEY = "a-key-of-the-tests"
# What OpenAI's SDK sends from a page, as a browser asks for it: sorted, in lower case.
OPENAI_SDK = (
    "authorization,content-type,idempotency-key,openai-beta,openai-organization,openai-project,user-agent,"
    "x-stainless-arch,x-stainless-helper-method,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"origins": f"{FRIEND},http://localhost:3000", "keys": KEY, "drain_s": 0, "drain_spread_s": 0}
    with ServerProcess(tmp_path_factory.mktemp("origins"), settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        yield client


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://APP.example.com",
        "null",
        "file://",
        "https://[",
    ],
)
def test_a_post_from_a_page_of_another_site_is_refused(api: httpx2.Client, origin: str) -> None:
    body = {"input": "hello", "extra": QUICK}
    response = api.post("/v1/runs", json=body, headers=bearer(KEY) | {"Origin": origin})
    assert (response.status_code, response.json()["code"], response.json()["field"]) == (403, "forbidden", "Origin")
    assert "access-control-allow-origin" not in response.headers
    chat = {"messages": [{"role": "user", "content": "hello"}], **QUICK}
    refused = api.post("/v1/chat/completions", json=chat, headers=bearer(KEY) | {"Origin": origin})
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "Origin")
    assert api.get("/v1/runs", headers=bearer(KEY)).json()["data"] == [], "nothing was started"


def test_a_page_of_our_own_may_post(api: httpx2.Client) -> None:
    body = {"input": "hello", "extra": QUICK, "conversation": "own"}
    own = str(api.base_url).rstrip("/")
    assert api.post("/v1/runs", json=body, headers=bearer(KEY) | {"Origin": own}).status_code == 202


def test_a_listed_origins_page_may_read_answers_and_errors_alike(api: httpx2.Client) -> None:
    for path, headers, status in (
        ("/v1/runs", bearer(KEY), 200),
        ("/v1/runs", {}, 401),
        ("/v1/runs/run_unknown", bearer(KEY), 404),
        ("/v1/nothing", bearer(KEY), 404),
        ("/v1/runs?limit=x", bearer(KEY), 422),
        ("/v1/models", bearer(KEY), 200),
        ("/v1/models/gpt-9", bearer(KEY), 404),
        ("/v1/chat/completions", bearer(KEY), 405),
    ):
        response = api.get(path, headers={**headers, "Origin": FRIEND})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == FRIEND
        shown = response.headers["access-control-expose-headers"].lower().split(", ")
        assert {"headwater-run", "x-request-id", "retry-after", "x-should-retry"} <= set(shown)
        assert "access-control-allow-credentials" not in response.headers


def test_an_origin_that_is_not_listed_reads_nothing(api: httpx2.Client) -> None:
    response = api.get("/v1/runs", headers=bearer(KEY) | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers


def test_a_preflight_tells_what_may_be_sent(api: httpx2.Client) -> None:
    asked = {
        "Origin": FRIEND,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,last-event-id",
    }
    assert api.options("/v1/runs", headers=asked).status_code == 200
    assert api.options("/v1/runs", headers=asked | {"Origin": "https://evil.example"}).status_code == 400
    sdk = asked | {"Access-Control-Request-Headers": OPENAI_SDK}
    allowed = api.options("/v1/chat/completions", headers=sdk)
    assert allowed.status_code == 200
    assert set(OPENAI_SDK.split(",")) <= set(allowed.headers["access-control-allow-headers"].lower().split(", "))
    strange = asked | {"Access-Control-Request-Headers": "x-strange"}
    assert api.options("/v1/runs", headers=strange).status_code == 400


def test_an_open_loopback_server_answers_to_no_name_that_a_site_could_have(server: ServerProcess) -> None:
    """A page whose own name was made to resolve to loopback is one origin with us, for a browser."""
    with ServerProcess(server.directory, store="sqlite::memory:") as alone, httpx2.Client(base_url=alone.url) as api:
        for name in (f"127.0.0.1:{alone.port}", f"localhost:{alone.port}", "[::1]", "localhost", "a.localhost", "x"):
            assert api.get("/v1/runs", headers={"Host": name}).status_code == 200
        for name in (
            "evil.example",
            f"evil.example:{alone.port}",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "x." * 5_000,
        ):
            refused = api.get("/v1/runs", headers={"Host": name})
            assert (refused.status_code, refused.json()["field"]) == (400, "Host")
            assert "HEADWATER_TRUSTED_HOSTS" in refused.json()["detail"]


def test_it_answers_to_the_names_that_it_is_given(server: ServerProcess) -> None:
    settings = {"trusted_hosts": "chat.example.com,127.0.0.1"}
    named = ServerProcess(server.directory, store="sqlite::memory:", settings=settings)
    with named, httpx2.Client(base_url=named.url) as api:
        for name, status in (("chat.example.com", 200), ("CHAT.example.com:443", 200), ("other.example.com", 400)):
            assert api.get("/v1/runs", headers={"Host": name}).status_code == status
