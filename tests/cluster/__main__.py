"""Headwater as it runs on more than one machine, on this one: a Redis, some workers, and a round-robin before them."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from headwater.version import VERSION
from tests.cluster.round_robin import RoundRobin
from tests.support.redis_server import RedisServer
from tests.support.server import START_S, ServerProcess, free_port
from tests.support.waiting import wait_until

LOOK_S = 0.25  # between two looks at who still lives: what a person calls at once
WORKERS_MAX = 9  # more than a machine of today has cores to spare for
SHOWN = 2_000  # characters of the last words of one that ended: enough for a traceback


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="of the round-robin; the workers have the next ones")
    parser.add_argument("--workers", type=int, default=3, help=f"how many, 2 to {WORKERS_MAX} (default 3)")
    options = parser.parse_args()
    if not (2 <= options.workers <= WORKERS_MAX and 0 <= options.port <= 65_535):
        parser.error(f"--workers is 2 to {WORKERS_MAX}, --port 0 to 65535")
    _end_as_with_ctrl_c()
    try:
        with _listen(options.port) as sock, tempfile.TemporaryDirectory(prefix="headwater-cluster-") as directory:
            _run(sock, options.workers, Path(directory))
    except KeyboardInterrupt:
        return 130
    except (AssertionError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _end_as_with_ctrl_c() -> None:
    """Let SIGTERM leave nothing behind, as SIGINT does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _listen(port: int) -> socket.socket:
    """The round-robin's socket, before anything else starts. Raises OSError."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise OSError(f"cannot listen on 127.0.0.1 port {port}: {reason}; try another --port") from None


def _run(sock: socket.socket, count: int, directory: Path) -> None:
    """Everything, until a signal."""
    with RedisServer(directory) as redis, contextlib.ExitStack() as ends:
        workers = [_worker(port, redis, directory) for port in _ports(sock.getsockname()[1], count)]
        for worker in workers:
            ends.callback(worker.close)
            worker.launch()
        for worker in workers:
            _await_ready(worker)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_balance(sock, redis, workers, directory))
        _end_as_with_ctrl_c()  # the loop has set it back
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(_stop, workers))


def _stop(worker: ServerProcess) -> None:
    if worker.running:
        worker.signal(signal.SIGCONT)  # to see what happens, somebody may have frozen it
        worker.stop()


def _ports(first: int, count: int) -> list[int]:
    """Those after `first`, or free ones for those that are taken."""
    ports = []
    for port in range(first + 1, first + 1 + count):
        try:
            with socket.create_server(("127.0.0.1", port)):
                ports.append(port)
        except (OSError, OverflowError):
            ports.append(free_port())
    return ports


def _worker(port: int, redis: RedisServer, directory: Path) -> ServerProcess:
    """A worker with the settings of the surroundings, so that it can be tried with your own model."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(("HEADWATER_", "OPENAI_"))}
    args = ["--workers", "1"]
    models = Path(os.environ.get("HEADWATER_MODELS") or "headwater.toml")
    if models.exists():
        args += ["--models", str(models.absolute())]  # it runs elsewhere
    return ServerProcess(directory, port=port, store=redis.url, args=args, env=settings, may_crash=True, measured=False)


def _await_ready(worker: ServerProcess) -> None:
    wait_until(lambda: worker.ready or not worker.running, START_S, f"{worker!r} is ready")
    assert worker.running, f"a worker could not start:\n{worker.stderr}"


async def _balance(sock: socket.socket, redis: RedisServer, workers: Sequence[ServerProcess], directory: Path) -> None:
    """Balance and look after the processes until a signal."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with RoundRobin(sock, [worker.port for worker in workers]) as balancer:
        sys.stdout.write(_welcome(balancer.port, redis, workers, directory))
        sys.stdout.flush()
        _look([redis, *workers])
        await ended.wait()
        sys.stderr.write("Ending everything.\n")


def _look(living: Sequence[RedisServer | ServerProcess]) -> None:
    """Say who has ended since the last look, now and from time to time."""
    left = [one for one in living if one.running]
    for one in living:
        if one not in left:
            code = one.process.wait(START_S)
            name = "Redis" if isinstance(one, RedisServer) else f"The worker on port {one.port}"
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            sys.stderr.write(f"{name} (pid {one.pid}) has ended: {how}. The others go on.\n")
            if code > 0:
                sys.stderr.write((one.log if isinstance(one, RedisServer) else one.stderr)[-SHOWN:])
    asyncio.get_running_loop().call_later(LOOK_S, _look, left)


def _welcome(port: int, redis: RedisServer, workers: Sequence[ServerProcess], directory: Path) -> str:
    """What a newcomer needs to see that any worker will do."""
    one, other = workers[0].url, workers[1].url
    pids = "\n".join(f"                       {worker.pid:<8} worker on {worker.url}" for worker in workers)
    return f"""
Headwater {VERSION}: {len(workers)} workers on one Redis, a round-robin before them on http://127.0.0.1:{port}

  Start a run          curl {one}/v1/runs -H 'Content-Type: application/json' \\
                         -d '{{"input": "How do I resume a stream?"}}'
  Follow it elsewhere  curl -N {other}/v1/runs/RUN/events      (RUN is the id of that run)
  ... or anywhere      curl -N http://127.0.0.1:{port}/v1/runs/RUN/events
  Open the page        http://127.0.0.1:{port}/
  Pull a plug          kill -9 PID, which is
{pids}
                       {redis.pid:<8} Redis on {redis.url}
  Read what they say   {directory}      (removed at the end)

Ctrl-C ends everything.
"""


if __name__ == "__main__":
    sys.exit(main())
