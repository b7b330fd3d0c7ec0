"""What only the Redis engine promises of rooms: one slot, news in order, foreign keys, a loss, several workers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from headwater.core.events import Entry, Text
from headwater.core.lifecycle import end_failed, end_finished
from headwater.core.news import Removed, decode_news, is_from, news_channel
from headwater.core.position import START
from headwater.core.room import (
    Reacted,
    Retention,
    RoomKey,
    RoomSettings,
    RunEnded,
    answer_of,
    room_slot,
    run_id_of,
)
from headwater.entropy import new_tag
from headwater.errors import Conflict, DamagedLog
from headwater.redis_client import Command, RedisClient
from headwater.store import rooms as contract
from headwater.store.redis import RedisRooms, RedisStore, reads, scripts
from headwater.store.redis.keys import Keys
from headwater.store.rooms import Beginning
from tests.store.producing import take
from tests.store.redis_maker import RedisMaker
from tests.store.talking import (
    EVERYTHING,
    a_room,
    a_turn,
    an_open_answer,
    answering,
    ask,
    begin,
    beginning,
    events_of,
    find,
    log_of,
    reacting,
    said,
    say,
    say_all,
    saying,
    store_change,
)

pytestmark = pytest.mark.anyio

STOP = end_finished("stop", None)
NEWS_S = 10.0  # a PUBLISH is there with the answer to the script; only a hang takes this long


@pytest.fixture
async def maker(redis_url: str) -> AsyncIterator[RedisMaker]:
    maker = RedisMaker(redis_url)
    yield maker
    await maker.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Anybody else on the same Redis."""
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
async def store(maker: RedisMaker) -> RedisStore:
    return await maker.open()


@pytest.fixture
def rooms(maker: RedisMaker, store: RedisStore) -> RedisRooms:
    return maker.rooms(store)


# -- slots


async def names_of(redis: Redis, prefix: str) -> set[str]:
    return {name.decode() async for name in redis.scan_iter(f"{prefix}:*")}


async def test_all_of_a_room_and_of_its_runs_lies_in_one_slot(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis
) -> None:
    before = await names_of(redis, maker.prefix)
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id)
    await one.write(Text("a"))
    await ask(rooms, room_id)
    await rooms.mark(room_id, "user:ann", 1)
    keys = Keys(maker.prefix)
    made = await names_of(redis, maker.prefix) - before
    made -= {keys.rooms("acme"), keys.runs("acme"), keys.waiting, keys.unfinished}
    assert made == {*keys.of_room_with_marks(room_id), *keys.of_run(one.run_id)}
    assert {key_slot(name.encode()) for name in made} == {key_slot(room_slot(room_id).encode())}


async def everything(maker: RedisMaker, store: RedisStore, rooms: RedisRooms) -> None:
    """Run every script that is a room's or its runs'."""
    room_id = await a_room(rooms, retention=Retention(count=2, age_s=60))
    one, run = await answering(store, rooms, room_id), await an_open_answer(rooms, room_id)
    await one.write(Text("a"), STOP)
    await store.cancel(run.id, new_tag())
    given_up = await an_open_answer(rooms, room_id)
    await store.give_up(given_up.id, seen=0, tag=new_tag(), end=end_failed("internal_error", "no"))
    await rooms.drop(room_id, (await ask(rooms, room_id)).id)
    await rooms.mark(room_id, "user:ann", 1)
    await rooms.page(room_id, before=None, limit=5)
    await rooms.enter(room_id, None, max_bytes=1000, page=5)
    await rooms.read(room_id, START, 1000)
    await maker.advance(100)
    assert (await rooms.trim(5), await rooms.waiting(5)) == (1, [])
    assert await rooms.remove(room_id)


async def test_each_script_names_the_keys_that_it_touches_and_they_lie_in_one_slot(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Command] = []
    pipeline = RedisClient._pipeline

    async def seen(client: RedisClient, commands: Sequence[Command]) -> list[Any]:
        sent.extend(commands)
        return await pipeline(client, commands)

    monkeypatch.setattr(RedisClient, "_pipeline", seen)
    touched: set[str] = set()
    async with redis.monitor() as monitor:
        await everything(maker, store, rooms)
        await redis.echo("done")
        while (told := await monitor.next_command())["command"] != "ECHO done":
            name, _, args = told["command"].partition(" ")
            if told["client_type"] == "lua" and name != "PUBLISH":
                touched |= {arg for arg in args.split(" ") if arg.startswith(f"{maker.prefix}:")}
    calls = [(sha, rest[: int(count)]) for _, sha, count, *rest in (each for each in sent if each[0] == "EVALSHA")]
    assert {sha for sha, _ in calls} >= {script.sha for name, script in vars(scripts).items() if "ROOM" in name}
    for _, keys in calls:
        assert len({key_slot(str(key).encode()) for key in keys}) == 1, keys
    assert touched and touched <= {str(key) for _, keys in calls for key in keys}


# -- news


class Listener:
    """Somebody who hears what is told of some logs."""

    def __init__(self, redis: Redis, prefix: str, *log_ids: str) -> None:
        self._channels = {news_channel(prefix, log_id): log_id for log_id in log_ids}
        self._listening = redis.pubsub()

    async def __aenter__(self) -> "Listener":
        await self._listening.subscribe(*self._channels)
        for _ in self._channels:
            await self._listening.get_message(timeout=NEWS_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.aclose()  # type: ignore[no-untyped-call]  # as redis-py has it

    async def next(self) -> tuple[str, bytes]:
        """The next news, and the log that they are of."""
        message = await self._listening.get_message(timeout=NEWS_S)
        assert message is not None, "nothing more was told"
        return self._channels[message["channel"].decode()], message["data"]


async def test_news_come_in_the_order_of_the_log_from_every_worker(
    maker: RedisMaker, rooms: RedisRooms, redis: Redis
) -> None:
    room_id = await a_room(rooms)
    workers = [rooms, *[maker.rooms(await maker.open()) for _ in range(2)]]
    async with Listener(redis, maker.prefix, room_id) as listener:
        await asyncio.gather(
            *[store_change(each, room_id, saying(said(f"{n}"))) for n in range(15) for each in workers]
        )
        heard = [(await listener.next())[1] for _ in range(45)]
    log = await log_of(rooms, room_id)
    assert [decode_news(news) for news in heard] == log
    assert [sum(is_from(f"w{n}".encode(), news) for news in heard) for n in range(3)] == [15, 15, 15]


async def test_of_an_end_the_run_hears_first_and_the_room_next(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis
) -> None:
    room_id = await a_room(rooms)
    runs = [await an_open_answer(rooms, room_id) for _ in range(3)]
    async with Listener(redis, maker.prefix, room_id, *[run.id for run in runs]) as listener:
        one = await take(store, runs[0].id)
        await one.write(Text("a"), STOP)
        await store.cancel(runs[1].id, new_tag())
        await store.give_up(runs[2].id, seen=0, tag=new_tag(), end=end_failed("internal_error", "no"))
        heard = [await listener.next() for _ in range(7)]
    assert [log_id for log_id, _ in heard] == [one.run_id] + [each for run in runs for each in (run.id, room_id)]
    told = [decode_news(news) for log_id, news in heard if log_id == room_id]
    assert told == (await log_of(rooms, room_id))[-3:]
    tags = [entry.tag for _, news in heard[1:] if isinstance(entry := decode_news(news), Entry)]
    assert tags[0::2] == tags[1::2], "both bear the tag of the end"


async def test_a_retry_tells_nothing(maker: RedisMaker, rooms: RedisRooms, redis: Redis) -> None:
    room_id = await a_room(rooms)
    change = saying(said())
    async with Listener(redis, maker.prefix, room_id) as listener:
        for _ in range(2):
            await store_change(rooms, room_id, change)
        last = await say(rooms, room_id)
        heard = [decode_news((await listener.next())[1]) for _ in range(2)]
    assert [entry.position for entry in heard if isinstance(entry, Entry)][1] == last.created


async def test_other_workers_are_told_of_a_removal_once(maker: RedisMaker, rooms: RedisRooms, redis: Redis) -> None:
    room_id = await a_room(rooms)
    turn = await ask(rooms, room_id)
    async with Listener(redis, maker.prefix, room_id) as listener:
        with pytest.raises(Conflict):
            await rooms.remove(room_id)
        await rooms.drop(room_id, turn.id)
        assert [await rooms.remove(room_id) for _ in range(2)] == [True, False]
        await a_room(rooms)
        place = await say(rooms, room_id)
        told = [(await listener.next())[1] for _ in range(2)]
    heard = [decode_news(news) for news in told]
    assert heard[0] == Removed() and isinstance(heard[1], Entry) and heard[1].position == place.created
    assert is_from(b"w0", told[0])


# -- ends


async def test_what_happens_while_an_end_is_made_is_not_lost(
    store: RedisStore, rooms: RedisRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id)
    reactions = ["1", "2", "3"]
    left = list(reactions)
    output = reads.output

    async def meanwhile(*args: Any) -> Any:
        if left:
            place = await find(rooms, room_id, answer_of(one.run_id))
            await store_change(rooms, room_id, reacting(place, left.pop(0)))
        return await output(*args)

    monkeypatch.setattr(reads, "output", meanwhile)
    await one.write(Text("a"), STOP)
    post = (await find(rooms, room_id, answer_of(one.run_id))).post
    assert (list(post.reactions), post.status, post.text) == (reactions, "completed", "a")
    events = (await events_of(rooms, room_id))[-4:]
    assert [type(event) for event in events] == [Reacted, Reacted, Reacted, RunEnded]


async def test_the_room_hears_also_what_a_producer_wrote_at_the_last_moment(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id, lease_s=maker.lease_s)
    await one.write(Text("so "))
    output, late = reads.output, [Text("far")]

    async def meanwhile(*args: Any) -> Any:
        read = await output(*args)
        if late:
            await one.write(late.pop())  # its lease is over, but nobody has taken it
        return read

    monkeypatch.setattr(reads, "output", meanwhile)
    await maker.advance(maker.lease_s)
    await store.give_up(one.run_id, seen=1, tag=new_tag(), end=end_failed("internal_error", "no"))
    ended = (await events_of(rooms, room_id))[-1]
    assert isinstance(ended, RunEnded) and (ended.status, ended.text) == ("failed", "so far")


async def test_of_a_run_whose_log_is_damaged_the_room_hears_the_end_without_the_text(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis
) -> None:
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id)
    await one.write(Text("a"))
    await redis.set(Keys(maker.prefix).log(one.run_id), "junk")
    end = end_failed("internal_error", "damaged")
    assert await store.give_up(one.run_id, seen=1, tag=one.tag, end=end) is not None
    ended = (await events_of(rooms, room_id))[-1]
    assert isinstance(ended, RunEnded) and (ended.status, ended.text, ended.error) == ("failed", "", end.error)
    assert await rooms.turns(room_id) == []


# -- what is foreign, and what is lost

Asking = Callable[[RedisRooms, str], Awaitable[object]]

NOBODY = a_turn(said())
ASKING: dict[str, Asking] = {
    "get": lambda rooms, room_id: rooms.get(room_id),
    "change": lambda rooms, room_id: rooms.change(room_id, saying(said())),
    "refuse": lambda rooms, room_id: rooms.refuse(room_id, NOBODY.id, saying(said())),
    "begin": lambda rooms, room_id: rooms.begin(room_id, NOBODY.id, *beginning(room_id, NOBODY), most=9),
    "drop": lambda rooms, room_id: rooms.drop(room_id, NOBODY.id),
    "turns": lambda rooms, room_id: rooms.turns(room_id),
    "enter": lambda rooms, room_id: rooms.enter(room_id, None, max_bytes=EVERYTHING, page=9),
    "read": lambda rooms, room_id: rooms.read(room_id, START, EVERYTHING),
    "page": lambda rooms, room_id: rooms.page(room_id, before=None, limit=9),
    "find": lambda rooms, room_id: rooms.find(room_id, ["msg_1"]),
    "sent": lambda rooms, room_id: rooms.sent(room_id, "x"),
    "mark": lambda rooms, room_id: rooms.mark(room_id, "user:ann", 1),
}


@pytest.fixture
async def lobby(rooms: RedisRooms) -> str:
    """A room in which something of everything is."""
    room_id = await a_room(rooms)
    await say_all(rooms, room_id, "a", "b")
    await an_open_answer(rooms, room_id)
    await rooms.mark(room_id, "user:bob", 1)
    return room_id


async def damaged(asked: Awaitable[object]) -> bool:
    """Whether what was asked ran into it."""
    try:
        await asked
    except DamagedLog as error:
        assert "acme/lobby" in error.detail
        return True
    return False


ALL_BUT_MARKS = {"change", "refuse", "begin", "drop", "enter", "read", "page"}
HURT = [ALL_BUT_MARKS | {"mark", "get"}, *[ALL_BUT_MARKS] * 6, {"mark", "enter"}, {"mark"}]
"""What runs into each of a room's keys."""


async def held(redis: Redis, keys: Sequence[str]) -> list[Any]:
    """What lies under these keys."""
    ways: dict[bytes | str, Callable[[str], Awaitable[Any]]] = {
        b"hash": redis.hgetall,
        b"stream": redis.xrange,
        b"zset": lambda name: redis.zrange(name, 0, -1, withscores=True),
    }
    return [await ways[await redis.type(name)](name) for name in keys]


@pytest.mark.parametrize("number", range(len(HURT)))
async def test_what_is_foreign_under_a_rooms_key_is_said_and_nothing_is_half_done(
    maker: RedisMaker, rooms: RedisRooms, redis: Redis, lobby: str, number: int
) -> None:
    keys = Keys(maker.prefix).of_room_with_marks(lobby)
    asking = {what: ask_so for what, ask_so in ASKING.items() if what in HURT[number] or what in ("find", "turns")}
    before = await held(redis, keys)
    await redis.rename(keys[number], f"{maker.prefix}:aside")
    await redis.set(keys[number], "junk")
    hurt = {what for what, ask_so in asking.items() if await damaged(ask_so(rooms, lobby))}
    assert HURT[number] <= hurt
    assert await redis.get(keys[number]) == b"junk"
    await redis.rename(f"{maker.prefix}:aside", keys[number])
    assert await held(redis, keys) == before
    assert not [what for what, ask_so in ASKING.items() if await damaged(ask_so(rooms, lobby))]


@pytest.mark.parametrize("number", range(len(ALL_BUT_MARKS)))
async def test_a_run_ends_though_something_foreign_lies_under_a_key_of_its_room(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, lobby: str, number: int
) -> None:
    one, run = await answering(store, rooms, lobby), await an_open_answer(rooms, lobby)
    name = Keys(maker.prefix).of_room(lobby)[number]
    await redis.delete(name)
    await redis.set(name, "junk")
    await one.write(Text("a"), STOP)
    cancelled = await store.cancel(run.id, new_tag())
    assert cancelled is not None and cancelled.run.status == "cancelled"
    contents = await store.contents(one.run_id)
    assert contents is not None and (contents.text, contents.end) == ("a", STOP)


async def test_foreign_entries_in_a_rooms_log_stop_changes_but_no_end(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, lobby: str
) -> None:
    one = await answering(store, rooms, lobby)
    keys = Keys(maker.prefix).of_room(lobby)
    await redis.xadd(keys[1], {"theirs": "junk"}, id="999999-1")
    before = await held(redis, keys)
    assert await damaged(rooms.change(lobby, saying(said())))
    assert await held(redis, keys) == before
    await one.write(Text("a"), STOP)
    run = await store.get(one.run_id)
    assert run is not None and run.status == "completed"
    assert one.run_id not in [run_id_of(lobby, turn.id) for turn in await rooms.turns(lobby)]


@pytest.mark.parametrize("field", ["settings", "top", "trimmed", "keep", "keep_bytes", "bytes", "created"])
async def test_a_room_with_junk_in_it_is_damaged_and_is_left_out_of_lists(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, lobby: str, field: str
) -> None:
    one, fine = await answering(store, rooms, lobby), await a_room(rooms, "fine")
    await redis.hset(Keys(maker.prefix).room(lobby), field, "junk")
    if field in ("settings", "top", "created"):
        assert await damaged(rooms.get(lobby))
        listed, _ = await rooms.list_rooms("acme", before=None, limit=5)
        assert [room.key.id for room in listed] == [fine]
    if field in ("top", "trimmed", "keep", "keep_bytes", "bytes"):
        assert await damaged(rooms.change(lobby, saying(said())))
    assert (await rooms.tops([lobby]) == [None]) == (field == "top")
    await one.write(STOP)


@pytest.mark.parametrize("junk", ["", "junk", "1-1 2-2 3", "1-1 2-2 0 {}", "1-1 2-2 99999 x"])
async def test_a_message_that_is_junk_is_damaged_and_those_who_follow_are_told_the_end_of_its_answer(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, lobby: str, junk: str
) -> None:
    one = await answering(store, rooms, lobby)
    answer, posts = answer_of(one.run_id), Keys(maker.prefix).posts(lobby)
    await redis.hset(posts, answer, junk)
    assert await damaged(rooms.find(lobby, [answer]))
    assert await damaged(rooms.page(lobby, before=None, limit=5))
    async with Listener(redis, maker.prefix, lobby) as listener:
        await one.write(Text("a"), STOP)
        told = decode_news((await listener.next())[1])
    (ended,) = (await events_of(rooms, lobby))[-1:]
    assert isinstance(ended, RunEnded) and (ended.message, ended.text) == (answer, "a")
    assert told == (await log_of(rooms, lobby))[-1]
    assert await redis.hget(posts, answer) == junk.encode()
    assert one.run_id not in [run_id_of(lobby, turn.id) for turn in await rooms.turns(lobby)]
    run = await store.get(one.run_id)
    assert run is not None and run.status == "completed"


async def test_of_an_answer_whose_message_is_gone_the_room_hears_the_end(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, lobby: str
) -> None:
    one, run = await answering(store, rooms, lobby), await an_open_answer(rooms, lobby)
    keys = Keys(maker.prefix)
    await redis.hdel(keys.posts(lobby), answer_of(one.run_id), answer_of(run.id))
    await one.write(Text("a"), STOP)
    await store.cancel(run.id, new_tag())
    ends = (await events_of(rooms, lobby))[-2:]
    assert [(end.run, end.text) for end in ends if isinstance(end, RunEnded)] == [(one.run_id, "a"), (run.id, "")]
    assert await rooms.find(lobby, [answer_of(one.run_id), answer_of(run.id)]) == [None, None]
    assert (len(await rooms.turns(lobby)), await redis.zcard(keys.open(lobby))) == (1, 1), "of one that still grows"
    assert await damaged(rooms.page(lobby, before=None, limit=9))


async def test_a_room_that_was_lost_lets_its_runs_end_and_begins_anew(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, lobby: str
) -> None:
    one = await answering(store, rooms, lobby)
    await a_room(rooms, "later")
    old = (await log_of(rooms, lobby))[-1].position
    await redis.delete(Keys(maker.prefix).room(lobby))
    await one.write(Text("a"), STOP)
    assert await rooms.get(lobby) is None
    room, fresh = await rooms.put(RoomKey("acme", "lobby"), RoomSettings(), replace=False)
    assert (fresh, room.top) == (True, START)
    entered = await rooms.enter(lobby, old, max_bytes=EVERYTHING, page=9)
    assert entered is not None
    assert (entered.joined, entered.page, entered.open, entered.marks) == (False, (), (), {})
    assert await rooms.turns(lobby) == []
    listed, _ = await rooms.list_rooms("acme", before=None, limit=5)
    assert [room.key.name for room in listed] == ["lobby", "later"], "it is the newest now"


async def test_a_room_that_was_made_anew_is_told_of_no_end_from_before(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis, lobby: str
) -> None:
    one = await answering(store, rooms, lobby)
    await redis.delete(Keys(maker.prefix).room(lobby))
    await rooms.put(RoomKey("acme", "lobby"), RoomSettings(), replace=False)
    await one.write(Text("a"), STOP)
    assert await log_of(rooms, lobby) == []
    run = await store.get(one.run_id)
    assert run is not None and run.status == "completed"


async def test_of_a_removed_room_no_key_is_left(
    maker: RedisMaker, store: RedisStore, rooms: RedisRooms, redis: Redis
) -> None:
    room_id = await a_room(rooms)
    await (await answering(store, rooms, room_id)).write(Text("a"), STOP)
    await rooms.mark(room_id, "user:bob", 1)
    await rooms.remove(room_id)
    keys = Keys(maker.prefix)
    assert not await redis.exists(*keys.of_room_with_marks(room_id), keys.rooms("acme"))


async def test_a_room_that_is_made_while_one_of_its_name_is_removed_is_listed(
    rooms: RedisRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_id, left = await a_room(rooms), ["lobby"]
    pipeline = RedisClient._pipeline

    async def meanwhile(client: RedisClient, commands: Sequence[Command]) -> list[Any]:
        if left and commands[0][0] == "ZREMRANGEBYSCORE":
            await a_room(rooms, left.pop())
        return await pipeline(client, commands)

    monkeypatch.setattr(RedisClient, "_pipeline", meanwhile)
    assert await rooms.remove(room_id) and not left
    listed, _ = await rooms.list_rooms("acme", before=None, limit=5)
    assert [room.key.id for room in listed] == [room_id]


@pytest.mark.parametrize("number", range(len(HURT)))
async def test_a_damaged_room_can_be_removed_unless_nobody_can_tell_what_is_under_way(
    maker: RedisMaker, rooms: RedisRooms, redis: Redis, number: int
) -> None:
    room_id = await a_room(rooms)
    keys = Keys(maker.prefix).of_room_with_marks(room_id)
    await redis.delete(keys[number])
    await redis.set(keys[number], "junk")
    if number in (0, 5):
        assert await damaged(rooms.remove(room_id))
        assert await redis.get(keys[number]) == b"junk"
    else:
        assert await rooms.remove(room_id)
        assert not await redis.exists(*keys)


# -- what is bounded


async def test_a_step_trims_so_much_and_the_next_the_rest(maker: RedisMaker, rooms: RedisRooms, redis: Redis) -> None:
    room_id = await a_room(rooms)
    for _ in range(7):
        await asyncio.gather(*[store_change(rooms, room_id, saying(said())) for _ in range(32)])
    await rooms.put(RoomKey("acme", "lobby"), RoomSettings(retention=Retention(count=1)), replace=True)
    _, log, posts, order, once, *_ = Keys(maker.prefix).of_room(room_id)

    async def sizes() -> list[int]:
        return [await redis.xlen(log), await redis.hlen(posts), await redis.zcard(order), await redis.hlen(once)]

    assert await sizes() == [224] * 4
    await say(rooms, room_id)
    assert await sizes() == [25] * 4
    last = await say(rooms, room_id)
    assert await sizes() == [1, 1, 1, 1]
    assert await rooms.page(room_id, before=None, limit=9) == ([last], False)


async def test_of_too_many_marks_those_made_least_lately_are_forgotten(
    rooms: RedisRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "MARKS_MAX", 3)
    room_id = await a_room(rooms)
    for member in ("ann", "bob", "cid", "ann", "dan"):
        await rooms.mark(room_id, member, 5)
    entered = await rooms.enter(room_id, None, max_bytes=1000, page=1)
    assert entered is not None and set(entered.marks) == {"ann", "cid", "dan"}


async def test_a_mark_of_waiting_turns_is_forgotten_when_they_are_over_but_not_at_once(
    maker: RedisMaker, rooms: RedisRooms, redis: Redis
) -> None:
    room_id, name = await a_room(rooms), Keys(maker.prefix).waiting
    turn = await ask(rooms, room_id)
    await maker.advance(1000)
    assert await rooms.waiting(10) == [room_id]
    await rooms.drop(room_id, turn.id)
    # Whoever marked the room may only now make the change that the mark is for.
    assert (await rooms.waiting(10), await redis.zcard(name)) == ([], 1)
    await maker.advance(61)
    assert (await rooms.waiting(10), await redis.zcard(name)) == ([], 0)
    await ask(rooms, room_id)
    assert await rooms.waiting(10) == [room_id]


async def test_a_room_that_is_set_anew_while_it_is_looked_at_is_looked_at_again(
    maker: RedisMaker, rooms: RedisRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_id = await a_room(rooms, retention=Retention(age_s=1000))
    await say(rooms, room_id)
    settings = [RoomSettings(retention=Retention(age_s=1))]
    pipeline = RedisClient._pipeline

    async def meanwhile(client: RedisClient, commands: Sequence[Command]) -> list[Any]:
        if settings and scripts.LOOKED.sha in commands[0]:
            await rooms.put(RoomKey("acme", "lobby"), settings.pop(), replace=True)
        return await pipeline(client, commands)

    monkeypatch.setattr(RedisClient, "_pipeline", meanwhile)
    assert await rooms.trim(5) == 0
    await maker.advance(2)
    assert await rooms.trim(5) == 1


async def test_a_turn_that_does_not_begin_leaves_nothing_in_lists(store: RedisStore, rooms: RedisRooms) -> None:
    room_id = await a_room(rooms)
    turn = await ask(rooms, room_id)
    begun = await rooms.begin(room_id, turn.id, *beginning(room_id, turn), most=0)
    assert begun.outcome is Beginning.BUSY
    assert await store.stale(10) == []
    listed = await store.list_runs("acme", conversation=None, status=None, before=None, limit=5)
    assert (listed.runs, listed.has_more) == ([], False)
    assert (await begin(rooms, room_id, turn)).status == "queued"


async def test_without_a_clock_redis_tells_the_time(maker: RedisMaker, store: RedisStore) -> None:
    rooms = RedisRooms(store._client, "w", prefix=maker.prefix)
    room_id = await a_room(rooms, retention=Retention(age_s=1000))
    await ask(rooms, room_id)
    assert (await rooms.trim(5), await rooms.waiting(5), await rooms.mark(room_id, "ann", 2)) == (0, [room_id], 2)
    room = await rooms.get(room_id)
    assert room is not None and abs(room.created_at - maker.now) < 60
