"""The document at /openapi.json is whole and true: Schemathesis holds the server to it."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import schemathesis
from jsonschema_rs import Draft202012Validator
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from headwater.app import ROUTES, create_app
from headwater.config import Config
from headwater.web.openapi import Document
from tests.api.calls import DEADLINE_S
from tests.support.server import ServerProcess

SEED = 20_260_101
CASES = 25  # drawn for each operation; its examples and the borders of its schemas come on top

KEY = "only-for-these-tests"
"""Of one who may do everything on the server that asks."""
ASKING = {"keys": KEY, "requests_per_minute": 0, "address_requests_per_minute": 0, "parallel_runs": 0}

# A model that is ready at once: streams that are asked for by chance must not take their time.
QUICK = "async def answer(request):\n    yield 'Right '\n    yield 'away.'\n"
MODELS = 'default = "quick"\n[models.quick]\nprovider = "python:quick:answer"\n'

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(Document().get_schema(ROUTES)))
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["run", "snapshot", "delta", "attempt", "end"]},
        "data": {"type": "string", "pattern": "^\\{.*\\}$"},
        "id": {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
    },
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


class House:
    """A server, and someone who may use it."""

    def __init__(self, server: ServerProcess, headers: dict[str, str]) -> None:
        self.url = server.url
        self.headers = headers
        self.numbers = count()
        self._api = httpx2.Client(base_url=server.url, headers=headers, timeout=DEADLINE_S)

    def close(self) -> None:
        self._api.close()

    def furnish(self, case: Case) -> None:
        """Make every other case one that is about something: a run that is there, a key that is new."""
        number = next(self.numbers)
        if number % 2:
            return
        case.query.pop("ticket", None)
        if case.path_parameters.get("run_id"):
            case.path_parameters["run_id"] = self._new_run()
        if isinstance(case.body, dict) and isinstance(case.body.get("run"), str):
            case.body["run"] = self._new_run()
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"key {number}"

    def _new_run(self) -> str:
        run_id: str = self._api.post("/v1/runs", json={"input": "hello"}).json()["id"]
        return run_id


@pytest.fixture(scope="module", params=[{}, ASKING], ids=["open", "asking"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("openapi")
    (directory / "quick.py").write_text(QUICK)
    (directory / "headwater.toml").write_text(MODELS)
    headers = {"Authorization": f"Bearer {KEY}"} if request.param else {}
    with ServerProcess(directory, settings={"drain_s": 0, "drain_spread_s": 0, **request.param}) as server:
        house = House(server, headers)
        yield house
        house.close()


def seeded(document: dict[str, Any]) -> Any:
    """What Schemathesis draws from. It reads an event stream's schema as that of each event."""
    document = msgspec.json.decode(msgspec.json.encode(document))
    for path in document["paths"].values():
        for method, operation in path.items():
            for response in operation["responses"].values() if method != "parameters" else ():
                if "text/event-stream" in response.get("content", {}):
                    response["content"]["text/event-stream"]["schema"] = EVENT
    config = SchemathesisConfig(seed=SEED)
    config.projects.default.generation.update(max_examples=CASES)
    return schemathesis.openapi.from_dict(document, config=config)


schema = seeded(DOCUMENT)


@schema.parametrize()
def test_the_server_answers_as_the_document_says(case: Case, house: House) -> None:
    print(f"seed {SEED}")  # shown beside a failure
    house.furnish(case)
    response = case.call(base_url=house.url, headers=house.headers, timeout=DEADLINE_S)
    print("XX", case.operation.label, response.status_code)
    case.validate_response(response, checks=CHECKS.get_by_names([*KEPT, "negative_data_rejection", "positive_data_acceptance"]))
