"""A model for `slow.py` and `slow_rooms.py`, which runs in the server: 1 KB tokens that say when they were made."""

import asyncio
from collections.abc import AsyncIterator

from headwater.core.run import RunRequest
from tests.bench.measure import now_us

TOKEN_BYTES = 1024
# For everyone to subscribe, before the first token.
START_S = 1.0


async def answer(request: RunRequest) -> AsyncIterator[str]:
    """`rate tokens` as input: so many tokens, `rate` a second, each `<number>:<microseconds> ` filled up with zeros."""
    said = request.input if isinstance(request.input, str) else request.input[-1].content
    assert isinstance(said, str)
    rate, tokens = map(int, said.split())
    loop = asyncio.get_running_loop()
    start = loop.time() + START_S
    for number in range(tokens):
        await asyncio.sleep(max(0.0, start + number / rate - loop.time()))
        head = f"{number}:"
        yield f"{head}{now_us():0{TOKEN_BYTES - len(head) - 1}d} "
