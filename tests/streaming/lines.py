"""A reader of a run's NDJSON that is cut at any byte and resumes with `?after=`."""

import json
from typing import Any

import httpx2

from tests.support.sse import Follower, Message


class LineReader:
    """One reader; what it has read is in `follower`."""

    def __init__(self, client: httpx2.AsyncClient, run_id: str) -> None:
        self.follower = Follower()
        self.position = ""
        self._client = client
        self._path = f"/v1/runs/{run_id}/events"

    async def read(self, cut_after: int | None = None) -> bool:
        """One connection, of at most so many bytes of the body; whether there may be more."""
        params = {"format": "ndjson"} | ({"after": self.position} if self.position else {})
        self.follower.connected()
        rest = b""
        async with self._client.stream("GET", self._path, params=params) as response:
            if response.status_code == 204:
                return False
            assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
            async for chunk in response.aiter_raw():
                *lines, rest = (rest + chunk[:cut_after]).split(b"\n")
                for line in lines:
                    self._take(line)
                if cut_after is not None:
                    cut_after -= len(chunk)
                    if cut_after <= 0:
                        return True
        assert not rest, f"the last line is not whole: {rest!r}"
        return True

    def _take(self, line: bytes) -> None:
        if not line:
            return  # a keep-alive
        data: dict[str, Any] = json.loads(line)
        event = data.pop("event")
        position = None if event == "run" else data.pop("id")
        self.follower.take(Message(event, json.dumps(data), position))
        self.position = position or self.position
