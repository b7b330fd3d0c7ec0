"""What Redis is asked and what it keeps: commands per token as load rises, memory of a stored run.

`python -m tests.bench.redis`. Exit status 1 if a stream was not exactly what was sent.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench import servers
from tests.bench.__main__ import load
from tests.bench.job import Job
from tests.bench.servers import Server, call
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

# Streams at 50 tokens/s, from a quiet worker to a full one.
STREAMS = (1, 10, 50, 100, 300)
TOKENS = 200
# Runs whose memory is measured, and their tokens.
RUNS, RUN_TOKENS = 20, 1_000
ENDED_WITHIN_S = 60.0


def _calls(redis: RedisServer) -> tuple[int, int]:
    """Requests so far, and appends among them as round trips cannot be told apart: scripts run, bytes read."""
    stats = redis.ask("INFO", "commandstats")
    scripts = stats.get("cmdstat_evalsha", {}).get("calls", 0)
    return int(scripts), int(redis.ask("INFO", "stats")["total_net_input_bytes"])


def _commands_per_token(redis: RedisServer, worker: Server, model: Server) -> bool:
    sys.stdout.write("streams   scripts per token   bytes to Redis per token\n")
    fine = True
    for streams in STREAMS:
        scripts, sent = _calls(redis)
        result = load(Job("relay", False, streams, 50, TOKENS, worker, model))
        more_scripts, more_sent = _calls(redis)
        tokens = streams * TOKENS
        per_token, size = (more_scripts - scripts) / tokens, (more_sent - sent) / tokens
        sys.stdout.write(f"{streams:7}   {per_token:17.2f}   {size:24.0f}\n")
        sys.stdout.flush()
        fine = fine and not result.errors
    return fine


def _memory_per_run(redis: RedisServer, worker: Server) -> None:
    before = int(redis.ask("INFO", "memory")["used_memory"])
    demo = {"tokens": RUN_TOKENS, "tokens_per_s": 2_000}
    body = {"model": "demo", "input": "How do I resume a stream?", "extra": {"demo": demo}}
    ids = [call(worker.port, "POST", "/v1/runs", body)["id"] for _ in range(RUNS)]
    for run_id in ids:
        wait_until(lambda: call(worker.port, "GET", f"/v1/runs/{run_id}")["ended_at"], ENDED_WITHIN_S, "the run ends")  # noqa: B023
    texts = [len(call(worker.port, "GET", f"/v1/runs/{run_id}")["output"].encode()) for run_id in ids]
    after = int(redis.ask("INFO", "memory")["used_memory"])
    entries = sum(redis.ask("XLEN", f"headwater:log:{{{run_id}}}") for run_id in ids) / RUNS
    sys.stdout.write(
        f"\na stored run of {RUN_TOKENS} tokens, {sum(texts) / RUNS / 1024:.1f} KB of text: "
        f"{(after - before) / RUNS / 1024:.1f} KB in Redis, in {entries:.0f} entries\n"
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
            fine = _commands_per_token(redis, worker, model)
            _memory_per_run(redis, worker)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
