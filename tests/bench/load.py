"""The load: one process that opens the streams, keeps what they bring, and only afterwards reads and checks it.

A `Job` comes on stdin, a `Result` goes to stdout, both JSON. The server's CPU time is taken here, so that it covers
just the streaming: from the first request of a relay, from the first token of a fan-out.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from typing import cast

import httptools
import msgspec
import uvloop

from tests.bench.job import Job, Result
from tests.bench.measure import now_us, percentile, rss_bytes
from tests.bench.meter import Meter
from tests.bench.readers import Answer, Damaged, Pieces, read_chat, read_native
from tests.bench.rooms import rooms
from tests.bench.servers import call

# Streams start one after another, as callers come; all at once would measure the accepting of connections.
START_EVERY_S = 1 / 200
# Of the streams in the order of their start, those after this part are newcomers: they meet the load of the others,
# and theirs is the first token that is counted. (The median of all would hang on when exactly a peer is overrun.)
NEWCOMERS_AFTER = 2 / 3
# An overloaded peer needs some multiple of the streams' own length; what takes longer than this hangs.
PATIENCE_S = 60.0
# Idle subscribers that are there before the memory is first read: they load the code and fill the pools.
IDLE_WARMUP = 100
# Memory is read this long after the last subscriber came, when the server has nothing left to do for it.
SETTLE_S = 1.0


class Reader(asyncio.Protocol):
    """One request and all that comes back, with the times."""

    def __init__(self, method: str, path: str, body: bytes = b"") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nConnection: close\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        loop = asyncio.get_running_loop()
        self._request = f"{head}\r\n".encode() + body
        self._awaits_run = method == "GET"  # only subscribers are waited for; later pieces cost no look
        self.sent_us = 0
        self.pieces: list[tuple[int, bytes]] = []
        self.joined: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sent_us = now_us()
        cast(asyncio.WriteTransport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((now_us(), data))
        if self._awaits_run and b"event: run" in b"".join(piece for _, piece in self.pieces):
            self._awaits_run = False
            self.joined.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        if not self.joined.done():
            self.joined.set_result(None)


def _evaluate(job: Job, readers: list[Reader], server_cpu_s: float, result: Result, text: str | None = None) -> None:
    """Read what came; every error is one stream's."""
    read: Callable[[Pieces, int], Answer] = read_chat if job.chat else read_native
    first: list[int] = []
    delays: list[int] = []
    for number, reader in enumerate(readers):
        try:
            answer = read(reader.pieces, job.tokens)
            if text is not None and answer.text != text:
                raise Damaged("its text is not the run's output")
            delays += answer.delays_us
            if number >= len(readers) * NEWCOMERS_AFTER:
                first.append(answer.first_at_us - reader.sent_us)
        except (Damaged, httptools.HttpParserError, msgspec.MsgspecError, LookupError, ValueError) as error:
            result.errors.append(f"stream {number}: {type(error).__name__}: {error}")
    first.sort()
    delays.sort()
    result.cpu_us = server_cpu_s * 1e6 / max(1, len(delays))
    result.first_ms = percentile(first, 50) / 1000, percentile(first, 99) / 1000
    result.delay_ms = percentile(delays, 50) / 1000, percentile(delays, 99) / 1000
    result.late_p99_ms = call(job.upstream.port, "GET", "/stats")["late_p99_us"] / 1000


async def _open(job: Job, reader: Reader, delay_s: float = 0.0) -> Reader:
    await asyncio.sleep(delay_s)
    await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", job.server.port)
    return reader


async def relay(job: Job, result: Result) -> None:
    """Each stream is a request of its own."""
    path = "/v1/chat/completions" if job.chat else "/v1/runs"
    order = {"messages": [{"role": "user", "content": job.order}]} if job.chat else {"input": job.order}
    content = msgspec.json.encode({"model": "bench", "stream": True, **order})
    meter = Meter(job)
    readers = await asyncio.gather(
        *(_open(job, Reader("POST", path, content), START_EVERY_S * n) for n in range(job.streams))
    )
    await asyncio.gather(*(reader.closed for reader in readers))
    _evaluate(job, readers, meter.read(result)[0], result)


async def _subscribe(job: Job, run_id: str, readers: int) -> list[Reader]:
    """As many subscribers, all of whom have their first event."""
    path = f"/v1/runs/{run_id}/events"
    opened = await asyncio.gather(*(_open(job, Reader("GET", path)) for _ in range(readers)))
    await asyncio.gather(*(reader.joined for reader in opened))
    return opened


def _start_held(job: Job) -> str:
    producer = job.producer or job.server
    run_id: str = call(producer.port, "POST", "/v1/runs", {"model": "bench", "input": f"{job.order} hold"})["id"]
    return run_id


async def fanout(job: Job, result: Result) -> None:
    """All streams follow one run, which begins once they are there."""
    run_id = _start_held(job)
    readers = await _subscribe(job, run_id, job.streams)
    meter = Meter(job)
    call(job.upstream.port, "POST", "/release")
    await asyncio.gather(*(reader.closed for reader in readers))
    server_cpu_s, _ = meter.read(result)
    _evaluate(job, readers, server_cpu_s, result, call(job.server.port, "GET", f"/v1/runs/{run_id}")["output"])


async def idle(job: Job, result: Result) -> None:
    """Subscribers of a run that says nothing; it ends when the servers do."""
    run_id = _start_held(job)
    rss: list[int] = []
    everyone: list[Reader] = []
    for readers in (IDLE_WARMUP, job.streams):
        everyone += await _subscribe(job, run_id, readers)
        await asyncio.sleep(SETTLE_S)
        rss.append(rss_bytes(job.server.pid))
    left = sum(reader.closed.done() for reader in everyone)
    if left:
        result.errors.append(f"{left} of {len(everyone)} idle subscribers were let go")
    result.idle_kb = (rss[1] - rss[0]) / 1024 / job.streams


_KINDS: dict[str, Callable[[Job, Result], Coroutine[None, None, None]]] = {
    "relay": relay,
    "fanout": fanout,
    "idle": idle,
    "litellm": relay,
    "rooms": rooms,
}


async def main(job: Job) -> Result:
    result = Result()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _KINDS[job.kind](job, result)
    except TimeoutError:
        result.errors.append(f"not all streams had ended after {PATIENCE_S:.0f} s")
    except OSError as error:
        result.errors.append(f"the server does not answer: {error}")
    return result


if __name__ == "__main__":
    gc.disable()  # a short life; a collection would stand in the times
    done = uvloop.run(main(msgspec.json.decode(sys.stdin.buffer.read(), type=Job)))
    sys.stdout.buffer.write(msgspec.json.encode(done))
