"""The document at /openapi.json is whole and true: Schemathesis holds the server to it."""

import sys
from collections import Counter
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import requests
import schemathesis
from msgspec.json import decode, encode
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import derive_operation_seed
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from headwater.app import create_app
from headwater.config import Config
from headwater.core.position import parse_position
from headwater.web.openapi import Document
from headwater.web.operation import operation_of
from headwater.web.routes import ROUTES
from tests.api.calls import DEADLINE_S
from tests.support.server import ServerProcess

SEED = 20_260_101
CASES = 5  # drawn for each operation; its examples and the borders of its schemas come on top

KEY = "only-for-these-tests"
"""Of one who may do everything on the server that asks."""
ASKING = {"keys": KEY, "requests_per_minute": 0, "address_requests_per_minute": 0, "parallel_runs": 0}

ROOM = "furnished"
# A model that is ready at once: streams that are asked for by chance must not take their time.
QUICK = "async def answer(request):\n    yield 'Right '\n    yield 'away.'\n"
MODELS = 'default = "quick"\n[models.quick]\nprovider = "python:quick:answer"\n'

DOCUMENT: dict[str, Any] = decode(encode(Document().get_schema(list(ROUTES))))
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}


def event(name: dict[str, Any], data: str = r"^\{.*\}$") -> dict[str, Any]:
    """The schema of a server-sent event with such a name, as Schemathesis sees it."""
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": name,
            "data": {"type": "string", "pattern": data},
            "id": {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
        },
    }


EVENT = {
    "anyOf": [
        event({"enum": ["run", "snapshot", "delta", "attempt", "end"]}),
        event({"const": "message"}, r"^(\{.*\}|\[DONE\])$"),  # of chat completions, which have no names
        event({"pattern": r"^(response\.[a-z_.]+|error)$"}),  # of responses
    ]
}

load_all_checks()
KEPT = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
]
GUARDED = [*KEPT, "ignored_auth"]

# The borders of the schemas are looked for on one of the two servers: what a body may be does not hang on who asks.
OPEN_MODES = [HypothesisTestMode.EXAMPLES, HypothesisTestMode.FUZZING]
GUARDED_MODES = [*OPEN_MODES, HypothesisTestMode.COVERAGE]


def contents(operation: Any) -> Iterator[Any]:
    """The media types of its request and of all that it can answer."""
    for message in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from message.get("content", {}).values()


def examples(part: Any) -> list[Any]:
    """Of a content or a parameter."""
    named = [example["value"] for example in part.get("examples", {}).values()]
    return named + ([part["example"]] if "example" in part else [])


def resolvable(schema: Any) -> Any:
    """The schema as one that stands alone."""
    return {**schema, "components": DOCUMENT["components"]}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key == "$ref")
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def bounded(document: dict[str, Any]) -> Any:
    """What Schemathesis draws from. It reads an event stream's schema as that of each event."""
    document = decode(encode(document))
    for path in document["paths"].values():
        for method, operation in path.items():
            for response in operation["responses"].values() if method != "parameters" else ():
                if "text/event-stream" in response.get("content", {}):
                    response["content"]["text/event-stream"]["schema"] = EVENT
    config = SchemathesisConfig(seed=SEED)
    config.projects.default.generation.update(max_examples=CASES)
    return schemathesis.openapi.from_dict(document, config=config)


class House:
    """A server, and someone who may use it."""

    def __init__(self, server: ServerProcess, key: str | None) -> None:
        self.url = server.url
        self.headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        self.asks = key is not None
        self._numbers: Counter[str] = Counter()  # of each operation's cases, whatever was tried before it
        self._session = requests.Session()
        self._session.trust_env = False  # to look for proxies takes as long as a request
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._api = httpx2.Client(base_url=server.url, headers=self.headers, timeout=DEADLINE_S)
        self._new_room(ROOM)

    def close(self) -> None:
        self._api.close()
        self._session.close()

    def hold(self, case: Case[Any]) -> None:
        """Hold the server to the document in one case."""
        self.furnish(case)
        response = case.call(base_url=self.url, headers=self.headers, timeout=DEADLINE_S, session=self._session)
        checks: list[Any] = CHECKS.get_by_names(GUARDED if self.asks else KEPT)
        case.validate_response(response, checks=checks, transport_kwargs={"session": self._session})

    def furnish(self, case: Case[Any]) -> None:
        """Make every other case one that is about something: a run that is there, a key that is new."""
        case.query.pop("ticket", None)  # a second credential is always refused
        endless = case.operation.label == "GET /v1/rooms/{room}/events"
        if endless:
            case.path_parameters["room"] = "nowhere"  # elsewhere something may be said for ever
        body = case.body if isinstance(case.body, dict) else {}
        if body.get("model") == "demo":
            del body["model"]  # it speaks at a reader's pace
        self._numbers[case.operation.label] += 1
        number = self._numbers[case.operation.label]
        if number % 2:
            return
        if "run_id" in case.path_parameters:
            case.path_parameters["run_id"] = self._new_run()
        if "room" in case.path_parameters and not endless:
            case.path_parameters["room"] = self._new_room() if case.method == "DELETE" else ROOM
        if "model" in case.path_parameters:
            case.path_parameters["model"] = "quick"
        if isinstance(body.get("run"), str):
            body["run"] = self._new_run()
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"{case.operation.label} {number}"
        for part, name in ((case.headers, "Last-Event-ID"), (case.query, "after")):
            if is_position(part.get(name)):
                part[name] = "0-0"  # plain text breaks off at a position that is none of the run's

    def _new_room(self, name: str = "to-be-removed") -> str:
        self._api.put(f"/v1/rooms/{name}", json={}).raise_for_status()
        return name

    def _new_run(self) -> str:
        run_id: str = self._api.post("/v1/runs", json={"input": "hello"}).json()["id"]
        return run_id


def is_position(text: Any) -> bool:
    try:
        parse_position(text)
    except (TypeError, ValueError):
        return False
    return True


@pytest.fixture(scope="module", params=["open", "asking"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("openapi")
    (directory / "quick.py").write_text(QUICK)
    (directory / "headwater.toml").write_text(MODELS)
    asks = request.param == "asking"
    settings = {"drain_s": 0, "drain_spread_s": 0, "rooms_on_the_fly": False, **(ASKING if asks else {})}
    with ServerProcess(directory, settings=settings) as server:
        house = House(server, KEY if asks else None)
        yield house
        house.close()


@pytest.fixture(scope="module")
def schema() -> Any:
    """Once it is wanted: what to draw is worked out for seconds, and each process of the tests collects them all."""
    return bounded(DOCUMENT)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_server_answers_as_the_document_says(name: str, schema: Any, house: House) -> None:
    sys.stdout.write(f"seed {SEED}\n")  # shown beside a failure
    method, path = name.split(" ")
    operation = schema[path][method]

    def hold(case: Case[Any]) -> None:
        house.hold(case)

    config = HypothesisTestConfig(
        project=schema.config,
        modes=GUARDED_MODES if house.asks else OPEN_MODES,
        settings=schema.config.get_hypothesis_settings(operation=operation, phase=HypothesisTestMode.FUZZING),
        seed=derive_operation_seed(SEED, name),
    )
    create_test(operation=operation, test_func=hold, config=config)()


def test_the_document_is_openapi() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_every_route_is_in_it() -> None:
    """But for the page's own, which are for people."""
    routes = [route for route in ROUTES if isinstance(route, Route) and route.include_in_schema]
    there = {f"{method} {route.path_format}" for route in routes for method in route.methods or () if method != "HEAD"}
    assert set(OPERATIONS) == there
    assert all(operation["summary"] for operation in OPERATIONS.values())
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        *way, name = reference.removeprefix("#/").split("/")
        assert way == ["components", "schemas"]
        assert name in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_has_an_example_that_fits(name: str) -> None:
    parts = list(contents(OPERATIONS[name])) + OPERATIONS[name].get("parameters", [])
    assert any(status.startswith("2") for status in OPERATIONS[name]["responses"])
    for part in parts:
        given = examples(part)
        assert given, part
        for example in given:
            jsonschema_rs.validate(resolvable(part["schema"]), example)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_who_may_come(name: str) -> None:
    method, path = name.split(" ")
    operation = OPERATIONS[name]
    (route,) = [
        route
        for route in ROUTES
        if isinstance(route, Route) and route.path_format == path and method in (route.methods or ())
    ]
    needs = operation_of(route.endpoint).needs
    if needs is not None:
        assert operation["security"][0] == {"bearer": [needs]}
        assert f"`{needs}`" in operation["description"]
    schemes = {scheme for one in operation.get("security", []) for scheme in one}
    assert schemes <= DOCUMENT["components"]["securitySchemes"].keys()
    refusals = {"401", "429", "503"} & operation["responses"].keys()
    assert refusals == ({"401", "429", "503"} if schemes else {"503"} if path == "/readyz" else set())


def test_it_is_served_to_anybody(house: House) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        response = httpx2.get(f"{house.url}/openapi.json", headers=headers, timeout=DEADLINE_S)
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert response.json() == {**DOCUMENT, "servers": [{"url": "/"}]}


def test_it_names_the_path_that_it_is_mounted_under() -> None:
    inner = create_app(Config(store="sqlite::memory:"), environ={})
    client = TestClient(Starlette(routes=[Mount("/llm", inner)]))
    assert client.get("/llm/openapi.json").json()["servers"] == [{"url": "/llm"}]
