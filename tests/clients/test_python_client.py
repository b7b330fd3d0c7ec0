"""The Python client, sync and async, against real servers: whatever the line and the server do.

`python -m tests.clients.python` cuts lines in full size.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import anyio.to_thread
import pytest

from headwater_client import (
    AsyncClient,
    BadRequest,
    Buffered,
    Client,
    Delta,
    Ended,
    Forbidden,
    Grew,
    HeadwaterError,
    Joined,
    Missed,
    NotCompleted,
    NotDelivered,
    NotFound,
    NotHeadwater,
    Notice,
    Refused,
    Resumed,
    Retrying,
    TooManyRetries,
    Unauthorized,
)
from tests.clients.python_scenes import answers_are_exact, everybody_hears_the_same, workers_on_redis
from tests.clients.scene import KEY, MODELS, READER, WILD, Scene
from tests.streaming.stage import DEADLINE_S, SCRIPTED, Stage, staged
from tests.streaming.texts import pieces, seeded
from tests.support import keys
from tests.support.cutting_proxy import CuttingProxy
from tests.support.server import free_port
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

RUNS, MEMBERS, MESSAGES = 12, 6, 6
LEASE: dict[str, Any] = {"lease_s": 1.0, "renew_s": 0.3, "sweep_s": 0.2}
LONG = Script(pieces=pieces(400, seed=3), interval_s=0.01)


# -- lines that are cut


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> AsyncIterator[Cluster]:
    """Three workers, on which a test looks only at what is its own."""
    async with workers_on_redis(tmp_path_factory.mktemp("cluster"), redis_url) as cluster:
        yield cluster


async def test_texts_are_exact_whatever_is_cut(cluster: Cluster) -> None:
    with seeded() as seed:
        await answers_are_exact(cluster, seed, RUNS)


async def test_everybody_in_a_room_hears_the_same_once(cluster: Cluster) -> None:
    with seeded() as seed:
        await everybody_hears_the_same(cluster, seed, MEMBERS, MESSAGES)


async def test_a_run_whose_start_was_not_answered_is_started_once(cluster: Cluster) -> None:
    ports = [worker.port for worker in cluster.workers]
    async with CuttingProxy(ports, Random(0), within=2, limit=2) as network, AsyncClient(network.url) as client:
        run = await client.create("hi", conversation="started once")
        page = await client.runs(conversation="started once")
        assert (network.cuts, [one.id for one in page.runs]) == (2, [run.id])


# -- a server that is killed in mid-answer


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A server that asks for tokens, and may be killed: each test leaves it running."""
    settings = {**LEASE, "jwt_secret": keys.JWT_SECRET, "keep_alive_s": 0.5, "key_check_s": 0.2}
    async with staged(tmp_path_factory.mktemp("stage"), **settings) as stage:
        yield stage


def token(**claims: Any) -> str:
    return keys.token(**{"scope": "runs:read runs:write rooms:write", **claims})


async def restart(stage: Stage) -> None:
    await anyio.to_thread.run_sync(stage.server.restart)


async def test_an_answer_outlives_a_restart_as_far_as_it_was_stored(stage: Stage) -> None:
    notices: list[Notice] = []
    async with AsyncClient(stage.server.url, token(), on_status=notices.append) as client:
        stream = client.stream("hi", model=SCRIPTED, extra=LONG.extra())
        received = [await anext(stream) for _ in range(5)]
        await restart(stage)
        with pytest.raises(NotCompleted) as caught:
            while True:
                received.append(await anext(stream))
        run = await client.get(caught.value.run.id)
    assert (run.status, run.reason, caught.value.code) == ("incomplete", "producer_lost", "producer_lost")
    assert "".join(received) == stream.text == caught.value.text == run.output
    assert LONG.text.startswith(stream.text) and stream.text
    assert isinstance(notices[0], Retrying) and isinstance(notices[-1], Resumed)


async def test_a_room_outlives_a_restart(stage: Stage) -> None:
    async with AsyncClient(stage.server.url, token(sub="ann")) as client, client.room("restarted") as room:
        await room.say("before")
        stage.server.kill()
        saying = asyncio.create_task(room.say("while it is away"))
        await eventually(lambda: not room.connected, what="it is noticed")
        posted = room.post("and more")
        assert [message.pending for message in room.messages] == [False, True, True]
        await anyio.to_thread.run_sync(stage.server.start)
        assert await saying
        await eventually(lambda: not any(message.pending for message in room.messages), DEADLINE_S, "all is heard")
        assert [message.text for message in room.messages] == ["before", "while it is away", "and more"]
        assert room.messages[-1].client_id == posted
        page = await room.history()
        assert [message.text for message in page.messages] == [message.text for message in room.messages]


async def test_a_sync_room_outlives_a_restart(stage: Stage) -> None:
    def talk() -> list[str]:
        with Client(stage.server.url, token(sub="bert")) as client, client.room("restarted-too") as room:
            room.say("before")
            stage.server.restart()
            room.say("after")
            room.post("last")
        return [message.text for message in room.messages]

    assert await anyio.to_thread.run_sync(talk) == ["before", "after", "last"]


# -- tokens


class Tokens:
    """Gives one token after another; `given` are those that it gave."""

    def __init__(self, *tokens: Callable[[], str]) -> None:
        self.tokens = list(tokens)
        self.given: list[str] = []

    def __call__(self) -> str:
        self.given.append(self.tokens[len(self.given)]())
        return self.given[-1]

    async def later(self) -> str:
        """The same as a coroutine function."""
        return self()


async def test_a_token_that_expires_in_mid_answer_is_replaced(stage: Stage) -> None:
    tokens = Tokens(lambda: token(expires_in=1.0), token)
    script = Script(pieces=pieces(100, seed=5), interval_s=0.02)
    async with AsyncClient(stage.server.url, tokens.later) as client:
        stream = client.stream("hi", model=SCRIPTED, extra=script.extra())
        assert "".join([piece async for piece in stream]) == script.text
    assert len(tokens.given) == 2


async def test_a_token_that_expires_in_a_room_is_replaced(stage: Stage) -> None:
    tokens = Tokens(lambda: token(expires_in=0.7), token)
    async with AsyncClient(stage.server.url, tokens.later) as client, client.room("expiring") as room:
        await room.say("before")
        await eventually(lambda: len(tokens.given) == 2 and room.connected, DEADLINE_S, "it is replaced")
        await room.say("after")
        assert [message.text for message in room.messages] == ["before", "after"]
        events = [await anext(room) for _ in range(3)]
        assert events[0] == Joined(recovered=False)


def test_a_token_is_asked_for_once_and_a_newer_one_once(scene: Scene) -> None:
    tokens = Tokens(lambda: "stale", lambda: KEY)
    with Client(scene.server.url, tokens) as client:
        for _ in range(3):
            client.runs(limit=1)
    assert tokens.given == ["stale", KEY]


async def test_a_token_that_stays_refused_is_an_error(scene: Scene) -> None:
    for source in ("stale", lambda: "stale", None):
        async with AsyncClient(scene.server.url, source) as client:
            with pytest.raises(Unauthorized):
                await client.runs()
            with pytest.raises(Unauthorized):
                await client.watch("run_0").result()
            with pytest.raises(Unauthorized):
                async with client.room("closed"):
                    pass


# -- the sync twin, and what both do besides


def test_a_stream_is_the_runs_output(scene: Scene) -> None:
    with Client(scene.server.url, KEY) as client:
        stream = client.stream("hi", model="wild")
        assert "".join(stream) == WILD == stream.text
        assert stream.run is not None and stream.end is not None
        run = client.get(stream.run.id)
        assert (run.output, run.status, run.usage) == (WILD, "completed", stream.end.usage)
        late = client.watch(run)
        assert (late.result().status, late.text, late.position) == ("completed", WILD, run.position)
        assert client.watch(run.id, after=run.position).result().status == "completed"
        client.delete(run.id)
        with pytest.raises(NotFound):
            client.get(run.id)


async def test_tools_and_reasoning_are_parts(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client:
        watch = client.watch(await client.create("hi", model="tools"))
        assert (await watch.result()).finish_reason == "tool_calls"
        calls = [part.tool_call for part in watch.parts if part.tool_call is not None]
        assert [(call.id, call.arguments) for call in calls] == [
            ("call_a", '{"a": 1, "b": 2}'),
            ("call_b", '{"a": 3, "b": 4}'),
        ]
        reasoning = client.watch(await client.create("hi", model="reasoning"))
        await reasoning.result()
        assert ([part.reasoning for part in reasoning.parts], reasoning.text) == (["hm, well", None], "Yes.")


async def test_an_answer_that_is_not_whole_is_an_error_of_its_text(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client:
        for model, code in (("short", "length"), ("cut", "upstream_cut"), ("spoiled", "upstream_error")):
            stream = client.stream("hi", model=model)
            with pytest.raises(NotCompleted) as caught:
                [piece async for piece in stream]
            assert (caught.value.code, caught.value.text) == (code, stream.text)
            assert MODELS[model].text.startswith(stream.text) and stream.text


async def test_whoever_is_stopped_leaves_and_may_go_on(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client:
        run = await client.create("hi", model="slow")
        watch = client.watch(run)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                async for _ in watch:
                    pass
        before = watch.text
        delta = await anext(event async for event in watch if isinstance(event, Delta))
        assert watch.text == before + (delta.text or "")
        assert MODELS["slow"].text.startswith(watch.text)
        await watch.aclose()
        assert [event async for event in watch] == []
        assert (await client.cancel(run.id)).status == "cancelled"
        with pytest.raises(HeadwaterError):
            await watch.result()


async def test_whoever_breaks_off_leaves_no_connection(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client:
        async for _ in client.stream("hi", model="slow"):
            break
        open_ones = client._http._transport._pool.connections  # type: ignore[attr-defined]
        await eventually(lambda: all(one.is_idle() or one.is_closed() for one in open_ones), what="it is let go")


async def test_a_cancelled_run_ends_for_whoever_follows(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client:
        run = await client.create("hi", model="slow")
        following = asyncio.create_task(client.watch(run).result())
        await client.cancel(run.id)
        assert (await following).status == "cancelled"
        assert (await client.cancel(run.id)).status == "cancelled"


async def test_an_idempotency_key_of_ones_own_starts_one_run(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client:
        key = f"key-{time.time()}"
        ids = {(await client.create("hi", model="short", idempotency_key=key)).id for _ in range(2)}
        assert len(ids) == 1
        with pytest.raises(BadRequest) as caught:
            await client.create("ho", model="short", idempotency_key=key)
        assert caught.value.code == "idempotency_conflict"


# -- rooms


def test_an_answer_grows_in_a_room_and_is_stopped(scene: Scene) -> None:
    with Client(scene.server.url, KEY) as client, client.room("growing", name="Ann") as room:
        assert room.you is not None and room.you.name == "Ann" and room.you.id in room.members
        asked = room.say("Count!", mentions=["slow"])
        grown = ""
        for event in room:
            if isinstance(event, Grew):
                grown = event.text if event.replaced else grown + event.text
                assert event.message.run is not None
                if len(grown) < 10:
                    continue
                room.cancel(run=event.message.run)
            if isinstance(event, Ended):
                break
        answer = room.messages[-1]
        assert (answer.asked, answer.status, answer.growing) == (asked, "cancelled", False)
        assert MODELS["slow"].text.startswith(answer.text) and answer.text.startswith(grown)


async def test_what_two_do_in_a_room_both_see(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client:
        async with client.room("both", name="Ann") as ann, client.room("both", name="Bert") as bert:
            first, second = await ann.say("first"), await bert.say("second", reply_to=None)
            await ann.edit(first, "First")
            await bert.react(first, "+")
            await bert.delete(second)
            ann.send_typing()
            ann.mark_read()
            await eventually(lambda: bert.typing and bert.marks, what="it is seen")
            await eventually(lambda: ann.position == bert.position, what="it is seen")
            assert len(bert.members) == len(ann.members)
            for room in (ann, bert):
                one, other = room.messages
                assert (one.text, len(one.reactions["+"]), other.deleted, other.text) == ("First", 1, True, "")
            with pytest.raises(NotFound):
                await ann.edit("msg_0", "nothing")
            with pytest.raises(BadRequest):
                await ann.say("x" * 17_000)
            assert len(ann.messages) == 2
            position = ann.position
        async with client.room("both", name="Ann", since=position) as again:
            assert await anext(again) == Joined(recovered=True)


async def test_a_post_that_is_refused_is_told(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, KEY) as client, client.room("refusing", name="Ann") as room:
        client_id = room.post("x" * 17_000)
        refused = await anext(event async for event in room if isinstance(event, Refused))
        assert (refused.message.client_id, room.messages) == (client_id, [])
        assert isinstance(refused.error, BadRequest)


async def test_events_that_nobody_takes_are_not_kept_for_ever(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater_client.async_room.EVENTS_MAX", 10)
    async with AsyncClient(scene.server.url, KEY) as client, client.room("unheard", name="Ann") as room:
        for number in range(12):
            await room.say(f"{number}")
        events = [await anext(room) for _ in range(2)]
        assert any(isinstance(event, Missed) for event in events)
        assert [message.text for message in room.messages] == [f"{number}" for number in range(12)]


async def test_whoever_leaves_before_it_is_said_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater_client.async_room.LEAVE_S", 0.05)
    proxy = CuttingProxy([scene.server.port], Random(0), within=2, spared=1)
    async with proxy as network, AsyncClient(network.url, KEY) as client:
        with pytest.raises(NotDelivered) as caught:
            async with client.room("left", name="Ann") as room:
                network.refuse = True
                network.cut()
                await eventually(lambda: not room.connected, what="it is noticed")
                client_id = room.post("too late")
    assert caught.value.client_ids == (client_id,)


async def test_a_room_that_one_may_not_enter_is_an_error(scene: Scene) -> None:
    async with AsyncClient(scene.server.url, READER) as client:
        with pytest.raises(Forbidden):
            async with client.room("closed"):
                pass


# -- what goes wrong


@asynccontextmanager
async def somebody_else(answers: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """Another server; nothing is answered where `answers` gives nothing for a request."""
    held = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while answer := answers(await reader.readuntil(b"\r\n\r\n")):
                writer.write(answer)
            await reader.read()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in held:
            writer.close()


def http(body: bytes, kind: str = "text/html") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind.encode(), len(body), body)


async def test_another_server_is_none_of_ours() -> None:
    async with somebody_else(lambda _: http(b"<h1>Welcome</h1>")) as url, AsyncClient(url) as client:
        with pytest.raises(NotHeadwater, match="text/html"):
            await client.create("hi")
        with pytest.raises(NotHeadwater):
            await client.watch("run_1").result()
        with pytest.raises(NotHeadwater):
            async with client.room("lobby"):
                pass


async def test_a_redirect_is_not_followed_with_the_token_but_told() -> None:
    heads: list[bytes] = []

    def elsewhere(head: bytes) -> bytes:
        heads.append(head)
        return b"HTTP/1.1 307 Go\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"

    async with somebody_else(elsewhere) as url, AsyncClient(url, "secret") as client:
        with pytest.raises(NotHeadwater, match="It leads to /there"):
            await client.create("hi")
        with pytest.raises(NotHeadwater, match="It leads to /there"):
            async with client.room("lobby"):
                pass
    assert [head.split()[1] for head in heads] == [b"/v1/runs", b"/v1/rooms/lobby/ws"]


async def test_a_wrong_path_is_none_of_ours(scene: Scene) -> None:
    async with AsyncClient(f"{scene.server.url}/v1", KEY) as client:
        with pytest.raises(NotHeadwater, match="without /v1"):
            await client.create("hi")
        with pytest.raises(NotHeadwater):
            async with client.room("lobby"):
                pass


async def test_a_stream_that_a_proxy_holds_back_is_told() -> None:
    run = b'{"id": "run_1", "status": "in_progress", "model": "m", "created_at": 1, "position": "3-1", "output": "abc"}'

    def answers(request: bytes) -> bytes:
        return b"" if b"/events" in request else http(run, "application/json")

    async with somebody_else(answers) as url, AsyncClient(url, silence_s=0.1) as client:
        with pytest.raises(Buffered, match="proxy_buffering off"):
            await client.watch("run_1").result()


@pytest.mark.parametrize("what", ["create", "watch", "room"])
async def test_a_server_that_is_not_there_is_given_up(what: str) -> None:
    notices: list[Notice] = []
    client = AsyncClient(f"http://127.0.0.1:{free_port()}", max_wait_s=0.3, on_status=notices.append)
    async with client:
        with pytest.raises(TooManyRetries, match="Check that the server runs") as caught:
            if what == "create":
                await client.create("hi")
            elif what == "watch":
                await client.watch("run_1").result()
            else:
                async with client.room("lobby"):
                    pass
    assert caught.value.__cause__ is not None
    assert (caught.value.idempotency_key is not None) == (what == "create")
    assert notices and all(isinstance(notice, Retrying) for notice in notices)


def test_errors_say_what_is_wrong(scene: Scene) -> None:
    with Client(scene.server.url, KEY) as client, Client(scene.server.url, READER) as reader:
        with pytest.raises(Forbidden, match="runs:write"):
            reader.create("hi")
        with pytest.raises(NotFound) as gone:
            client.get("run_0")
        assert gone.value.code == "unknown_run"
        with pytest.raises(NotFound):
            client.watch("run_0").result()
        with pytest.raises(NotFound, match="gpt-9"):
            client.create("hi", model="gpt-9")
        with pytest.raises(BadRequest) as wrong:
            client.create("hi", temperature="hot")  # type: ignore[arg-type]
        assert wrong.value.field == "temperature"
        with pytest.raises(BadRequest) as large:
            client.create("x" * 1_100_000)
        assert (large.value.code, large.value.limit) == ("too_large", 1_048_576)
        with pytest.raises(BadRequest):
            client.watch("run_0", after="no position").result()


async def test_a_sync_client_that_is_interrupted_goes_on(scene: Scene) -> None:
    class Enough(Exception):
        pass

    def stop(notice: Notice) -> None:
        if isinstance(notice, Retrying):
            raise Enough

    async with CuttingProxy([scene.server.port], Random(0), within=2, spared=1) as network:
        loop = asyncio.get_running_loop()

        def follow() -> str:
            with Client(network.url, KEY) as client:
                run = client.create("hi", model="slow")
                with client.watch(run, on_status=stop) as watch:
                    next(event for event in watch if isinstance(event, Delta))
                    loop.call_soon_threadsafe(network.cut)
                    with pytest.raises(Enough):
                        list(watch)
                    next(event for event in watch if isinstance(event, Delta))
                client.cancel(run.id)
                return watch.text

        assert MODELS["slow"].text.startswith(await anyio.to_thread.run_sync(follow))
