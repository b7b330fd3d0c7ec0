"""`python -m tests.bench.slow_rooms`: what a member of a room that reads nothing costs twenty others.

An answer of 5,000 tokens of 1 KB grows for a minute while people talk, alone and beside one who leaves the socket
unread all the while, in turn. Every token and every message is checked, the sleeper's too, who reads on afterwards, or
comes back where it was if it was let go.
Exit status 1 if somebody missed something, or if the others' p99 delay is more than 1.2 times what it is without.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

from tests.bench.measure import now_us, percentile, rss_bytes
from tests.bench.padded import TOKEN_BYTES
from tests.bench.readers import Damaged
from tests.bench.rooms import TEXT, Member, Native
from tests.bench.servers import ROOT
from tests.support.server import ServerProcess

# Each keeps all that it hears, some 15 MB, and reads it afterwards.
OTHERS = 20
TOKENS, SECONDS = 5_000, 60
SAY_EVERY_S = 0.5
# Loopback swallows megabytes unless both ends are told not to.
SEND_BUFFER, RECEIVE_BUFFER = 8_192, 4_096
RATIO_MAX = 1.2
# Beyond the answer's own length: the sleeper has its megabytes to catch up with.
PATIENCE_S = 60.0

_MODELS = '[models.padded]\nprovider = "python:tests.bench.padded:answer"\n'
CONTINUATION = 0x0
_PLACED = ("message", "run", "end")


class Room(Native):
    """One of many. Who was there before comes back after a position."""

    def __init__(self, name: str, since: str | None = None) -> None:
        self.path = f"/v1/rooms/{name}/ws"
        self._since = since

    def join(self, number: int) -> bytes:
        return msgspec.json.encode({"type": "join", "name": f"member {number}", "since": self._since})


class Listener(Member):
    """Keeps all that comes, with its time. `enough` is done with the answer's end."""

    def __init__(self, wire: Room, number: int) -> None:
        super().__init__(wire, number, 0)
        self.heard: list[tuple[int, list[bytes]]] = []

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's."""
        return cast(asyncio.Transport, self._transport)

    def _take(self, kind: int, frame: bytes, at_us: int) -> None:
        super()._take(kind, frame, at_us)
        if kind == CONTINUATION:
            self.heard[-1][1].append(frame)
        elif kind == TEXT:
            self.heard.append((at_us, [frame]))
        if frame.endswith(b"}") and not self.enough.done() and self._has_end(self.heard[-1][1]):
            self.enough.set_result(None)

    @staticmethod
    def _has_end(pieces: Sequence[bytes]) -> bool:
        if pieces[0].startswith(b'{"type":"joined"'):
            return b'{"type":"end"' in b"".join(pieces)
        return pieces[0].startswith(b'{"type":"end"')

    def pushes(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What came, also inside a `joined`. Raises Damaged where somebody who comes back is not told all."""
        for number, (at_us, pieces) in enumerate(self.heard):
            push: dict[str, Any] = msgspec.json.decode(b"".join(pieces))
            yield at_us, push
            if push["type"] == "joined" and number:
                if not push["recovered"]:
                    raise Damaged("nothing was recovered")
                yield from ((at_us, event) for event in push["events"])

    def check(self, messages: int, *, slept: bool) -> list[int]:
        """The delay of each token, in microseconds. Who slept has the last of them with the end. Raises Damaged."""
        delays: list[int] = []
        text, room_seq, seq, said = "", 0, 0, 0
        for at_us, push in self.pushes():
            if push["type"] in _PLACED:
                if room_seq and push["seq"] != room_seq + 1:
                    raise Damaged(f"in the room, after {room_seq} came {push['seq']}")
                room_seq = push["seq"]
            match push["type"]:
                case "message":
                    said += 1
                case "delta":
                    if push["after"] != seq:
                        raise Damaged(f"in the answer, after {seq} came ({push['after']}, {push['seq']}]")
                    text, seq = text + push["text"], push["seq"]
                    delays += [at_us - int(token.partition(":")[2]) for token in push["text"].split()]
                case "end":
                    if push["status"] != "completed" or not push["text"].startswith(text):
                        raise Damaged(f"the answer, {push['status']}, is not what was heard of it")
                    if text != push["text"] and not slept:
                        raise Damaged(f"{len(text)} bytes of the answer were heard before its end")
                    text = push["text"]
        if (len(text), said) != (TOKENS * TOKEN_BYTES, messages):
            raise Damaged(f"{len(text)} bytes of the answer, {said} of {messages} messages")
        return delays


async def _come_in(port: int, member: Listener, receive_buffer: int | None = None) -> None:
    connection = socket.socket()
    if receive_buffer is not None:  # before connecting: it decides the window
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.create_connection(lambda: member, sock=connection)
    await member.joined


def _ask(member: Listener, rate: int) -> None:
    command = {"type": "message", "client_id": "ask", "text": f"{rate} {TOKENS}", "mentions": ["padded"]}
    member.write(TEXT, msgspec.json.encode(command))


async def _talk(others: Sequence[Listener]) -> int:
    """Say things, until the answer has ended for the first of them: how many."""
    said = 0
    while not others[0].enough.done():
        others[said % len(others)].say(f"say-{said}", f"at {now_us()}")
        said += 1
        await asyncio.sleep(SAY_EVERY_S)
    return said


async def _wake(port: int, name: str, sleeper: Listener) -> None:
    """Have it read on until it has the end, or come back for what it lacks."""
    sleeper.transport.resume_reading()
    with contextlib.suppress(ConnectionError):
        await sleeper.enough
        await asyncio.sleep(SAY_EVERY_S)  # what was said after the end
        return
    since = [push["position"] for _, push in sleeper.pushes() if "position" in push][-1]
    sys.stdout.write(f"the sleeper was let go, and comes back after {since}\n")
    back = Listener(Room(name, since), OTHERS)
    await _come_in(port, back)
    await back.enough
    await asyncio.sleep(SAY_EVERY_S)
    back.leave()
    sleeper.heard += back.heard


async def run_once(port: int, name: str, seconds: int, asleep: int) -> list[int]:
    """The delays of all the others' tokens, in microseconds. Raises Damaged."""
    wire = Room(name)
    others = [Listener(wire, number) for number in range(OTHERS)]
    sleepers = [Listener(wire, OTHERS + number) for number in range(asleep)]
    try:
        await asyncio.gather(
            *(_come_in(port, member) for member in others),
            *(_come_in(port, sleeper, RECEIVE_BUFFER) for sleeper in sleepers),
        )
        for sleeper in sleepers:
            sleeper.transport.pause_reading()
        async with asyncio.timeout(seconds + PATIENCE_S):
            _ask(others[0], TOKENS // seconds)
            messages = 1 + await _talk(others)
            await asyncio.gather(*(member.enough for member in others))
            assert not any(sleeper.enough.done() for sleeper in sleepers), "they did sleep"
            await asyncio.sleep(SAY_EVERY_S)  # what was said after the end
            for sleeper in sleepers:
                await _wake(port, name, sleeper)
    finally:
        for member in (*others, *sleepers):
            member.leave()
    for sleeper in sleepers:
        sleeper.check(messages, slept=True)
    return [delay for member in others for delay in member.check(messages, slept=False)]


async def measure(rounds: int, seconds: int) -> tuple[list[int], list[int]]:
    """The others' delays without the sleeper, and with it; each round has both."""
    paths = os.pathsep.join([str(ROOT / "server"), str(ROOT)])
    alone: list[int] = []
    beside: list[int] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        (Path(name) / "headwater.toml").write_text(_MODELS)
        settings = {"send_buffer_bytes": SEND_BUFFER, "drain_s": 0, "drain_spread_s": 0}
        server = ServerProcess(Path(name), settings=settings, env={"PYTHONPATH": paths}, measured=False)
        async with server:
            for number in range(rounds):
                before = rss_bytes(server.pid)
                alone += await run_once(server.port, f"alone-{number}", seconds, 0)
                between = rss_bytes(server.pid)
                beside += await run_once(server.port, f"beside-{number}", seconds, 1)
                after = rss_bytes(server.pid)
                sys.stdout.write(
                    f"the server grew by {(between - before) / 1024:.0f} KB without it, "
                    f"and by {(after - between) / 1024:.0f} KB with it\n"
                )
                sys.stdout.flush()
    return sorted(alone), sorted(beside)


def _line(label: str, ordered: Sequence[int]) -> str:
    figures = "   ".join(f"p{percent} {percentile(ordered, percent) / 1000:7.1f} ms" for percent in (50, 90, 99, 100))
    return f"{label:<20} {figures}   of {len(ordered)} tokens\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slow_rooms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured (default 2)")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"how long each takes (default {SECONDS})")
    options = parser.parse_args()
    alone, beside = uvloop.run(measure(options.rounds, options.seconds))
    sys.stdout.write(_line("without the sleeper", alone) + _line("with the sleeper", beside))
    ratio = percentile(beside, 99) / percentile(alone, 99)
    met = ratio <= RATIO_MAX
    sys.stdout.write(f"p99 ratio {ratio:.2f}, target ≤ {RATIO_MAX}: {'met' if met else 'NOT MET'}\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
