"""What is awaited for a caller: its result, its failure, or nothing once the caller has left."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from headwater.web.following import while_there

pytestmark = pytest.mark.anyio


class Client:
    """A caller as any ASGI server shows it."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.request: Request[Any] = Request({"type": "http"}, self.messages.get)

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.messages.put_nowait({"type": "http.disconnect"})


class Work:
    """What is awaited: it ends when it is told to, and says how it ended."""

    def __init__(self, fails_at_the_end: Exception | None = None) -> None:
        self.told = asyncio.Event()
        self.over = False
        self._fails = fails_at_the_end

    async def do(self) -> str:
        try:
            await self.told.wait()
            return "done"
        finally:
            await asyncio.sleep(0)  # as what lets go of something does
            self.over = True
            if self._fails is not None:
                raise self._fails


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No failure that nobody has looked at."""
    unseen: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unseen.append(context))
    yield
    gc.collect()  # only then is it told
    loop.set_exception_handler(None)
    assert not unseen


async def test_the_result_of_one_who_stays() -> None:
    work = Work()
    asyncio.get_running_loop().call_soon(work.told.set)
    assert await while_there(Client().request, work.do()) == "done"


async def test_the_result_that_was_there_first() -> None:
    client, work = Client(), Work()
    work.told.set()
    client.leave()
    assert await while_there(client.request, work.do()) == "done"


@pytest.mark.parametrize("fails", [None, ValueError("in letting go")])
async def test_what_is_awaited_is_over_before_its_caller_is_said_to_have_left(fails: Exception | None) -> None:
    client, work = Client(), Work(fails)
    asyncio.get_running_loop().call_soon(client.leave)
    with pytest.raises(ClientDisconnect):
        await while_there(client.request, work.do())
    assert work.over


async def test_its_failure() -> None:
    work = Work(ValueError("its own"))
    work.told.set()
    with pytest.raises(ValueError, match="its own"):
        await while_there(Client().request, work.do())


async def test_a_connection_that_fails_is_one_that_left() -> None:
    async def receive() -> dict[str, Any]:
        raise OSError("reset")

    work = Work()
    with pytest.raises(ClientDisconnect):
        await while_there(Request({"type": "http"}, receive), work.do())
    assert work.over


async def test_a_request_that_is_cancelled_cancels_what_it_awaits() -> None:
    work = Work(ValueError("in letting go"))
    task = asyncio.ensure_future(while_there(Client().request, work.do()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.over
