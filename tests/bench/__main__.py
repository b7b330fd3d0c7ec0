"""Runs the scenarios and prints their tables.

Exit status 1 if any stream was not exactly what was sent, or if what was asked for by name could not be measured.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tests.bench import litellm_proxy, servers
from tests.bench.job import Job, Result
from tests.bench.load import PATIENCE_S
from tests.bench.report import Figure, facts, table
from tests.bench.servers import ROOT, Server

# The load reads and checks what came after the streams have ended.
LOAD_TIMEOUT_S = PATIENCE_S + 60.0
# Two measurements of the same thing differ by about this.
AS_GOOD_AS = 1.1
# Errors shown of one load: enough to see the kind.
ERRORS_SHOWN = 5
# Of people talking, in lengths of a stream: 16 s at 20 messages a second. Longer than this is not waited for.
ROOM_STREAMS, ROOM_SECONDS_MAX = 4, 30.0
# LiteLLM needs three times as long for its 100 streams; with longer ones a slow machine would run into PATIENCE_S.
LITELLM_SECONDS_MAX = 6.0


class Scenario(Struct, frozen=True):
    """`peer` and `own` are who is compared: a file of `peers/`, or one of `_SUBJECTS`."""

    name: str
    kind: Literal["relay", "fanout", "idle", "litellm", "rooms"]
    peer: str
    streams: int
    rate: int
    tokens: int
    figures: list[Figure]
    own: str = "headwater"


CPU = Figure("CPU per token", lambda r: r.cpu_us, "µs")
FIRST_P50 = Figure("first token, newcomers p50", lambda r: r.first_ms[0], "ms")
FIRST_P99 = Figure("first token, newcomers p99", lambda r: r.first_ms[1], "ms")
DELAY_P50 = Figure("delay of a token p50", lambda r: r.delay_ms[0], "ms")
DELAY_P99 = Figure("delay of a token p99", lambda r: r.delay_ms[1], "ms")
DELIVERY = Figure("CPU per delivery", lambda r: r.cpu_us, "µs")
REDIS = Figure("Redis, per delivery", lambda r: r.redis_us, "µs")
MESSAGE_P50 = Figure("sending to receipt p50", lambda r: r.delay_ms[0], "ms")
MESSAGE_P99 = Figure("sending to receipt p99", lambda r: r.delay_ms[1], "ms")
UNLIKE = Figure("who saw another order", lambda r: r.unlike, "members")
MEMORY = Figure("memory of each", lambda r: r.idle_kb, "KB", own_max=24)


def scenarios(seconds: float) -> Iterator[Scenario]:
    """Everything that is measured, each stream about `seconds` long; with the targets."""
    for streams, cpu, first in ((100, 0.8, None), (300, 0.6, 0.1)):
        figures = [replace(CPU, ratio_max=cpu), replace(FIRST_P50, ratio_max=first), FIRST_P99, DELAY_P50, DELAY_P99]
        name = f"Relay of {streams} × 50 tokens/s"
        yield Scenario(name, "relay", "relay", streams, 50, round(50 * seconds), figures)
    for streams, cpu in ((100, 1.1), (300, 0.8)):
        figures = [replace(CPU, ratio_max=cpu), FIRST_P50, DELAY_P50, DELAY_P99]
        name = f"{streams} × 50, with Redis's work"
        yield Scenario(name, "relay", "relay", streams, 50, round(50 * seconds), figures, "on redis")
    for rate in (50, 100, 200):
        figures = [CPU, DELAY_P50, DELAY_P99]
        if rate == 100:
            figures = [replace(CPU, ratio_max=0.4), DELAY_P50, replace(DELAY_P99, own_max=60)]
        # 500 readers make many tokens soon. At 200 the queues fall behind: as few tokens as at 100 end that sooner.
        tokens = round(min(rate, 100) * seconds * 0.6)
        yield Scenario(f"{rate} tokens/s to 500", "fanout", "queue_fanout", 500, rate, tokens, figures)
    figures = [replace(CPU, ratio_max=AS_GOOD_AS), DELAY_P50, replace(DELAY_P99, own_max=60)]
    name = "100/s to 500, elsewhere"
    yield Scenario(name, "fanout", "its producer", 500, 100, round(100 * seconds * 0.6), figures, "another worker")
    yield Scenario("500 idle subscribers", "idle", "queue_fanout", 500, 1, 1, [MEMORY])
    tokens = round(50 * min(seconds, LITELLM_SECONDS_MAX))
    # As many as LiteLLM keeps up with, to see both at ease; and as many as the plain relay above: what a core carries.
    for streams, figure in ((20, CPU), (100, replace(CPU, ratio_max=0.12))):
        figures = [figure, FIRST_P50, FIRST_P99, DELAY_P50, DELAY_P99]
        name = f"{streams} × 50, chat completions"
        yield Scenario(name, "litellm", "litellm", streams, 50, tokens, figures)
    messages = round(20 * min(seconds * ROOM_STREAMS, ROOM_SECONDS_MAX))
    figures = [DELIVERY, REDIS, MESSAGE_P50, MESSAGE_P99, UNLIKE]
    yield Scenario("20 messages/s, room of 1,000", "rooms", "socketio", 1_000, 20, messages, figures, "two workers")


def load(job: Job) -> Result:
    load = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        cwd=ROOT,
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        timeout=LOAD_TIMEOUT_S,
        check=True,
    )
    return msgspec.json.decode(load.stdout, type=Result)


Subject = tuple[Server, Server | None]


@contextmanager
def _subject(who: str, model: Server, where: Path) -> Iterator[Subject]:
    """Start one of those who are compared: the server that is measured, and, if it is another, the run's producer."""
    if who in ("its producer", "another worker"):
        with servers.two_on_redis(model, where) as (one, other):
            yield (one, None) if who == "its producer" else (other, one)
        return
    start = _SUBJECTS.get(who) or partial(servers.peer, who)
    with start(model, where) as server:
        yield server, None


_SUBJECTS: dict[str, Callable[[Server, Path], AbstractContextManager[Server]]] = {
    "headwater": servers.headwater,
    "on redis": servers.on_redis,
    "litellm": litellm_proxy.litellm_proxy,
    "socketio": servers.socketio_of_two,
    "two workers": servers.rooms_of_two,
}


def _measure(scenario: Scenario, who: str) -> Result:
    """One subject once, fresh, with nothing else running."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        servers.upstream(Path(name)) as model,
        _subject(who, model, Path(name)) as (server, producer),
    ):
        # LiteLLM speaks the upstream's own wire, and is answered in kind; the plain relay knows no other.
        chat = scenario.kind == "litellm" or who in ("relay", "socketio")
        job = Job(scenario.kind, chat, scenario.streams, scenario.rate, scenario.tokens, server, model, producer)
        if scenario.kind != "idle":  # that one warms up on its own run
            warmup = load(replace(job, streams=20, tokens=20))
            if warmup.errors:
                return warmup
        return load(job)


def measure(scenario: Scenario, rounds: int) -> list[tuple[Result, Result]]:
    """Peer and Headwater in turn, so that both meet the same moods of the machine."""
    return [(_measure(scenario, scenario.peer), _measure(scenario, scenario.own)) for _ in range(rounds)]


def report(scenario: Scenario, rounds: int) -> list[str]:
    """Measure a scenario and print its table. A line for each stream that was not what was sent."""
    results = measure(scenario, 1 if scenario.kind == "idle" else rounds)
    sys.stdout.write(table(scenario.name, scenario.peer, scenario.own, scenario.figures, results))
    sys.stdout.flush()
    return [
        f"WRONG: {scenario.name}, {name}: {error}\n"
        for pair in results
        for name, result in zip((scenario.peer, scenario.own), pair, strict=True)
        for error in result.errors[:ERRORS_SHOWN]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of short streams: a look, not a measurement")
    parser.add_argument("--seconds", type=float, help="length of a stream (default 4, quick 1.5)")
    parser.add_argument("--rounds", type=int, help="how often each pair is measured (default 3, quick 1)")
    parser.add_argument("--only", choices=("relay", "fanout", "idle", "litellm", "rooms"), help="one kind of scenario")
    parser.add_argument("--redis", action="store_true", help="only what is measured with a Redis")
    options = parser.parse_args()
    seconds = options.seconds or (1.5 if options.quick else 4.0)
    rounds = options.rounds or (1 if options.quick else 3)
    # Shorter says nothing; longer would run into the load's patience, or a person's.
    if not (0.2 <= seconds <= 20 and 1 <= rounds <= 20):
        parser.error("--seconds is 0.2 to 20, --rounds 1 to 20")

    litellm = litellm_proxy.version()
    sys.stdout.write(facts() + (f"LiteLLM {litellm}\n" if litellm else ""))
    wrong: list[str] = []
    for scenario in scenarios(seconds):
        if options.only not in (None, scenario.kind) or (options.redis and scenario.own == "headwater"):
            continue
        if scenario.kind == "litellm" and litellm is None:
            sys.stdout.write(f"\n{scenario.name}: SKIPPED, FOR LITELLM'S PROXY IS NOT INSTALLED: make bench-peers\n")
            if options.only:
                wrong.append(f"NOT MEASURED: {scenario.name}\n")
            continue
        wrong += report(scenario, rounds)
    sys.stdout.write(
        "\n" + ("".join(wrong) or "Everything arrived, once, and in order but where a table says otherwise.\n")
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
