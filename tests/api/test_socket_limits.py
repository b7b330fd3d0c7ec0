"""The rooms' WebSocket under clients that send what costs memory, and at limits that are passing."""

import socket as sockets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import anyio
import pytest
from websockets.exceptions import InvalidStatus

from headwater.access.secrets import new_key
from headwater.core.session import MALFORMED_MAX
from headwater.web.socket_connection import PIECES_MAX, UNTAKEN_BYTES_MAX
from tests.api.calls import DEADLINE_S
from tests.api.test_sockets import ACCESS, KEY, keep_key, revoke_key, ticket, upgrade
from tests.support.server import ServerProcess
from tests.support.sockets import closed, denied, hear, is_open, mint, room
from tests.support.waiting import wait_until

CONTINUED, TEXT, LAST, CLOSE, PING = 0, 1, 0x80, 0x88, 0x89


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants to know who comes, and whose kernel takes little off its hands."""
    settings = ACCESS | {"send_buffer_bytes": 4096}
    with ServerProcess(tmp_path_factory.mktemp("asking"), settings=settings) as server:
        yield server


def wire(opcode: int, data: bytes = b"") -> bytes:
    """A frame as a client writes it, under a mask of zeros."""
    size = bytes([0x80 + len(data)]) if len(data) < 126 else bytes([0xFE]) + len(data).to_bytes(2)
    return bytes([opcode]) + size + bytes(4) + data


def connect(server: ServerProcess, *, token: str = KEY) -> sockets.socket:
    """A connection that has asked for the room, and has little space for answers."""
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    connection.settimeout(DEADLINE_S)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(upgrade(server, "lobby").replace(KEY.encode(), token.encode()))
    return connection


def open_room(server: ServerProcess, *, token: str = KEY) -> sockets.socket:
    """The same, let in."""
    connection = connect(server, token=token)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101")
    return connection


# -- what piles up


def test_who_pings_and_takes_no_pongs_is_dropped(asking: ServerProcess) -> None:
    pings = wire(PING, b"x" * 125) * 100
    with closing(open_room(asking)) as connection, room(asking, token=KEY) as other:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(1000):  # 13 MB, of which the kernels hold some
                connection.sendall(pings)
        assert is_open(other)


def test_who_takes_the_pongs_may_ping_without_end(asking: ServerProcess) -> None:
    with room(asking, token=KEY) as socket:
        for number in range(4 * UNTAKEN_BYTES_MAX // 125):
            assert socket.ping(b"%125d" % number).wait(DEADLINE_S)
        assert is_open(socket)


def test_a_message_in_too_many_pieces_ends_it_even_if_they_are_empty(asking: ServerProcess) -> None:
    pieces = ["{", *[""] * (PIECES_MAX - 2)]  # the client sends another, to say that it was the last
    with room(asking, token=KEY) as socket:
        socket.send(pieces)
        assert hear(socket)["type"] == "error"  # as many as may be: it is read, though it is no command
    with closing(open_room(asking)) as connection:
        connection.sendall(wire(TEXT, b"{") + wire(CONTINUED) * 5 * PIECES_MAX)
        assert_closed(connection, 1009)


def test_pings_behind_a_frame_that_ended_it_do_no_harm(asking: ServerProcess) -> None:
    with closing(open_room(asking)) as connection:
        connection.sendall(wire(LAST + TEXT, b"\xff") + wire(PING) * 10)
        assert_closed(connection, 4400)


def test_nonsense_right_behind_the_handshake_is_no_error_of_the_server(asking: ServerProcess) -> None:
    with suppress(ConnectionResetError, BrokenPipeError), closing(connect(asking)) as connection:
        connection.sendall(b"\xff" * 1_000_000)  # more than is read at once, so that some comes before the answer
        while connection.recv(4096):
            pass
    assert "AssertionError" not in asking.stderr, asking.stderr


def assert_closed(connection: sockets.socket, code: int) -> None:
    """It is closed with this code, and nothing comes after."""
    said = b""
    while more := connection.recv(4096):
        said += more
    close = said[said.index(CLOSE) :]
    assert (len(close), close[2:4]) == (2 + close[1], code.to_bytes(2)), said


# -- what is refused for a moment


def test_a_ticket_outlives_a_handshake_that_is_refused(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, settings=ACCESS | {"connections": 1}) as server:
        first, second = ticket(server), ticket(server)
        with room(server, ticket=first) as socket:
            assert is_open(socket)
            denied(server, 429, "too_many", ticket=second)
            denied(server, 403, "forbidden", "attic", ticket=second)
        wait_until(lambda: gets_in(server, second, refusal=429), what="the place is free again")
        denied(server, 401, "unauthenticated", ticket=second)


def gets_in(server: ServerProcess, with_ticket: str, refusal: int = 401) -> bool:
    try:
        with room(server, ticket=with_ticket) as socket:
            return is_open(socket)
    except InvalidStatus as error:
        assert error.response.status_code == refusal
        return False


def test_of_many_with_one_ticket_one_gets_in_and_the_others_keep_no_place(tmp_path: Path) -> None:
    many = 12
    with ServerProcess(tmp_path, settings=ACCESS | {"connections": many}) as server:
        for _ in range(3):
            with ThreadPoolExecutor(many) as pool:
                assert sum(pool.map(gets_in, [server] * many, [ticket(server)] * many)) == 1
        with ExitStack() as stack:  # as many as may be, at once
            for _ in range(many):
                wait_until(lambda: enters(stack, server), what="a place is free")


def enters(stack: ExitStack, server: ServerProcess) -> bool:
    try:
        return is_open(stack.enter_context(room(server, token=KEY)))
    except InvalidStatus as error:
        assert error.response.status_code == 429
        return False


# -- what ends while it is being ended


def test_a_key_that_is_revoked_while_a_socket_of_it_is_being_closed_ends_the_others(tmp_path: Path) -> None:
    settings = ACCESS | {"send_buffer_bytes": 4096, "key_check_s": 0.2}
    key_id, key = new_key()
    with ServerProcess(tmp_path, settings=settings) as server:
        anyio.run(keep_key, server.database, key_id, key)
        with closing(open_room(server, token=key)) as blocked, room(server, token=key) as other:
            for _ in range(MALFORMED_MAX - 1):
                blocked.sendall(wire(LAST + TEXT, b"{"))
                assert blocked.recv(4096)
            # Pongs that wait to be taken, more than an answer waits for and fewer than it is dropped for.
            blocked.sendall(wire(PING, b"x" * 125) * (UNTAKEN_BYTES_MAX * 3 // 4 // 127))
            blocked.sendall(wire(LAST + TEXT, b"{"))
            assert is_open(other)
            anyio.run(revoke_key, server.database, key_id)
            assert closed(other).code == 4401


# -- what is not worth a line in the log


def test_a_refused_handshake_is_no_error_of_the_server(asking: ServerProcess) -> None:
    denied(asking, 401, "unauthenticated", token="nothing-we-know")
    denied(asking, 403, "forbidden", token=mint(rooms={"attic": "read"}))
    with room(asking, token=KEY) as socket:
        assert is_open(socket)
    assert "ERROR" not in asking.stderr and "handshake" not in asking.stderr, asking.stderr
