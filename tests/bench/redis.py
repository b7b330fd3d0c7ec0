"""What Redis is asked and what it keeps: commands and round trips per token as load rises, memory of a stored run.

`python -m tests.bench.redis`. Exit status 1 if a stream was not exactly what was sent.
"""

import sys
import tempfile
from pathlib import Path

from msgspec import Struct

from tests.bench import servers
from tests.bench.__main__ import load
from tests.bench.job import Job
from tests.bench.servers import Server, call, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

# Streams at 50 tokens/s, from a quiet worker to a full one.
STREAMS = (1, 10, 50, 100, 300)
TOKENS = 200
# Runs whose memory is measured: of so many tokens, at paces that put one token, and several, into an entry.
RUNS, RUN_TOKENS, PACES = 20, 1_000, (100, 1_000)
ENDED_WITHIN_S = 60.0


class Asked(Struct):
    """What Redis was asked so far: commands, group commits of the worker, bytes."""

    commands: float
    commits: float
    sent: float


def _asked(redis: RedisServer, worker: Server) -> Asked:
    # Scripts: what they call in turn costs no round trip and no parsing.
    commands = redis.ask("INFO", "commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    lines = request(worker.port, "GET", "/metrics").decode().splitlines()
    commits = next(float(line.split()[1]) for line in lines if line.startswith("headwater_commit_seconds_count"))
    return Asked(float(commands), commits, float(redis.ask("INFO", "stats")["total_net_input_bytes"]))


def _per_token(redis: RedisServer, worker: Server, model: Server) -> bool:
    sys.stdout.write("streams   tokens   commands per token   round trips per token   bytes to Redis per token\n")
    fine = True
    for streams in STREAMS:
        before = _asked(redis, worker)
        result = load(Job("relay", False, streams, 50, TOKENS, worker, model))
        after = _asked(redis, worker)
        tokens = streams * TOKENS
        commands, commits, sent = (
            (b - a) / tokens
            for a, b in (
                (before.commands, after.commands),
                (before.commits, after.commits),
                (before.sent, after.sent),
            )
        )
        sys.stdout.write(f"{streams:7}   {tokens:6}   {commands:18.2f}   {commits:21.4f}   {sent:24.0f}\n")
        sys.stdout.flush()
        fine = fine and not result.errors
    return fine


def _memory_per_run(redis: RedisServer, worker: Server, pace: int) -> None:
    before = int(redis.ask("INFO", "memory")["used_memory"])
    body = {"model": "bench", "input": f"rate={pace} tokens={RUN_TOKENS}"}
    ids: list[str] = [call(worker.port, "POST", "/v1/runs", body)["id"] for _ in range(RUNS)]

    def all_ended() -> bool:
        return all(call(worker.port, "GET", f"/v1/runs/{run_id}")["ended_at"] for run_id in ids)

    wait_until(all_ended, ENDED_WITHIN_S, "the runs end")
    text = sum(len(call(worker.port, "GET", f"/v1/runs/{run_id}")["output"]) for run_id in ids) / RUNS
    entries = sum(redis.ask("XLEN", f"headwater:log:{{{run_id}}}") for run_id in ids) / RUNS
    used = (int(redis.ask("INFO", "memory")["used_memory"]) - before) / RUNS
    sys.stdout.write(
        f"a stored run of {RUN_TOKENS} tokens at {pace} tokens/s, {text / 1024:.1f} KB of text: "
        f"{used / 1024:.1f} KB in Redis, {entries:.0f} entries\n"
    )


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        where = Path(name)
        with (
            servers.upstream(where) as model,
            RedisServer(where) as redis,
            servers.headwater(model, where, redis.url) as worker,
        ):
            sys.stdout.write(f"Redis {redis.version}\n\n")
            fine = _per_token(redis, worker, model)
            sys.stdout.write("\n")
            for pace in PACES:
                _memory_per_run(redis, worker, pace)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
