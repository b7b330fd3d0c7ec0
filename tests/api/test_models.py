"""`GET /v1/models`: what a client may ask for, by name."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.calls import DEADLINE_S
from tests.support.server import ServerProcess, free_port

# A name with slashes, as model hubs give them.
MODELS = '[models."meta/llama/3"]\nprovider = "demo"\n[models.fast]\nprovider = "demo"\n'


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    directory = tmp_path_factory.mktemp("models")
    (directory / "headwater.toml").write_text(MODELS)
    with ServerProcess(directory) as server, httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        yield client


def card(name: str) -> dict[str, object]:
    """A model as it is told."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "headwater"}


def test_all_that_have_a_name_are_listed(named: httpx2.Client) -> None:
    response = named.get("/v1/models")
    assert response.status_code == 200
    assert response.json() == {"object": "list", "data": [card("meta/llama/3"), card("fast"), card("demo")]}


@pytest.mark.parametrize(
    ("path", "name"), [("demo", "demo"), ("meta/llama/3", "meta/llama/3"), ("meta%2Fllama%2F3", "meta/llama/3")]
)
def test_each_is_found_by_its_name(named: httpx2.Client, path: str, name: str) -> None:
    assert named.get(f"/v1/models/{path}").json() == card(name)


@pytest.mark.parametrize("path", ["gpt-9", "meta/llama", "", "x" * 257, "demo/", "%2e%2e"])
def test_a_name_that_is_not_known_is_not_found(named: httpx2.Client, path: str) -> None:
    response = named.get(f"/v1/models/{path}")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    error = response.json()["error"]
    assert (error["code"], error["param"], error["type"]) == ("model_not_found", "model", "invalid_request_error")
    assert error["message"]


def test_a_completion_of_an_unknown_model_is_refused_alike(named: httpx2.Client) -> None:
    body = {"model": "gpt-9", "messages": [{"role": "user", "content": "hello"}]}
    assert named.post("/v1/chat/completions", json=body).json() == named.get("/v1/models/gpt-9").json()


def test_where_any_name_is_passed_on_any_name_is_a_model(tmp_path: Path) -> None:
    upstream = {"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}  # nobody is there to list any
    with ServerProcess(tmp_path, settings={"any_model": True}, env=upstream) as server:
        assert httpx2.get(f"{server.url}/v1/models/any/name").json() == card("any/name")
        assert httpx2.get(f"{server.url}/v1/models").json()["data"] == [card("demo")]
        assert httpx2.get(f"{server.url}/v1/models/{'x' * 257}").status_code == 404
