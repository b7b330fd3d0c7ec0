"""What people do in rooms on one worker, as it is put together, but without sockets."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from msgspec import Struct
from starlette.applications import Starlette

from headwater import Config, create_app, lifespan
from headwater.core.access import Principal
from headwater.core.commands import PAGE, TEXT_CHARS, Edit, Message, React, ReadTo
from headwater.core.members import member_of
from headwater.core.room import RoomSettings
from headwater.core.run import RunRequest
from headwater.errors import Forbidden, StoreUnavailable, TooMany, UnknownRun
from headwater.formats.room import RoomOverSocket
from headwater.rooms.company import Company
from headwater.rooms.rooms import Visit
from headwater.rooms.talk import WAITING_MAX, Saying
from headwater.state import AppState
from headwater.store.rooms import Change, Changed
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

READ_BYTES = Config().read_bytes


def somebody(subject: str = "user:ann", **fields: Any) -> Principal:
    return Principal(**{"tenant": "acme", "subject": subject, "scopes": frozenset({"rooms:write"}), **fields})


class Worker(Struct):
    """One, with a room in which a model never comes to its end."""

    state: AppState
    ann: Principal = somebody()

    async def say(self, client_id: str, text: str = "hello", **fields: Any) -> Saying:
        message = Message(client_id=client_id, text=text, **fields)
        return await self.state["talk"].say(self.ann, "lobby", member_of(self.ann, None), message)

    async def enter(self) -> Visit:
        member = member_of(self.ann, None)
        return await self.state["rooms"].enter(self.ann, "lobby", member, None, RoomOverSocket)


async def think(request: RunRequest) -> AsyncGenerator[str, None]:
    yield "well, "
    await asyncio.get_running_loop().create_future()


async def nod(request: RunRequest) -> AsyncGenerator[str, None]:
    yield "yes"


@pytest.fixture(scope="module")
def app() -> Starlette:
    """Made apart from the loop, for which it reads too much."""
    config = Config(store="sqlite::memory:", drain_s=0.0, drain_spread_s=0.0)
    return create_app(config, {"thinker": think, "nodder": nod}, environ={})


@pytest.fixture
async def worker(app: Starlette) -> AsyncIterator[Worker]:
    async with lifespan(app) as state:
        worker = Worker(state)  # type: ignore[arg-type]  # a host's type for it
        await worker.state["rooms"].put(worker.ann, "lobby", RoomSettings(model="thinker"))
        yield worker


async def test_no_more_answers_are_waited_for_than_anybody_reads(worker: Worker) -> None:
    await worker.say("0", mentions=("thinker",))
    await eventually(lambda: is_answering(worker))
    for number in range(WAITING_MAX):
        await worker.say(f"1.{number}", mentions=("thinker",))
    with pytest.raises(TooMany, match=f"{WAITING_MAX} answers"):
        await worker.say("another", mentions=("thinker",))
    assert not (await worker.say("1.0", mentions=("thinker",))).fresh, "it waits already"
    assert (await worker.say("no question")).fresh


async def is_answering(worker: Worker) -> bool:
    return any(turn.open for turn in await worker.state["talk"]._store.turns("acme/lobby"))


async def test_what_was_stored_though_the_answer_was_lost_is_told_at_once_and_answered(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = await worker.enter()
    store = worker.state["talk"]._store
    change = store.change

    async def loses_its_answer(room_id: str, what: Change) -> Changed:
        await change(room_id, what)
        raise StoreUnavailable("the answer was lost")

    monkeypatch.setattr(store, "change", loses_its_answer)
    with pytest.raises(StoreUnavailable):
        await worker.say("1", "is it?", mentions=("nodder",))
    monkeypatch.setattr(store, "change", change)
    heard = b""
    async with asyncio.timeout(2):  # a look at all tops comes later
        while b"is it?" not in heard:
            frame = await visit.cursor.next()
            assert frame is not None
            heard += frame.data
    assert not (await worker.say("1", "is it?", mentions=("nodder",))).fresh
    assert worker.state["talk"]._turns._advancing, "whoever tries again sees to the answer"
    visit.close()


async def test_who_sends_a_question_again_is_told_who_answers_too(worker: Worker) -> None:
    first, again = [await worker.say("1", "how?", mentions=("nodder",)) for _ in range(2)]
    assert (first.fresh, again.fresh) == (True, False)
    assert first.asked == again.asked == ("nodder",)


async def test_a_page_of_long_messages_is_short(worker: Worker) -> None:
    for number in range(PAGE):
        await worker.say(str(number), "😀" * TEXT_CHARS)
    visit = await worker.enter()
    visit.close()
    shown = visit.joined.messages
    assert shown is not None
    assert 0 < sum(len(post.text.encode()) for post in shown) <= READ_BYTES
    history = worker.state["rooms"].history
    last, read = shown[0].id, [post.client_id for post in reversed(shown)]
    has_more = True
    while has_more:
        places, has_more = await history(worker.ann, "lobby", last, PAGE)
        assert sum(len(place.post.text.encode()) for place in places) <= READ_BYTES
        read += [place.post.client_id for place in reversed(places)]
        last = places[0].post.id
    assert read == [str(number) for number in reversed(range(PAGE))]


async def test_an_edit_says_no_more_than_it_weighs(worker: Worker) -> None:
    visit = await worker.enter()
    said = await worker.say("1")
    for number in range(50):
        edit = Edit(message=said.place.post.id, text=f"{number:05}" + "x" * (TEXT_CHARS - 5))
        await worker.state["talk"].edit(worker.ann, "lobby", member_of(worker.ann, None), edit)
    window = worker.state["hub"].logs["acme/lobby"].window
    assert sum(len(chunk.entries) for chunk in window._chunks) * TEXT_CHARS <= 2 * window.max_bytes
    visit.close()


async def test_a_crowd_that_likes_a_message_writes_each_reaction_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await worker.say("1")
    talk = worker.state["talk"]
    tries: list[Change] = []
    change = talk._store.change

    async def counted(room_id: str, what: Change) -> Changed:
        tries.append(what)
        return await change(room_id, what)

    monkeypatch.setattr(talk._store, "change", counted)
    like = React(message=said.place.post.id, reaction="👍")
    crowd = [somebody(f"user:{number}") for number in range(30)]
    await asyncio.gather(*(talk.react(one, "lobby", member_of(one, None), like) for one in crowd))
    assert len(tries) == len(crowd)
    (place,), _ = await worker.state["rooms"].history(worker.ann, "lobby", None, 1)
    assert sorted(place.post.reactions["👍"]) == sorted(one.subject for one in crowd)
    assert not talk._altering


async def test_a_claim_on_some_rooms_shows_no_run_of_another(worker: Worker) -> None:
    runs = worker.state["runs"]
    await worker.say("1", "a secret?", mentions=("nodder",))
    everybody = somebody("key:1", scopes=frozenset({"runs:read"}))

    async def answered() -> str | None:
        page = await runs.list(everybody, conversation="room:lobby", status="completed", before=None, limit=1)
        return page.runs[0].id if page.runs else None

    run_id = await eventually(answered)
    for rooms in ({"lobby": "read"}, {"lobby": "read", "hall": "write"}):
        member = somebody("user:bob", scopes=frozenset({"runs:read"}), rooms=rooms)
        assert (await runs.find(member, run_id)).id == run_id
        assert await listed(worker, member) == [run_id]
    other = somebody("user:eve", scopes=frozenset({"runs:read", "runs:write"}), rooms={"hall": "moderate"})
    with pytest.raises(UnknownRun):
        await runs.find(other, run_id)
    assert await listed(worker, other) == []
    shared = somebody("user:eve", scopes=frozenset(), rooms={}, runs=frozenset({run_id}))
    assert (await runs.find(shared, run_id)).id == run_id


async def test_a_claim_reaches_as_far_in_a_rooms_runs_as_in_the_room(worker: Worker) -> None:
    runs, scopes = worker.state["runs"], frozenset({"runs:read", "runs:write"})
    await worker.say("1", "how?", mentions=("thinker",))
    (run_id,) = await eventually(lambda: listed(worker, somebody("key:1", scopes=scopes)))
    watches, writes, moderates = (
        somebody("user:bob", scopes=scopes, rooms={"lobby": role}) for role in ("read", "write", "moderate")
    )
    with pytest.raises(Forbidden, match="the role write in the room lobby"):
        await runs.cancel(watches, run_id)
    assert (await runs.cancel(writes, run_id)).run.status == "cancelled"
    with pytest.raises(Forbidden, match="the role moderate in the room lobby"):
        await runs.delete(writes, run_id)
    await runs.delete(moderates, run_id)


async def test_who_makes_a_room_that_another_makes_at_once_sets_it_or_is_refused(worker: Worker) -> None:
    rooms = worker.state["rooms"]
    admin = somebody(scopes=frozenset({"admin"}))
    both = await asyncio.gather(
        *(rooms.put(who, "new", RoomSettings(title=who.subject)) for who in (worker.ann, admin)), return_exceptions=True
    )
    room = await rooms.find(admin, "new")
    done = [put for put in both if not isinstance(put, BaseException)]
    assert room.settings.title in [put[0].settings.title for put in done]
    assert all(isinstance(put, Forbidden) for put in both if put not in done)
    assert [made for _, made in done].count(True) == 1


async def test_only_the_marks_of_those_who_are_there_are_told(worker: Worker) -> None:
    said = await worker.say("1")
    gone = member_of(somebody("user:gone"), None)
    read = ReadTo(position=str(said.place.created))
    for member in (gone, member_of(worker.ann, None)):
        await worker.state["talk"].mark(worker.ann, "lobby", member, read)
    visit = await worker.enter()
    visit.close()
    assert visit.joined.marks == {"user:ann": 1}


async def listed(worker: Worker, principal: Principal) -> list[str]:
    page = await worker.state["runs"].list(principal, conversation=None, status=None, before=None, limit=10)
    assert not page.has_more
    return [run.id for run in page.runs]


async def test_of_many_rooms_those_are_seen_to_in_which_something_happens(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    companies = worker.state["talk"]._companies
    leave = [companies.watch(f"acme/room{number}") for number in range(500)]
    await eventually(lambda: all(company.known for company in companies._rooms.values()))
    seen_to: list[str] = []
    see_to = companies._see_to

    async def counted(company: Company, now: float) -> None:
        seen_to.append(company.room_id)
        await see_to(company, now)

    monkeypatch.setattr(companies, "_see_to", counted)
    await companies.come("acme/room7", member_of(worker.ann, None))
    await eventually(lambda: companies.members("acme/room7"))
    assert set(seen_to) == {"acme/room7"}
    for each in leave:
        each()
    assert not companies._rooms
