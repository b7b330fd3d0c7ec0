"""`python -m tests.bench.disconnect`: how soon the upstream is closed when the caller of a completion hangs up.

All stream through `POST /v1/chat/completions`; then their callers leave, one after another and, another hundred, all
at once. Times are from the client's close to the upstream's, which tells its own from its own process, by the one
monotonic clock of the machine. On SQLite, and on a Redis with three workers. Exit status 1 if the target is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2

from tests.bench.cancel import TARGET, WITHIN_MS
from tests.bench.measure import percentile
from tests.streaming.callers import Caller
from tests.streaming.stage import DEADLINE_S, SCRIPTED, SETTINGS
from tests.support.redis_server import RedisServer
from tests.support.server import ServerProcess
from tests.support.upstream import Script
from tests.support.waiting import eventually, lasting

WORKERS = 3
# A thousand tokens a second in all, so that the machine is at work and not full; for longer than anybody stays.
LONG = Script(tokens=1_000, interval_s=0.1)
# Between two that leave: they meet the server at any moment of its own round, and not as a crowd.
APART_S = 0.02


class Place:
    """Servers, and the upstream that they all ask, each a process of its own."""

    def __init__(self, urls: Sequence[str], upstream_url: str, client: httpx2.AsyncClient) -> None:
        self.urls = urls
        self._exchanges_url = upstream_url.removesuffix("/v1") + "/exchanges"
        self._client = client

    async def closes(self, callers: Sequence[Caller]) -> list[float]:
        """When the upstream of each was closed, once all are."""

        async def look() -> list[float] | None:
            told = (await self._client.get(self._exchanges_url)).json()
            at = {one["body"]["messages"][-1]["content"]: one["closed_at"] for one in told if one["body"]}
            closes = [at.get(caller.question) for caller in callers]
            return [one for one in closes if one is not None] if None not in closes else None

        return await eventually(look, DEADLINE_S, "every upstream is closed")


async def hang_up(place: Place, streams: int, apart_s: float) -> list[int]:
    """Milliseconds from each close to that of its upstream."""
    async with AsyncExitStack() as stack:
        callers = [Caller(place.urls[number % len(place.urls)], LONG) for number in range(streams)]
        for caller in callers:
            await stack.enter_async_context(caller)
        await asyncio.gather(*(caller.hear() for caller in callers))
        left_at = []
        for caller in callers:
            left_at.append(time.monotonic())
            caller.hang_up()
            await lasting(apart_s)  # the loop closes the socket in its next round
        closes = await place.closes(callers)
        return [round((there - here) * 1000) for here, there in zip(left_at, closes, strict=True)]


@asynccontextmanager
async def scripted_upstream() -> AsyncIterator[str]:
    """Where it is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.upstream", "--model", f"{SCRIPTED}={{}}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def servers(where: Path, stores: Sequence[str | None]) -> AsyncIterator[Place]:
    """A server for each store address, without one on a SQLite file."""
    async with AsyncExitStack() as stack:
        upstream_url = await stack.enter_async_context(scripted_upstream())
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=DEADLINE_S))
        env = {"OPENAI_BASE_URL": upstream_url}
        workers = [ServerProcess(where, store=store, settings=SETTINGS, env=env, measured=False) for store in stores]
        for worker in workers:
            await stack.enter_async_context(worker)
        yield Place([worker.url for worker in workers], upstream_url, client)


async def measure(streams: int) -> dict[str, list[int]]:
    """The times of each way to leave, on each store."""
    times: dict[str, list[int]] = {}
    for store in ("SQLite", "Redis"):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            async with AsyncExitStack() as stack:
                where = Path(name)
                stores: list[str | None] = [None]
                if store == "Redis":
                    stores = [(await stack.enter_async_context(RedisServer(where))).url] * WORKERS
                place = await stack.enter_async_context(servers(where, stores))
                times[f"{store}, one by one"] = await hang_up(place, streams, APART_S)
                times[f"{store}, all at once"] = await hang_up(place, streams, 0.0)
    return times


def line(label: str, times_ms: Sequence[int]) -> str:
    """A distribution, as a line of the report."""
    ordered = sorted(times_ms)
    figures = "   ".join(f"p{percent} {percentile(ordered, percent):>4} ms" for percent in (50, 90, 99, 100))
    within = sum(one <= WITHIN_MS for one in ordered)
    return f"{label:<20} {figures}   {within} of {len(ordered)} within {WITHIN_MS} ms\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.disconnect", description=__doc__)
    parser.add_argument("--streams", type=int, default=100)
    times = asyncio.run(measure(parser.parse_args().streams))
    for label, of_these in times.items():
        sys.stdout.write(line(label, of_these))
    met = all(sum(one <= WITHIN_MS for one in each) >= TARGET * len(each) for each in times.values())
    sys.stdout.write(f"{TARGET:.0%} of each within {WITHIN_MS} ms: {'met' if met else 'NOT MET'}\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
