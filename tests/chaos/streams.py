"""Subscribers over plain HTTP streams: NDJSON, plain text, and OpenAI's two formats."""

import asyncio
import codecs
import contextlib
import json
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import httpx2

from headwater.formats.openai import response_id
from tests.chaos.stored import Stored
from tests.chaos.subscribers import DEADLINE_S, Subscriber, Where
from tests.chaos.world import is_lost
from tests.support.sse import Disjoint, EventStreamParser, Follower, Message
from tests.support.waiting import lasting

# After a refusal that passes: a Retry-After is in whole seconds, for crowds.
AGAIN_S = 0.1
ENDED = ("completed", "failed", "cancelled", "incomplete")


class Stream(Subscriber):
    """One GET after another, until it has seen the end."""

    def __init__(self, where: Where, run_id: str, client: httpx2.AsyncClient) -> None:
        super().__init__(where, run_id)
        self._client = client

    async def follow(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not self.done:
                await self._once()

    async def _once(self) -> None:
        path, headers = self.request()
        self.open_another()
        try:
            async with self._client.stream("GET", self.where() + path, headers=headers) as response:
                if response.status_code == 200:
                    self.begin()
                    async for piece in response.aiter_raw():
                        self.feed(piece)
                elif response.status_code in (429, 503):
                    return await lasting(AGAIN_S)
                else:
                    body = await response.aread()
                    raise AssertionError(f"{path} {headers} was answered with {response.status_code} {body[:300]!r}")
        except Exception as error:
            if not is_lost(error):
                raise
            return await self.broke()
        self.closed()

    @abstractmethod
    def request(self) -> tuple[str, dict[str, str]]:
        """The path and the headers of the next."""

    @abstractmethod
    def begin(self) -> None:
        """A response begins."""

    @abstractmethod
    def feed(self, piece: bytes) -> None:
        """More of its body."""

    def closed(self) -> None:
        """The body is whole. It tells the end in itself, unless the server sent its readers away."""

    async def broke(self) -> None:
        """The connection was refused, or lost."""
        await lasting(AGAIN_S)


class Ndjson(Stream):
    """A service that reads line by line, and resumes."""

    kind = "ndjson"

    def __init__(self, where: Where, run_id: str, client: httpx2.AsyncClient) -> None:
        super().__init__(where, run_id, client)
        self.follower = Follower()
        self._place = ""
        self._line = b""

    @property
    def text(self) -> str:
        return self.follower.text

    @property
    def place(self) -> str:
        return self._place

    def request(self) -> tuple[str, dict[str, str]]:
        headers = {"Last-Event-ID": self._place} if self._place else {}
        return f"/v1/runs/{self.run_id}/events?format=ndjson", headers

    def begin(self) -> None:
        self._line = b""
        self.follower.connected()

    def feed(self, piece: bytes) -> None:
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in filter(None, lines):
            event = json.loads(line)
            kind = event.pop("event")
            place = None if kind == "run" else event.pop("id")
            if kind != "run":
                self.heard()
            if kind == "attempt":
                self.resumed_at[event["number"]] = time.monotonic()
            self.follower.take(Message(kind, json.dumps(event), place))
            self._place = place or self._place
        if self.follower.end is not None and not self.done:
            self.over()


class Unaware(Stream):
    """One whose format says nothing of attempts that continue: it notices them by the text that they add."""

    def __init__(self, where: Where, run_id: str, client: httpx2.AsyncClient) -> None:
        super().__init__(where, run_id, client)
        self._text = ""
        self._grown: list[tuple[float, int]] = []

    @property
    def text(self) -> str:
        return self._text

    def grow(self, text: str) -> None:
        """There is more of it."""
        self._text += text
        self._grown.append((time.monotonic(), len(self._text)))

    def went_on_at(self, attempt: dict[str, Any], shown: str) -> float | None:
        if attempt["how"] == "restarted":
            return None
        return next((at for at, length in self._grown if length > len(shown)), self.ended_at or None)


class PlainText(Unaware):
    """A person with curl, who asks again where the transfer broke off."""

    kind = "text"

    def __init__(self, where: Where, run_id: str, client: httpx2.AsyncClient) -> None:
        super().__init__(where, run_id, client)
        self._broken: list[str] = []
        self._whole = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def request(self) -> tuple[str, dict[str, str]]:
        return f"/v1/runs/{self.run_id}/events?format=text", {}

    def begin(self) -> None:
        self._text = ""
        self._decoder.reset()

    def feed(self, piece: bytes) -> None:
        self.heard()
        self.grow(self._decoder.decode(piece))

    def closed(self) -> None:
        self._whole = True
        self.over()

    async def broke(self) -> None:
        self._broken.append(self._text)
        await super().broke()
        try:
            response = await self._client.get(f"{self.where()}/v1/runs/{self.run_id}")
        except Exception as error:
            if not is_lost(error):
                raise
            return
        run = response.json()
        if response.status_code == 200 and run["status"] in ENDED and run["status"] != "completed":
            self._text = run["output"]
            self.over()

    def judge(self, stored: Stored) -> Iterator[str]:
        yield from super().judge(stored)
        if self._whole and stored.end["status"] != "completed":
            yield f"was given a part for the whole: it ended as {stored.end}"
        if not all(stored.had(text) for text in self._broken):
            yield "was shown what it never was"


class Chat(Unaware):
    """A reader of chat completions that resumes by the ids of their chunks."""

    kind = "chat"

    def __init__(self, where: Where, run_id: str, client: httpx2.AsyncClient) -> None:
        super().__init__(where, run_id, client)
        self._parser = EventStreamParser()
        self._finish: str | None = None

    def request(self) -> tuple[str, dict[str, str]]:
        headers = {"Last-Event-ID": self._parser.last_id} if self._parser.last_id else {}
        return f"/v1/runs/{self.run_id}/events?format=chat", headers

    def begin(self) -> None:
        self._parser.reset()

    def feed(self, piece: bytes) -> None:
        for message in self._parser.feed(piece):
            assert not self.done, f"something after the end: {message}"
            self.heard()
            if message.data == "[DONE]":
                assert self._finish is not None, "[DONE] without a finish reason"
                self.over()
            elif "error" in (chunk := message.json):
                self.error = chunk["error"]["code"]
                self.over()
            else:
                self._take(chunk)

    def _take(self, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            self.grow(choice["delta"].get("content") or "")
            self._finish = choice["finish_reason"] or self._finish

    def closed(self) -> None:
        assert self.done, "the body ended as if the answer were whole"

    def judge(self, stored: Stored) -> Iterator[str]:
        if self.error == "restarted":
            if not stored.taken_back:
                yield "was told of a restart, and nothing was withdrawn"
        else:
            yield from super().judge(stored)
            yield from self._judge_end(stored.end)

    def _judge_end(self, end: dict[str, Any]) -> Iterator[str]:
        whole = end.get("finish_reason") or ("length" if end.get("reason") == "length" else None)
        told = self.error or self._finish
        if self.done and told != (whole or end.get("reason") or end["status"]):
            yield f"was told {told}, and it ended as {end}"


class Completion(Chat):
    """A client of OpenAI's, whose answer is the stream of its own POST: what is lost of that is lost."""

    kind = "completion"

    def __init__(self, where: Where, body: dict[str, Any], client: httpx2.AsyncClient) -> None:
        super().__init__(where, "", client)
        self._body = body
        self.worker = ""
        """The address of the one that it asked."""

    async def open(self) -> None:
        """Return once it is answered, and the run is known."""
        self.open_another()
        self.worker = self.where()
        request = self._client.build_request("POST", f"{self.worker}/v1/chat/completions", json=self._body)
        self._response = await self._client.send(request, stream=True)
        if self._response.status_code != 200:
            body = await self._response.aread()
            raise AssertionError(f"it was answered with {self._response.status_code} {body[:300]!r}")
        self.run_id = self._response.headers["headwater-run"]

    async def follow(self) -> None:
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(self._response):
            async for piece in self._response.aiter_raw():
                self.feed(piece)
        self.closed()


class Responses(Unaware):
    """A reader of responses that resumes behind the number of the last event; `by_place` by its id."""

    kind = "responses"

    def __init__(self, where: Where, run_id: str, client: httpx2.AsyncClient, *, by_place: bool) -> None:
        super().__init__(where, run_id, client)
        self.by_place = by_place
        self._parser = EventStreamParser()
        self._number = -1
        self._said: dict[str, Any] = {}

    def request(self) -> tuple[str, dict[str, str]]:
        path = f"/v1/responses/{response_id(self.run_id)}?stream=true"
        if self.by_place:
            return path, {"Last-Event-ID": self._parser.last_id} if self._parser.last_id else {}
        return path + (f"&starting_after={self._number}" if self._number >= 0 else ""), {}

    def begin(self) -> None:
        self._parser.reset()

    def feed(self, piece: bytes) -> None:
        for message in self._parser.feed(piece):
            assert not self.done, f"something after the end: {message}"
            event = message.json
            self.heard()
            number = event["sequence_number"]
            again = self.by_place and message.id is None  # an event without a place comes again after the one before
            if number <= self._number and not again:
                raise Disjoint(number - 1, self._number)
            self._number = max(number, self._number)
            if event["type"] == "response.output_text.delta":
                self.grow(event["delta"])
            elif event["type"] == "error":
                self.error = event["code"]
                self.over()
            elif event["type"] in ("response.completed", "response.failed", "response.incomplete"):
                self._said = event["response"]
                self.over()

    def closed(self) -> None:
        assert self.done, "the body ended as if the answer were whole"

    def judge(self, stored: Stored) -> Iterator[str]:
        if self.error is not None:
            if self.error != "restarted" or not stored.taken_back:
                yield f"was told {self.error}, and it ended as {stored.end}"
            return
        yield from super().judge(stored)
        if self.done:
            parts = [part for item in self._said["output"] for part in item.get("content", ())]
            if "".join(part["text"] for part in parts) != stored.text:
                yield f"was given another whole: {self._said}"
            if (self._said["status"] == "completed") != (stored.end["status"] == "completed"):
                yield f"was told {self._said['status']}, and it ended as {stored.end}"
