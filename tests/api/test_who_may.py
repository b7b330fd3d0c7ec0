"""Every route, and whoever may come to it: from the route table, so that a new route needs a row here."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec import Struct
from starlette.routing import Route, WebSocketRoute

from headwater.config import Config
from headwater.core.access import SCOPES
from headwater.core.commands import COMMANDS
from headwater.web.operation import operation_of
from headwater.web.routes import ROUTES
from tests.api.calls import DEADLINE_S, ENDED, QUICK
from tests.api.rooms import new_name
from tests.support.keys import JWT_SECRET, add_key, bearer, revoke, token
from tests.support.server import ServerProcess
from tests.support.sockets import closed, denied, room, say
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

ENDLESS = {"demo": {"tokens": 1_000, "tokens_per_s": 1}}  # nobody stops the hundreds that are started here


class Row(Struct, frozen=True):
    """How to call a route so that it succeeds with `status`; `{run}` is a run of the caller's tenant.

    `stranger` is what another tenant's caller gets; `ended` says that the run must have ended, `endless` that the
    answer has no end; `new` that the room must not be there, `own` that it is no other call's; `moderates` that its
    scope is not enough.
    """

    status: int
    stranger: int
    body: dict[str, Any] | None = None
    ended: bool = False
    endless: bool = False
    new: bool = False
    own: bool = False
    moderates: bool = False


ROWS = {
    "POST /v1/runs": Row(202, 202, {"input": "hello", "extra": QUICK}),
    "GET /v1/runs": Row(200, 200),
    "GET /v1/runs/{run_id:run}": Row(200, 404),
    "DELETE /v1/runs/{run_id:run}": Row(204, 404, ended=True),
    "POST /v1/runs/{run_id:run}/cancel": Row(200, 404),
    "GET /v1/runs/{run_id:run}/events": Row(200, 404, ended=True),
    "POST /v1/chat/completions": Row(200, 200, {"messages": [{"role": "user", "content": "hello"}], **QUICK}),
    "POST /v1/responses": Row(200, 200, {"input": "hello", **QUICK}),
    "GET /v1/responses/{response_id:response}": Row(200, 404),
    "DELETE /v1/responses/{response_id:response}": Row(200, 404, ended=True),
    "POST /v1/responses/{response_id:response}/cancel": Row(200, 404),
    "GET /v1/responses/{response_id:response}/input_items": Row(200, 404),
    "GET /v1/models": Row(200, 200),
    "GET /v1/models/{model:path}": Row(200, 200),
    "GET /v1/rooms": Row(200, 200),
    "PUT /v1/rooms/{room:room}": Row(201, 201, {}, new=True),
    "GET /v1/rooms/{room:room}": Row(200, 404),
    "DELETE /v1/rooms/{room:room}": Row(204, 404, own=True, moderates=True),
    "GET /v1/rooms/{room:room}/messages": Row(200, 404),
    "POST /v1/rooms/{room:room}/messages": Row(201, 404, {"text": "hello"}),
    "GET /v1/rooms/{room:room}/events": Row(200, 404, endless=True),
    "POST /v1/tickets": Row(201, 404, {"run": "{run}"}),
    "GET /metrics": Row(200, 200),
    "GET /board/figures": Row(200, 200),
    "POST /markdown": Row(200, 200, {"texts": ["hello"]}),
}
ENDPOINTS = {
    f"{method} {route.path}": operation_of(route.endpoint)
    for route in ROUTES
    if isinstance(route, Route) and route.include_in_schema  # the others are below
    for method in sorted((route.methods or set()) - {"HEAD"})
}
OPEN = {"GET /healthz", "GET /readyz", "GET /openapi.json"}

UNSCOPED = {"POST /v1/tickets", "POST /markdown"}
"""For whoever may do anything."""


def is_openai(name: str) -> bool:
    """Whether a route of the table speaks as OpenAI's do."""
    return name.partition(" ")[2].startswith(("/v1/chat/", "/v1/models", "/v1/responses"))


def refusal(name: str, response: httpx2.Response) -> str:
    """The code of a refusal, which must be in the route's own shape."""
    if is_openai(name):
        assert response.headers["content-type"] == "application/json"
        code: str = response.json()["error"]["code"]
    else:
        assert response.headers["content-type"] == "application/problem+json"
        code = response.json()["code"]
    return code


class House:
    """A server that asks, and credentials of every kind for it."""

    def __init__(self, server: ServerProcess, api: httpx2.Client) -> None:
        self.server = server
        self.config = Config(store=f"sqlite:{server.database}")
        self.api = api
        self.credentials: dict[str, str] = {}

    async def prepare(self) -> None:
        self.credentials = {
            "right": await add_key(self.config),
            "stranger": await add_key(self.config, tenant="elsewhere"),
            "revoked": await add_key(self.config),
            "expired": await add_key(self.config, expires_in=-1),
            "unknown": "hwk_aaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "wrong": "no-key-at-all",
            "powerless": token(),
            "expired token": token(expires_in=-1, scope=" ".join(SCOPES)),
            "forged token": token(secret="of somebody else, and as long as it has to be", scope=" ".join(SCOPES)),
            "right token": token(scope=" ".join(SCOPES)),
            "wrong secret": "",
        }
        right = self.credentials["right"]
        self.credentials["wrong secret"] = right[:-4] + ("aaaa" if not right.endswith("aaaa") else "bbbb")
        await revoke(self.config, self.credentials["revoked"])
        self.room = self.new_room()

    def new_room(self) -> str:
        """A new room of the right caller's."""
        name = new_name()
        self.api.put(f"/v1/rooms/{name}", json={}, headers=bearer(self.credentials["right"])).raise_for_status()
        return name

    def run(self, *, ended: bool) -> str:
        """A new run of the right caller's."""
        headers = bearer(self.credentials["right"])
        body = {"input": "hello", "extra": QUICK if ended else ENDLESS}
        run = self.api.post("/v1/runs", json=body, headers=headers).json()
        if ended:
            wait_until(lambda: self.api.get(run["url"], headers=headers).json()["status"] in ENDED)
        return str(run["id"])

    def call(self, name: str, credential: str | None, of: str = "") -> httpx2.Response:
        """Call a route as somebody, on a run of its own, or `of` this name."""
        row = ROWS[name]
        run = of or (self.run(ended=row.ended) if "_id:" in name or (row.body and "run" in row.body) else "")
        method, _, path = name.partition(" ")
        body = row.body and {key: value if value != "{run}" else run for key, value in row.body.items()}
        headers = {} if credential is None else bearer(self.credentials[credential])
        path = re.sub(r"\{\w+_id:\w+\}", run, path).replace("{model:path}", "demo")
        path = path.replace("{room:room}", of or (new_name() if row.new else self.new_room() if row.own else self.room))
        with self.api.stream(method, path, json=body, headers=headers) as response:
            if response.status_code != 200 or not row.endless:
                response.read()
        return response


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    settings = {"jwt_secret": JWT_SECRET, "address_requests_per_minute": 0, "rooms_on_the_fly": False}
    server = ServerProcess(tmp_path_factory.mktemp("who"), settings={**settings, "drain_s": 0, "drain_spread_s": 0})
    async with server:
        with httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as api:
            house = House(server, api)
            await house.prepare()
            yield house


def test_the_table_has_every_route() -> None:
    assert ENDPOINTS.keys() == ROWS.keys() | OPEN
    assert {name for name, operation in ENDPOINTS.items() if operation.needs is None} == OPEN | UNSCOPED


@pytest.mark.parametrize("name", sorted(OPEN - {"GET /openapi.json"}))
async def test_anybody_may_look_at_it(house: House, name: str) -> None:
    for headers in ({}, bearer("no-key-at-all")):
        assert house.api.get(name.removeprefix("GET "), headers=headers).status_code == 200


@pytest.mark.parametrize("name", sorted(ROWS))
@pytest.mark.parametrize(
    "who", [None, "wrong", "unknown", "wrong secret", "revoked", "expired", "expired token", "forged token"]
)
async def test_whoever_says_nothing_valid_is_not_let_in(house: House, name: str, who: str | None) -> None:
    response = house.call(name, who)
    assert response.status_code == 401, response.text
    assert refusal(name, response) == ("invalid_api_key" if is_openai(name) else "unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer")
    if who is not None:
        assert response.json() == house.call(name, "unknown").json(), "all are refused alike"


@pytest.mark.parametrize("name", sorted(ROWS))
async def test_whoever_lacks_the_scope_is_told_so(house: House, name: str) -> None:
    response = house.call(name, "powerless")
    assert (response.status_code, refusal(name, response)) == (403, "forbidden")


@pytest.mark.parametrize("name", sorted(ROWS))
@pytest.mark.parametrize("who", ["right", "right token"])
async def test_whoever_may_gets_it(house: House, name: str, who: str) -> None:
    response = house.call(name, who)
    assert response.status_code == ROWS[name].status, response.text


@pytest.mark.parametrize("name", sorted(ROWS))
async def test_another_tenants_run_or_room_is_an_unknown_one(house: House, name: str) -> None:
    response = house.call(name, "stranger")
    assert response.status_code == ROWS[name].stranger, response.text
    if response.status_code == 404:
        assert re.sub(r"(run|room)_\w+", "nobodys", response.text) == house.call(name, "stranger", of="nobodys").text


async def test_a_socket_lets_in_whoever_a_request_would(house: House) -> None:
    assert [route.path for route in ROUTES if isinstance(route, WebSocketRoute)] == ["/v1/rooms/{room:room}/ws"]
    for who in ("wrong", "unknown", "wrong secret", "revoked", "expired", "expired token", "forged token"):
        assert denied(house.server, 401, "unauthenticated", token=house.credentials[who])
    denied(house.server, 403, "forbidden", token=house.credentials["powerless"])


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_sockets_command_is_taken_from_whoever_said_who_they_are(house: House, command: str) -> None:
    for who in ("right", "right token", "stranger"):  # whose room of that name is another
        fields = {"token": house.credentials[who]} if command == "auth" else {}
        with room(house.server, token=house.credentials[who]) as socket:
            assert say(socket, command, ref="r", **fields)["ref"] == "r"
    with room(house.server) as nobody:
        nobody.send(json.dumps({"type": command, "token": house.credentials["forged token"]}))
        assert closed(nobody).code == 4401, "nobody has said who is there"


async def test_a_list_has_the_runs_of_the_callers_tenant_only(house: House) -> None:
    run = house.run(ended=True)
    ids = {
        who: {row["id"] for row in house.api.get("/v1/runs", headers=bearer(house.credentials[who])).json()["data"]}
        for who in ("right", "right token", "stranger")
    }
    assert run in ids["right"] and run in ids["right token"] and run not in ids["stranger"]


async def test_each_scope_opens_its_own_routes_only(house: House) -> None:
    for scope in sorted(SCOPES - {"admin"}):
        house.credentials[scope] = token(scope=scope)
        for name, row in ROWS.items():
            if name in UNSCOPED:
                continue
            allowed = ENDPOINTS[name].needs == scope and not row.moderates
            assert house.call(name, scope).status_code == (row.status if allowed else 403), (scope, name)


async def test_a_run_that_was_shared_by_claim_is_seen_and_no_other(house: House) -> None:
    shared, other = house.run(ended=True), house.run(ended=True)
    guest = bearer(token(sub="guest", tenant="elsewhere", runs=[shared]))
    assert house.api.get(f"/v1/runs/{shared}", headers=guest).status_code == 200
    assert house.api.get(f"/v1/runs/{shared}/events", headers=guest).status_code == 200
    assert house.api.get(f"/v1/runs/{other}", headers=guest).status_code == 404
    assert house.api.get("/v1/runs", headers=guest).status_code == 403
    assert house.api.delete(f"/v1/runs/{shared}", headers=guest).status_code == 403
    writer = bearer(token(sub="guest", tenant="elsewhere", scope="runs:write", runs=[shared]))
    refused = house.api.delete(f"/v1/runs/{shared}", headers=writer)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), "only its owner may delete it"


async def test_a_room_that_was_shared_by_claim_is_open_in_that_role_and_no_other_is(house: House) -> None:
    url, other = f"/v1/rooms/{house.room}", "/v1/rooms/other"
    everything = " ".join(SCOPES - {"admin"})

    def statuses(role: str, scope: str = "") -> list[int]:
        headers = bearer(token(sub="guest", rooms={house.room: role}, scope=scope))
        asked = [
            house.api.get(url, headers=headers),
            house.api.get(f"{url}/messages", headers=headers),
            house.api.head(f"{url}/events", headers=headers),
            house.api.post(f"{url}/messages", json={"text": "hello"}, headers=headers),
            house.api.put(url, json={}, headers=headers),
        ]
        assert house.api.get(other, headers=headers).status_code == 403
        assert house.api.get("/v1/rooms", headers=headers).status_code == 403, "there are others in the list"
        return [response.status_code for response in asked]

    assert statuses("read") == statuses("read", everything) == [200, 200, 200, 403, 403]
    assert statuses("write") == statuses("write", everything) == [200, 200, 200, 201, 403]
    assert statuses("moderate") == [200, 200, 200, 201, 200]
    nowhere = bearer(token(sub="guest", rooms={}, scope=everything))
    assert house.api.get(url, headers=nowhere).status_code == 403


async def test_whoever_may_take_part_can_make_a_room_and_only_a_moderator_can_change_or_remove_it(
    house: House,
) -> None:
    url, writer = f"/v1/rooms/{new_name()}", bearer(token(scope="rooms:write"))
    assert house.api.put(url, json={"title": "Mine"}, headers=writer).status_code == 201
    refused = house.api.put(url, json={"title": "Yours"}, headers=writer)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    changed = house.api.put(url, json={"title": "Ours"}, headers=bearer(token(scope="admin")))
    assert (changed.status_code, changed.json()["title"]) == (200, "Ours")
    refused = house.api.delete(url, headers=writer)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for who in (writer, bearer(token(sub="guest", rooms={"other": "moderate"}, scope="rooms:write"))):
        assert house.api.delete(url, headers=who).status_code == 403
    moderator = bearer(token(sub="guest", rooms={url.rpartition("/")[2]: "moderate"}))
    assert [house.api.delete(url, headers=moderator).status_code for _ in range(2)] == [204, 404]


async def test_a_message_is_by_whom_the_credential_names(house: House) -> None:
    url = f"/v1/rooms/{house.room}/messages"
    ann = bearer(token(sub="ann", name="Ann", scope="rooms:write"))
    said = house.api.post(url, json={"text": "hello", "name": "Bob"}, headers=ann).json()
    assert (said["by"], said["name"]) == ("user:ann", "Ann"), "a person is who the token says"
    key = house.credentials["right"]
    said = house.api.post(url, json={"text": "hello", "name": "CI"}, headers=bearer(key)).json()
    assert (said["by"], said["name"]) == (f"key:{key.split('_')[1]}", "CI"), "a key may speak under any name"


async def test_a_rooms_ticket_is_for_its_socket(house: House) -> None:
    issued = house.api.post("/v1/tickets", json={"room": house.room}, headers=bearer(house.credentials["right"]))
    for path in ("", "/messages", "/events"):
        query = {"ticket": issued.json()["ticket"]}
        assert house.api.get(f"/v1/rooms/{house.room}{path}", params=query).status_code == 403


async def test_a_rooms_stream_ends_with_the_credential(house: House) -> None:
    url, headers = f"/v1/rooms/{house.room}/events", bearer(token(scope="rooms:read", expires_in=1))
    with house.api.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        response.read()  # returns
    assert house.api.get(url, headers=headers).status_code == 401


async def test_a_ticket_lets_a_page_follow_one_run_as_often_as_it_likes(house: House) -> None:
    run, other = house.run(ended=True), house.run(ended=True)
    issued = house.api.post("/v1/tickets", json={"run": run}, headers=bearer(house.credentials["right"]))
    assert issued.status_code == 201 and issued.headers["cache-control"] == "no-store"
    ticket = issued.json()["ticket"]
    for _ in range(3):
        assert house.api.get(f"/v1/runs/{run}/events", params={"ticket": ticket}).status_code == 200
    assert house.api.get(f"/v1/runs/{other}/events", params={"ticket": ticket}).status_code == 404
    assert house.api.post(f"/v1/runs/{run}/cancel", params={"ticket": ticket}).status_code == 403
    assert house.api.get(f"/v1/runs/{run}/events", params={"ticket": f"{ticket}x"}).status_code == 401
    again = house.api.post("/v1/tickets", json={"run": run}, params={"ticket": ticket})
    assert again.status_code == 403, "a ticket makes no tickets"


async def test_a_body_over_the_limit_of_callers_is_refused(house: House) -> None:
    body = {"input": "x" * (house.config.input_bytes + 1)}
    response = house.api.post("/v1/runs", json=body, headers=bearer(house.credentials["right"]))
    assert (response.status_code, response.json()["limit"]) == (413, house.config.input_bytes)


@pytest.mark.parametrize(
    ("send", "status"),
    [
        pytest.param(lambda key: {"headers": [("Authorization", f"Bearer {key}")] * 2}, 400, id="two headers"),
        pytest.param(
            lambda key: {"headers": bearer(key), "params": {"ticket": "hwt_x"}}, 400, id="a header and a ticket"
        ),
        pytest.param(lambda key: {"params": [("ticket", "a"), ("ticket", "b")]}, 400, id="two tickets"),
        pytest.param(lambda key: {"headers": {"Authorization": f"Basic {key}"}}, 401, id="another scheme"),
        pytest.param(lambda key: {"headers": {"Authorization": key}}, 401, id="no scheme"),
        pytest.param(lambda key: {"headers": {"Authorization": "Bearer"}}, 401, id="a scheme alone"),
        pytest.param(lambda key: {"headers": {"Authorization": f"Bearer {key} {key}"}}, 401, id="two in one"),
        pytest.param(lambda key: {"headers": {"Authorization": "Bearer " + "x" * 10_000}}, 401, id="a huge one"),
        pytest.param(lambda key: {"headers": {b"Authorization": b"Bearer \xff\xfe"}}, 401, id="bytes"),
    ],
)
async def test_malformed_credentials_are_refused(
    house: House, send: Callable[[str], dict[str, Any]], status: int
) -> None:
    response = house.api.get("/v1/runs", **send(house.credentials["right"]))
    assert response.status_code == status, response.text
    assert house.credentials["right"] not in response.text


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server


async def test_an_open_server_asks_once_there_is_a_key(alone: ServerProcess) -> None:
    with httpx2.Client(base_url=alone.url, timeout=DEADLINE_S) as api:
        assert api.get("/v1/runs", headers=bearer("whatever-a-client-must-send")).status_code == 200
        key = await add_key(Config(store=f"sqlite:{alone.database}"))
        wait_until(lambda: api.get("/v1/runs").status_code == 401, what="nobody gets in without a key")
        assert api.get("/v1/runs", headers=bearer(key)).status_code == 200
