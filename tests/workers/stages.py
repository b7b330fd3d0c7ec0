"""Workers that share one scripted upstream, each on a store address of its own choosing."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2

from tests.streaming.stage import DEADLINE_S, SCRIPTED, SETTINGS, Stage
from tests.support.server import ServerProcess
from tests.support.upstream import Script, Upstream


@asynccontextmanager
async def workers(directory: Path, stores: Sequence[str], **settings: object) -> AsyncIterator[list[Stage]]:
    """A worker for each store address, started together; `settings` are fields of their Config."""
    prefix = f"test-{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream({SCRIPTED: Script()}))
        servers = []
        for number, store in enumerate(stores):
            where = directory / f"worker{number}"
            where.mkdir()
            servers.append(
                ServerProcess(
                    where,
                    store=store,
                    settings=SETTINGS | {"redis_prefix": prefix} | settings,
                    env={"OPENAI_BASE_URL": upstream.url},
                )
            )
        await asyncio.gather(*(stack.enter_async_context(server) for server in servers))
        clients = [
            await stack.enter_async_context(httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S))
            for server in servers
        ]
        yield [Stage(server, upstream, client) for server, client in zip(servers, clients, strict=True)]
