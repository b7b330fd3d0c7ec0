"""How a scene is played for the first time."""

from collections.abc import Callable
from typing import Any

from tests.transcripts.stage import MODEL, Stage
from tests.transcripts.transcript import Line

STREAM = {"Accept": "text/event-stream"}


class Rehearsal:
    """Plays a scene, and notes every line of it."""

    def __init__(self, stage: Stage) -> None:
        self.lines: list[Line] = []
        self._stage = stage
        self._noted = 0
        self._connections = 0

    async def does(self, at: str, **what: Any) -> None:
        """Somebody does something."""
        self.note()
        line = {"at": at, **what}
        self.lines.append(line)
        await self._stage.play(line)

    def note(self) -> None:
        """What the server has said since is part of it."""
        self.lines += self._stage.heard[self._noted :]
        self._noted = len(self._stage.heard)

    async def hears(self, condition: Callable[[Line], bool], what: str, *, times: int = 1, on: int = 0) -> None:
        """Until the server has said such a thing, on the newest connection unless another is named."""

        def heard() -> bool:
            return sum(map(condition, self._stage.on(on or self._connections))) >= times

        await self._stage.until(heard, what)
        self.note()

    # -- runs

    async def asks(self, method: str, path: str, **more: Any) -> int:
        """The client asks; the number of its connection."""
        self._connections += 1
        await self.does("client", on=self._connections, asks={"method": method, "path": path, **more})
        return self._connections

    async def starts(self, question: str) -> None:
        """The client starts a run, and the model is asked."""
        headers = {"Idempotency-Key": "key-1"}
        await self.asks("POST", "/v1/runs", headers=headers, body={"model": MODEL, "input": question})
        await self.hears(lambda line: "answers" in line, "the run is started")
        await self.does("model", asked=True)

    async def follows(self, after: str | None = None) -> int:
        """The client follows the run, up to the first event."""
        headers = STREAM | ({"Last-Event-ID": after} if after else {})
        on = await self.asks("GET", "/v1/runs/run_1/events", headers=headers)
        await self.hears(lambda line: "event" in line.get("writes", {}), "it follows")
        return on

    async def wrote(self, event: str, times: int = 1) -> None:
        """Until the server has written so many of an event."""
        await self.hears(lambda line: line.get("writes", {}).get("event") == event, event, times=times)

    async def says(self, *deltas: Any) -> None:
        """The model says something, piece by piece."""
        for delta in deltas:
            heard = self._more_deltas()
            await self.does("model", says=[delta])
            await self._stage.until(heard, f"{delta!r} is heard")
            self.note()

    def _more_deltas(self) -> Callable[[], bool]:
        def deltas() -> int:
            lines = self._stage.on(self._connections)
            events = [line.get("writes", {}).get("event") or line.get("says", {}).get("type") for line in lines]
            return events.count("delta")

        before = deltas()
        return lambda: deltas() > before

    async def is_over(self, on: int = 0) -> None:
        """Until the response is."""
        await self.hears(lambda line: "ends" in line, "it is over", on=on)

    @property
    def last_id(self) -> str:
        """Of the last event that had one."""
        ids = [line["writes"]["id"] for line in self._stage.heard if "id" in line.get("writes", {})]
        return str(ids[-1])

    # -- rooms

    async def opens(self, room: str = "lobby") -> None:
        """The client opens a socket."""
        self._connections += 1
        await self.does("client", on=self._connections, opens=f"/v1/rooms/{room}/ws")

    async def sends(self, kind: str, fields: Any, **how: Any) -> str:
        """The client says a command; its ref."""
        refs = sum(line["at"] == "client" and "says" in line for line in self.lines)
        ref = f"ref-{refs + 1}"
        await self.does("client", on=self._connections, says={"type": kind, "ref": ref, **fields}, **how)
        return ref

    async def commands(self, kind: str, **fields: Any) -> None:
        """The client says a command, up to its answer."""
        await self.answered(await self.sends(kind, fields))

    async def answered(self, ref: str) -> None:
        """Until the command has its answer."""
        await self.hears(lambda line: line.get("says", {}).get("ref") == ref, f"the answer to {ref}")

    async def enters(self, since: str | None = None) -> None:
        """The client comes in, or back."""
        await self.opens()
        await self.commands("join", name="Ann", **({"since": since} if since else {}))

    async def talks(self, client_id: str, text: str, **fields: Any) -> None:
        """The client says something, and hears itself."""
        await self.commands("message", client_id=client_id, text=text, **fields)
        await self.pushed("message", lambda push: push["client_id"] == client_id)

    async def pushed(self, kind: str, condition: Callable[[Any], bool] = lambda push: True, *, times: int = 1) -> None:
        """Until the server has pushed such a thing."""

        def such(line: Line) -> bool:
            push = line.get("says", {})
            return push.get("type") == kind and condition(push)

        await self.hears(such, kind, times=times)

    @property
    def position(self) -> str:
        """Where the client stands in the room."""
        pushes = [line["says"] for line in self._stage.heard if "position" in line.get("says", {})]
        return str(pushes[-1]["position"])
