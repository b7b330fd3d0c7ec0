"""Workers that are killed or shut down: their members come back elsewhere and miss nothing, and no answer hangs."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.streaming.stage import SCRIPTED
from tests.streaming.texts import pieces
from tests.support.room_client import RoomClient
from tests.support.room_view import Answer, RoomView
from tests.support.server import ServerProcess
from tests.support.upstream import Script
from tests.workers.cluster import QUICK, WITHIN_S, Cluster

pytestmark = pytest.mark.anyio

TELLER = "teller"
STORY = Script(pieces=pieces(150, seed=6), interval_s=0.02)
PRESENCE_S = 2.0
SLOW_MACHINE_S = 3.0
GOING_AWAY = 1001


@pytest.fixture(scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> AsyncIterator[Cluster]:
    directory = tmp_path_factory.mktemp("lost")
    models = {TELLER: STORY}
    async with Cluster(directory, redis_url, models=models, presence_s=PRESENCE_S, **QUICK) as cluster:
        yield cluster


@pytest.fixture
async def cluster(built: Cluster) -> AsyncIterator[Cluster]:
    """Three workers, of which a test may end any."""
    for worker in built.workers:
        if not worker.running:
            await worker.__aenter__()
    yield built


class Wanderer:
    """Where somebody goes who comes to one worker first, and to any that runs from then on."""

    def __init__(self, cluster: Cluster, first: ServerProcess) -> None:
        self._cluster = cluster
        self._first: ServerProcess | None = first

    def __call__(self) -> str:
        first, self._first = self._first, None
        return first.url if first is not None else self._cluster.any_url()


def answers(view: RoomView) -> list[Answer]:
    return list(view.answers.values())


async def test_the_members_of_a_killed_worker_are_gone_for_the_others_soon(cluster: Cluster) -> None:
    doomed, here, there = cluster.workers
    async with AsyncExitStack() as stack:
        ann, bob, *_ = [
            await stack.enter_async_context(RoomClient(worker.url, "gone", name))
            for worker, name in [(here, "ann"), (there, "bob"), *((doomed, f"m{number}") for number in range(5))]
        ]
        for one in (ann, bob):
            await one.until(lambda view: len(view.members) == 7, "sees all")
        doomed.kill()
        died = time.monotonic()
        for one in (ann, bob):
            await one.until(lambda view: set(view.members) == {"guest:ann", "guest:bob"}, "sees who is left")
        assert time.monotonic() - died < PRESENCE_S + SLOW_MACHINE_S


async def test_an_answer_whose_worker_is_killed_ends_honestly_and_the_next_begins_elsewhere(cluster: Cluster) -> None:
    doomed, here, there = cluster.workers
    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(RoomClient(Wanderer(cluster, doomed), "killed", "asker"))
        others = [
            await stack.enter_async_context(RoomClient(worker.url, "killed", f"m{number}"))
            for number, worker in enumerate((here, there))
        ]
        await asker.say("Tell me the story.", mentions=[TELLER])
        await asker.say("And what else?", mentions=[SCRIPTED])
        for member in (asker, *others):
            await member.until(lambda view: any(answer.seq >= 20 for answer in answers(view)), "hears some of it")
        assert all(member.view.seq == 3 for member in others), "the second answer waits"
        doomed.kill()
        died = time.monotonic()
        for member in others:
            await member.until(lambda view: answers(view)[0].end, "hears the end")
        assert time.monotonic() - died < QUICK["lease_s"] + WITHIN_S + SLOW_MACHINE_S
        for member in (asker, *others):
            await member.until(lambda view: len(answers(view)) == 2 and answers(view)[1].end, "hears the second answer")
        for member in (asker, *others):
            first, second = answers(member.view)
            assert first.end is not None and second.end is not None
            assert (first.end["status"], first.end["reason"]) == ("incomplete", "producer_lost")
            assert STORY.text.startswith(first.text) and first.text.startswith(first.grown) and first.grown
            assert (second.end["status"], second.text) == ("completed", Script().text)
            assert (member.view.began, member.view.log) == (1, others[0].view.log)


async def test_a_question_whose_worker_is_killed_while_it_waits_is_answered_by_another(cluster: Cluster) -> None:
    doomed, here, _ = cluster.workers
    async with RoomClient(here.url, "left", "ann") as ann:
        await ann.say("Tell me the story.", mentions=[TELLER])
        await ann.until(lambda view: any(answer.seq >= 5 for answer in answers(view)), "hears some of it")
        async with RoomClient(doomed.url, "left", "bob") as bob:
            await bob.say("And what else?", mentions=[SCRIPTED])
            await bob.until(lambda view: view.settled, "has asked")
            doomed.kill()
            await ann.until(lambda view: len(answers(view)) == 2 and answers(view)[1].end, "hears both")
        story, second = answers(ann.view)
        assert (story.text, second.text) == (STORY.text, Script().text)


async def test_the_members_of_a_worker_that_shuts_down_go_on_at_another(cluster: Cluster) -> None:
    leaving, here, _ = cluster.workers
    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(RoomClient(here.url, "leaving", "asker"))
        members = [
            await stack.enter_async_context(RoomClient(Wanderer(cluster, leaving), "leaving", f"m{number}"))
            for number in range(5)
        ]
        unlucky = await stack.enter_async_context(RoomClient(Wanderer(cluster, leaving), "cut-off", "eve"))
        for one in (asker, unlucky):
            await one.say("Tell me the story.", mentions=[TELLER])
        for member in (unlucky, *members):
            await member.until(lambda view: any(answer.seq >= 20 for answer in answers(view)), "hears some of it")
        leaving.signal(signal.SIGTERM)
        for number, member in enumerate(members):
            await member.say(f"before I go {number}")
        for member in (asker, *members):
            await member.until(lambda view: view.settled and len(view.messages) == 6, "has heard all")
            await member.until(lambda view: answers(view)[0].end, "hears the end")
        await unlucky.until(lambda view: answers(view)[0].end, "hears the end")
        (cut_off,) = answers(unlucky.view)
        assert cut_off.end is not None and (cut_off.end["status"], cut_off.end["reason"]) == ("incomplete", "drained")
        assert STORY.text.startswith(cut_off.text) and cut_off.text.startswith(cut_off.grown)
        for member in members:
            assert [code for code, _ in member.closes] == [GOING_AWAY]
            assert member.connections == 2 and member.view.began == 1
            assert answers(member.view)[0].text == STORY.text
            assert member.view.log == asker.view.log
        assert leaving.wait() == 0
