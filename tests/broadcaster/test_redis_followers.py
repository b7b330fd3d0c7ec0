"""Who follows which log, as Redis counts it."""

import asyncio
from typing import Any

import pytest

from headwater.core.news import cancel_news, news_channel, worker_channel
from headwater.errors import StoreUnavailable
from tests.broadcaster.test_redis import PREFIX, SOON_S, listening, restart, server
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

__all__ = ["server"]


async def test_who_follows_is_known_again_after_an_outage(server: RedisServer) -> None:
    async with listening(server, timeout_s=SOON_S) as here, listening(server, timeout_s=SOON_S) as there:
        await here.subscribe("a")
        here.broadcaster.announce("b")
        server.kill()
        with pytest.raises(StoreUnavailable):
            await there.broadcaster.heard_elsewhere("a")
        await restart(server)

        async def known() -> bool:
            try:
                return all([await there.broadcaster.heard_elsewhere(log_id) for log_id in ("a", "b")])
            except StoreUnavailable:
                return False

        await eventually(known, what="both are known to be followed")
        here.broadcaster.retract("b")
        await eventually(lambda: len(server.ask("PUBSUB", "CHANNELS")) == 1, what="only the news are heard")


async def test_what_is_told_where_readers_are_counted_is_left_alone(server: RedisServer) -> None:
    async with listening(server, cancels=True) as listener:
        listener.broadcaster.announce("a")
        channel = f"{news_channel(PREFIX, 'a')}:readers"
        await eventually(lambda: channel in server.ask("PUBSUB", "CHANNELS"), what="it is announced")
        await listener.client.one(("PUBLISH", channel, cancel_news("run")))
        await listener.client.one(("PUBLISH", worker_channel(PREFIX, "here"), cancel_news("other")))
        await eventually(lambda: listener.told, what="a cancel")
        assert listener.told == ["other"]


async def test_what_redis_has_not_yet_confirmed_is_not_taken_for_anothers(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(server) as listener:
        broadcaster = listener.broadcaster
        held: list[tuple[Any, bytes]] = []
        with monkeypatch.context() as patched:
            patched.setattr(broadcaster, "_on_subscribed", lambda *confirmation: held.append(confirmation))
            broadcaster.announce("a")
            asking = asyncio.ensure_future(broadcaster.heard_elsewhere("a"))
            await eventually(lambda: held, what="Redis counts it")
            assert not asking.done()
        for confirmation in held:
            broadcaster._on_subscribed(*confirmation)
        assert not await asking
