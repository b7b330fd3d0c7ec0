"""The rooms' WebSocket: who gets in, how they say who they are, and what puts them out."""

import json
import secrets
import signal
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from headwater.access.secrets import digest, new_key
from headwater.core.session import FRAME_BYTES, MALFORMED_MAX
from headwater.store.sqlite import open_vault_file
from headwater.store.vault import ApiKey
from tests.api.calls import DEADLINE_S, SLOW, get
from tests.support.keys import JWT_SECRET
from tests.support.server import ServerProcess
from tests.support.sockets import TOKEN_PROTOCOL, closed, denied, hear, is_open, mint, room, say
from tests.support.waiting import wait_until

KEY = "the-key-of-these-tests"
ORIGIN = "https://app.example"
PING = b'{"type":"ping"}'
ACCESS = {"keys": f"app={KEY}", "jwt_secret": JWT_SECRET, "origins": ORIGIN}


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants to know who comes."""
    with ServerProcess(tmp_path_factory.mktemp("asking"), settings=ACCESS) as server:
        yield server


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on somebody's own machine."""
    with ServerProcess(tmp_path_factory.mktemp("open")) as server:
        yield server


def ticket(server: ServerProcess, name: str = "lobby", token: str = KEY) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    response = httpx2.post(f"{server.url}/v1/tickets", json={"room": name}, headers=headers, timeout=DEADLINE_S)
    assert response.status_code == 201, response.text
    return str(response.json()["ticket"])


# -- the handshake


def test_where_nobody_is_asked_anybody_is_in(open_to_all: ServerProcess) -> None:
    with room(open_to_all) as socket:
        assert is_open(socket)
        assert say(socket, "auth", token="whatever", ref="1") == {"type": "ok", "ref": "1"}
        assert is_open(socket)


@pytest.mark.parametrize("origin", [None, ORIGIN])
def test_pages_that_may_use_it_and_programs_get_in(asking: ServerProcess, origin: str | None) -> None:
    with room(asking, token=KEY, origin=origin) as socket:
        assert is_open(socket)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example", f"{ORIGIN}.evil.example", "null"])
def test_another_sites_page_does_not(asking: ServerProcess, origin: str) -> None:
    denied(asking, 403, "forbidden", token=KEY, origin=origin)
    denied(asking, 403, "forbidden", origin=origin)


def test_nor_where_nobody_is_asked(open_to_all: ServerProcess) -> None:
    denied(open_to_all, 403, "forbidden", origin="https://evil.example")
    with room(open_to_all, origin=open_to_all.url) as socket:  # but the server's own page
        assert is_open(socket)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["headwater.v1"], "headwater.v1"),
        (["other", "headwater.v1"], "headwater.v1"),
        (["other"], None),
    ],
    ids=["none", "ours", "ours-among-others", "others"],
)
def test_our_subprotocol_is_echoed_where_it_is_offered(
    asking: ServerProcess, offered: list[str], chosen: str | None
) -> None:
    with room(asking, token=KEY, subprotocols=offered) as socket:
        assert socket.subprotocol == chosen
        assert is_open(socket)


@pytest.mark.parametrize("others", [[], ["headwater.v1"]], ids=["alone", "with-ours"])
def test_a_token_among_the_subprotocols_lets_in_and_is_never_echoed(asking: ServerProcess, others: list[str]) -> None:
    with room(asking, subprotocols=[TOKEN_PROTOCOL + mint(), *others]) as socket:
        assert socket.subprotocol == (others[0] if others else None)
        assert is_open(socket)


def test_a_credential_that_is_not_valid_is_refused(asking: ServerProcess) -> None:
    refusals = [
        denied(asking, 401, "unauthenticated", token="nothing-we-know"),
        denied(asking, 401, "unauthenticated", token=mint(expires_in=-1)),
        denied(asking, 401, "unauthenticated", subprotocols=[TOKEN_PROTOCOL + "nothing-we-know", "headwater.v1"]),
        denied(asking, 401, "unauthenticated", ticket="nothing-we-know"),
    ]
    assert len({json.dumps(one) for one in refusals}) == 1, "they are told apart"


def test_two_credentials_at_once_are_refused(asking: ServerProcess) -> None:
    denied(asking, 400, "bad_request", token=KEY, subprotocols=[TOKEN_PROTOCOL + mint()])
    unused = ticket(asking)
    denied(asking, 400, "bad_request", token=KEY, ticket=unused)
    with room(asking, ticket=unused) as socket:  # which did not use it up
        assert is_open(socket)


def test_a_room_that_the_credential_has_no_role_in_is_closed_to_it(asking: ServerProcess) -> None:
    only_attic = mint(rooms={"attic": "read"})
    denied(asking, 403, "forbidden", token=only_attic)
    denied(asking, 403, "forbidden", token=mint(scope="runs:write"))
    with room(asking, "attic", token=only_attic) as socket:
        assert is_open(socket)


def test_a_ticket_lets_in_once_and_into_its_room_only(asking: ServerProcess) -> None:
    once = ticket(asking)
    with room(asking, ticket=once) as socket:
        assert is_open(socket)
        denied(asking, 401, "unauthenticated", ticket=once)
    denied(asking, 401, "unauthenticated", ticket=once)
    denied(asking, 403, "forbidden", "attic", ticket=ticket(asking))


@pytest.mark.parametrize("name", ["a" * 129, "a" * 10_000, ".", "..", "a%20b", "a%0Ab", "%C3%A4", "a/b", ""])
def test_what_can_be_no_rooms_name_is_refused(asking: ServerProcess, name: str) -> None:
    with closing(sockets.create_connection(("127.0.0.1", asking.port), timeout=DEADLINE_S)) as connection:
        connection.sendall(upgrade(asking, name))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("name", ["a" * 128, "A.b_c~d-1", "..."])
def test_what_can_be_is_not(asking: ServerProcess, name: str) -> None:
    with closing(sockets.create_connection(("127.0.0.1", asking.port), timeout=DEADLINE_S)) as connection:
        connection.sendall(upgrade(asking, name))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 101")


def upgrade(server: ServerProcess, name: str) -> bytes:
    """A handshake as it goes over the wire, whatever the name."""
    head = [
        f"GET /v1/rooms/{name}/ws HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Authorization: Bearer {KEY}",
    ]
    return "\r\n".join([*head, "", ""]).encode()


# -- the first frame


def test_the_first_frame_may_say_who_it_is(asking: ServerProcess) -> None:
    with room(asking) as socket:
        assert say(socket, "auth", token=mint(), ref="1") == {"type": "ok", "ref": "1"}
        assert is_open(socket)
    with room(asking) as socket:
        joined = say(socket, "join", token=KEY, ref="2")
        assert (joined["type"], joined["ref"]) == ("joined", "2")
        assert is_open(socket)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"type":"ping"}', 4401),
        ('{"type":"join"}', 4401),
        ("hello", 4401),
        (b'{"type":"auth"}', 4401),
        (json.dumps({"type": "auth", "token": "nothing-we-know"}), 4401),
        (json.dumps({"type": "auth", "token": "x" * 10_000}), 4401),
        ("x" * (FRAME_BYTES + 1), 1009),
    ],
    ids=["ping", "join", "words", "binary", "invalid-token", "long-token", "too-long"],
)
def test_a_first_frame_without_a_good_token_ends_it(asking: ServerProcess, first: str | bytes, code: int) -> None:
    with room(asking) as socket:
        socket.send(first)
        assert closed(socket).code == code


def test_a_first_token_for_other_rooms_ends_it(asking: ServerProcess) -> None:
    with room(asking) as socket:
        socket.send(json.dumps({"type": "auth", "token": mint(rooms={"attic": "write"})}))
        assert closed(socket).code == 4403


def test_who_says_nothing_is_put_out(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path, settings=ACCESS | {"socket_auth_s": 2}) as server,
        room(server) as told,
        room(server, token=KEY) as known,
        room(server) as silent,
    ):
        assert say(told, "auth", token=mint()) == {"type": "ok"}
        assert closed(silent).code == 4401
        # Neither who came with a credential owes a first frame, nor who has sent it.
        assert is_open(known) and is_open(told)


# -- what ends it, and what does not


def test_an_expired_token_ends_it(asking: ServerProcess) -> None:
    expires_in = 2.0
    begun = time.time()
    with room(asking, token=mint(expires_in=expires_in)) as socket:
        assert is_open(socket)
        assert closed(socket).code == 4401
    assert time.time() - begun >= expires_in


def test_a_newer_token_keeps_it_open(asking: ServerProcess) -> None:
    with room(asking, token=mint(expires_in=2.0)) as refreshed, room(asking, token=mint(expires_in=2.0)) as forgotten:
        assert say(refreshed, "auth", token=mint(expires_in=600), ref="new") == {"type": "ok", "ref": "new"}
        assert closed(forgotten).code == 4401
        assert is_open(refreshed)


def test_a_newer_token_may_also_end_sooner(asking: ServerProcess) -> None:
    with room(asking, token=mint(expires_in=600)) as socket:
        assert say(socket, "auth", token=mint(expires_in=1.5)) == {"type": "ok"}
        assert closed(socket).code == 4401


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "bert"}, "forbidden"),
        ({"tenant": "other"}, "forbidden"),
        ({"rooms": {"attic": "write"}}, "forbidden"),
        ({"exp": 1}, "unauthenticated"),
    ],
    ids=["of-another", "of-another-tenant", "for-other-rooms", "expired"],
)
def test_a_token_that_does_not_continue_it_changes_nothing(
    asking: ServerProcess, claims: dict[str, Any], code: str
) -> None:
    with room(asking, token=mint()) as socket:
        answer = say(socket, "auth", token=mint(**claims), ref="r")
        assert (answer["type"], answer["ref"], answer["code"], answer["retryable"]) == ("error", "r", code, False)
        assert is_open(socket)


def test_a_ticket_is_continued_by_its_owners_token(asking: ServerProcess) -> None:
    short = ticket(asking, token=mint(expires_in=2.0))
    with room(asking, ticket=short) as socket, room(asking, token=mint(expires_in=2.0)) as forgotten:
        assert say(socket, "auth", token=mint()) == {"type": "ok"}
        assert closed(forgotten).code == 4401
        assert is_open(socket)


def test_a_revoked_key_ends_its_sockets_within_five_seconds(asking: ServerProcess) -> None:
    key_id, key = new_key()
    anyio.run(keep_key, asking.database, key_id, key)
    with room(asking, token=key) as revoked, room(asking, token=KEY) as other:
        assert is_open(revoked)
        anyio.run(revoke_key, asking.database, key_id)
        begun = time.monotonic()
        assert closed(revoked).code == 4401
        assert time.monotonic() - begun < 5
        assert is_open(other)
    denied(asking, 401, "unauthenticated", token=key)


async def keep_key(database: Path, key_id: str, key: str) -> None:
    async with open_vault_file(str(database)) as vault:
        row = ApiKey(id=key_id, name="a", tenant="default", scopes=("rooms:write",), digest=digest(key), created_at=1)
        await vault.add_key(row)


async def revoke_key(database: Path, key_id: str) -> None:
    async with open_vault_file(str(database)) as vault:
        assert await vault.revoke_key(key_id, time.time())


def test_the_first_key_ends_the_sockets_of_those_whom_nobody_asked(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, settings={"key_check_s": 0.2}) as server, room(server) as socket:
        assert is_open(socket)
        anyio.run(keep_key, server.database, *new_key())
        assert closed(socket).code == 4401


def test_frames_that_are_no_commands_are_answered_until_there_are_too_many(asking: ServerProcess) -> None:
    wrong = ("{", "[]", '{"type":"dance"}', b"\x00")
    with room(asking, token=KEY) as socket:
        for number in range(MALFORMED_MAX - 1):
            socket.send(wrong[number % len(wrong)])
            assert hear(socket)["type"] == "error"
        socket.send("{")
        assert closed(socket).code == 4400


def test_a_frame_over_the_limit_ends_it(asking: ServerProcess) -> None:
    start = PING.decode()
    with room(asking, token=KEY) as socket:
        socket.send(start + " " * (FRAME_BYTES - len(start)))
        assert hear(socket) == {"type": "ok"}
        socket.send(start + " " * (FRAME_BYTES - len(start) + 1))
        assert closed(socket).code == 1009
    with room(asking, token=KEY) as socket:  # in whatever pieces it comes
        with suppress(ConnectionClosed):  # before the last of them
            socket.send([" " * FRAME_BYTES, start])
        assert closed(socket).code == 1009


def test_who_sends_far_too_much_still_hears_why_it_was_too_much(asking: ServerProcess) -> None:
    for _ in range(5):
        with room(asking, token=KEY) as socket:
            with suppress(ConnectionClosed):
                socket.send("x" * 8_000_000)
            assert closed(socket).code == 1009


def test_text_that_is_not_utf8_ends_it(asking: ServerProcess) -> None:
    with room(asking, token=KEY) as socket:
        socket.send(b"\xff\xfe", text=True)
        assert closed(socket).code == 4400


def test_who_takes_no_answers_is_dropped(tmp_path: Path) -> None:
    settings = ACCESS | {"slow_reader_s": 1, "send_buffer_bytes": 4096, "room_commands_burst": 10**9}
    with ServerProcess(tmp_path, settings=settings) as server, closing(sockets.socket()) as connection:
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        connection.settimeout(1)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(upgrade(server, "lobby"))
        ping = bytes([0x81, 0x80 + len(PING), 0, 0, 0, 0]) + PING  # a masked frame, with a mask of zeros
        with pytest.raises(TimeoutError):  # it answers no more, and so reads no more
            while True:
                connection.sendall(ping * 1000)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            until = time.monotonic() + DEADLINE_S
            while time.monotonic() < until:
                with suppress(TimeoutError):
                    connection.send(ping)


def test_a_worker_that_drains_takes_no_new_sockets_and_uses_up_no_ticket(tmp_path: Path, redis_url: str) -> None:
    """Where there are others, who take them."""
    prefix = f"test-{secrets.token_hex(8)}"
    settings = ACCESS | {"drain_s": 60, "drain_spread_s": 0, "redis_prefix": prefix}
    with ServerProcess(tmp_path, store=redis_url, settings=settings) as server:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=DEADLINE_S) as api, room(server) as before:
            # It is not handed over, and so it keeps the worker there.
            rigid = {"input": "hello", "extra": SLOW, "response_format": {"type": "json_object"}}
            run = api.post("/v1/runs", json=rigid).json()
            wait_until(lambda: get(api, run)["status"] == "in_progress", what="it is produced")
            unused = ticket(server)
            server.signal(signal.SIGTERM)
            wait_until(lambda: api.get("/readyz").status_code == 503, what="it drains")
            assert denied(server, 503, "draining", ticket=unused)["retry_after"] == 1
            assert say(before, "auth", token=KEY) == {"type": "ok"}
            assert get(api, run)["status"] == "in_progress"
            api.post(run["cancel_url"])
            assert closed(before).code == 1001
        server.wait()
        server.start()
        with room(server, ticket=unused) as after:
            assert is_open(after)
