"""`python -m tests.bench.slow`: what ten subscribers that read nothing cost ninety others.

One run of 1 KB tokens goes to ninety readers, alone and beside ten that leave their sockets unread for 10 s, in turn.
Every token is checked, the sleepers' too, who catch up afterwards. Exit status 1 if a stream is damaged, or if the
others' p99 delay is more than 1.2 times what it is without the ten.
"""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop

from tests.bench.load import Reader
from tests.bench.measure import percentile, rss_bytes
from tests.bench.readers import read_native
from tests.bench.servers import ROOT, call
from tests.support.server import ServerProcess

OTHERS, ASLEEP = 90, 10
RATE, SECONDS = 50, 10
TOKENS = RATE * SECONDS
# Loopback swallows megabytes unless both ends are told not to.
SEND_BUFFER, RECEIVE_BUFFER = 8_192, 4_096
RATIO_MAX = 1.2
# The sleepers have half a megabyte to catch up with; all else has ended by then.
PATIENCE_S = 40.0

_MODELS = '[models.padded]\nprovider = "python:tests.bench.padded:answer"\n'


class Sleeper(Reader):
    """Asks and then reads nothing until it is woken."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def sleep(self) -> None:
        """Ask. (Not before the transport is the caller's: until then it would read, whatever it was told.)"""
        self.transport.pause_reading()
        super().connection_made(self.transport)


async def _connect(port: int, reader: Reader, receive_buffer: int | None = None) -> None:
    connection = socket.socket()
    if receive_buffer is not None:  # before connecting: it decides the window
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.create_connection(lambda: reader, sock=connection)


async def run_once(port: int, asleep: int) -> list[int]:
    """The delays of all the others' tokens, in microseconds. Raises Damaged."""
    run_id = call(port, "POST", "/v1/runs", {"model": "padded", "input": f"{RATE} {TOKENS}"})["id"]
    path = f"/v1/runs/{run_id}/events"
    others = [Reader("GET", path) for _ in range(OTHERS)]
    sleepers = [Sleeper("GET", path) for _ in range(asleep)]
    await asyncio.gather(
        *(_connect(port, reader) for reader in others),
        *(_connect(port, sleeper, RECEIVE_BUFFER) for sleeper in sleepers),
    )
    for sleeper in sleepers:
        sleeper.sleep()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(reader.closed for reader in others))
        assert not any(sleeper.pieces for sleeper in sleepers), "they did sleep"
        for sleeper in sleepers:
            sleeper.transport.resume_reading()
        await asyncio.gather(*(sleeper.closed for sleeper in sleepers))
    text = call(port, "GET", f"/v1/runs/{run_id}")["output"]
    answers = [read_native(reader.pieces, TOKENS) for reader in (*others, *sleepers)]
    assert all(answer.text == text for answer in answers)
    return [delay for answer in answers[:OTHERS] for delay in answer.delays_us]


async def measure(rounds: int) -> tuple[list[int], list[int]]:
    """The others' delays without the ten, and with them; each round has both."""
    paths = os.pathsep.join([str(ROOT / "server"), str(ROOT)])
    alone: list[int] = []
    beside: list[int] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        (Path(name) / "headwater.toml").write_text(_MODELS)
        settings = {"send_buffer_bytes": SEND_BUFFER, "drain_s": 0, "drain_spread_s": 0}
        server = ServerProcess(Path(name), settings=settings, env={"PYTHONPATH": paths}, measured=False)
        async with server:
            for _ in range(rounds):
                alone += await run_once(server.port, 0)
                before = rss_bytes(server.pid)
                beside += await run_once(server.port, ASLEEP)
                grown = rss_bytes(server.pid) - before
                sys.stdout.write(f"the server grew by {grown / 1024:.0f} KB\n")
    return sorted(alone), sorted(beside)


def _line(label: str, ordered: Sequence[int]) -> str:
    figures = "   ".join(f"p{percent} {percentile(ordered, percent) / 1000:7.1f} ms" for percent in (50, 90, 99, 100))
    return f"{label:<16} {figures}   of {len(ordered)} tokens\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slow", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured (default 2)")
    alone, beside = uvloop.run(measure(parser.parse_args().rounds))
    sys.stdout.write(_line("without the ten", alone) + _line("with the ten", beside))
    ratio = percentile(beside, 99) / percentile(alone, 99)
    met = ratio <= RATIO_MAX
    sys.stdout.write(f"p99 ratio {ratio:.2f}, target ≤ {RATIO_MAX}: {'met' if met else 'NOT MET'}\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
