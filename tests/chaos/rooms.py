"""People in rooms, where the same models answer: `RoomView` checks the promises of rooms as they listen."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Any

from tests.chaos.faults import Window
from tests.chaos.questions import STORIES
from tests.chaos.report import Tally
from tests.chaos.world import World
from tests.support.room_client import RoomClient
from tests.support.room_view import Answer
from tests.support.waiting import eventually, lasting

MEMBERS = 3  # of a room
PAUSE_S = 1.2  # between two things that one of them says
# Of what is said asks a model: a room's answers come one after another, and take seconds.
ASKING, CANCELLING = 0.06, 0.3
MODELS = ("steady", "steady", "anew", "brittle")
CUTS = 3  # of each member, in
CUT_WITHIN = 120  # pushes


class Party:
    """Members of some rooms, from a round's beginning to its end."""

    def __init__(self, world: World, name: str, tally: Tally, windows: Sequence[Window], rooms: int) -> None:
        self.world = world
        self.tally = tally
        self._windows = windows
        self._slug = name.replace(" ", "-")
        self.rooms = [self._members(number) for number in range(rooms)]

    def _members(self, number: int) -> list[RoomClient]:
        members = []
        for who in range(MEMBERS):
            chance = self.world.chance(f"{self._slug}/room {number}/{who}")
            cuts = sorted(chance.choices(range(1, CUT_WITHIN), k=CUTS))
            where = self.world.where(chance)
            members.append(RoomClient(where, f"{self._slug}-{number}", f"m{who}", cuts=cuts))
        return members

    @property
    def members(self) -> list[RoomClient]:
        """All of all rooms."""
        return [member for room in self.rooms for member in room]

    async def talk(self, until: float) -> None:
        """Everybody comes in, and says things until then, on the loop's clock."""
        async with asyncio.TaskGroup() as people:
            for member in self.members:
                self.tally.members += 1
                chance = self.world.chance(f"{member.room}/{member.name}/says")
                people.create_task(self._talk(member, chance, until))

    async def _talk(self, member: RoomClient, chance: random.Random, until: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            await member.come_in()
            while loop.time() < until:
                await lasting(chance.expovariate(1 / PAUSE_S))
                asks = chance.random() < ASKING
                said = f"{member.name} says {chance.getrandbits(24)}"
                client_id = await member.say(said, **({"mentions": [chance.choice(MODELS)]} if asks else {}))
                if asks and chance.random() < CANCELLING:
                    await lasting(chance.uniform(0.0, 2.0))
                    with contextlib.suppress(ConnectionError, TimeoutError):
                        await member.ask("cancel", client_id=client_id)
        except Exception as error:  # a member that fails is no reason to spare the others
            self._fail(member, f"{type(error).__name__}: {error}")

    def _fail(self, member: RoomClient, error: object) -> None:
        self.tally.fail("rooms gone wrong", f"{member.room}: {member!r}: {error}")

    async def settle(self, within_s: float) -> None:
        """Return once everybody has heard all answers' ends and is heard, or after so long."""

        def calm() -> bool:
            return all(_has_heard_all(member) or member.has_left for member in self.members)

        with contextlib.suppress(AssertionError):
            await eventually(calm, within_s)

    async def close(self) -> None:
        """Everybody leaves. What went wrong with one is told."""
        for member in self.members:
            if member.has_left:
                self._fail(member, f"it has left: {type(member.problem).__name__}: {member.problem}")
            await member.leave()

    async def check(self) -> None:
        """What each of them holds, against each other and against the runs."""
        for room in self.rooms:
            for member in room:
                for problem in await self._problems(member, room[0]):
                    self._fail(member, problem)

    async def _problems(self, member: RoomClient, other: RoomClient) -> list[str]:
        view, problems = member.view, []
        if not _has_heard_all(member):
            problems.append(f"unacknowledged {list(view.outbox)}, unheard {list(view.local)}")
            problems += [await self._open(member, message) for message, one in view.answers.items() if one.end is None]
        if not self._windows:
            if view.began != 1:
                problems.append(f"its view began {view.began} times")
            if view.log[-len(other.view.log) :] != other.view.log[-len(view.log) :]:
                problems.append(f"it heard other things than {other!r}")
        for answer in view.answers.values():
            if answer.end is not None:
                problems += await self._answer_problems(answer)
        return problems

    async def _open(self, member: RoomClient, message: str) -> str:
        """An answer without an end, and its run."""
        begun = [*member.view.page, *member.view.log]
        run_id = next(push["run"] for push in begun if message in (push.get("message"), push.get("id")))
        response = await self.world.ask(self.world.where(self.world.chance(run_id)), "GET", f"/v1/runs/{run_id}")
        hidden = ("parts", "output")
        run = {name: value for name, value in response.json().items() if name not in hidden}
        return f"it has heard no end of {message}, whose run is {run}, at {member.view.answers[message].seq}"

    async def _answer_problems(self, answer: Answer) -> list[str]:
        assert answer.end is not None
        end: dict[str, Any] = answer.end
        if end["status"] == "completed" and end.get("model") in STORIES and answer.text != STORIES[end["model"]].text:
            return [f"completed is not whole: {end}"]
        response = await self.world.ask(
            self.world.where(self.world.chance(end["run"])), "GET", f"/v1/runs/{end['run']}"
        )
        never_begun = end["status"] == "cancelled" and not answer.text  # it was stopped while it waited for its turn
        if response.status_code == 404 and (never_begun or self._windows):
            return []
        if response.status_code != 200:
            return [f"the run of {end} cannot be read: {response.status_code} {response.text}"]
        run = response.json()
        if (run["status"], run["output"]) != (end["status"], answer.text) and not self._windows:
            return [f"the room was told {end}, and the run is {run}"]
        return []


def _has_heard_all(member: RoomClient) -> bool:
    view = member.view
    return view.settled and all(answer.end is not None for answer in view.answers.values())
