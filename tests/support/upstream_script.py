"""What the scripted upstream can be told to do, and how it does it."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tests.support.upstream_continuation import Refused, rest
from tests.support.upstream_wires import ReportedUsage, Wire

Fault = Literal[
    "close_before_headers",
    "reset_before_headers",
    "silence",  # nothing at all, not even headers
    "cut",  # the connection is closed, in mid-body
    "reset",  # the same with a RST
    "stall",  # nothing more comes; with `keep_alive_s` comments do
    "malformed",  # one line that is not JSON, then on as before
    "error",  # an error event, then the end of the body
    "error_done",  # an error event, then [DONE], or what the wire has in its place
    "done",  # [DONE], or its like, at once, without a finish_reason
]

# A RST throws away what the reader has not fetched. It is given this long to fetch it, so that tests know what it saw.
_BEFORE_RESET_S = 0.1


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the upstream does with one request. Without anything it is eight tokens and a clean end.

    The order: `refusals`, then `status`; headers; `start_s`; the tokens, `interval_s` apart, with `fault` after the
    first `after` of them; the finish_reason; the usage; [DONE]; the end of the body.

    A request that ends in an assistant's message gets what follows that in the text, in other pieces than at first.
    Requests are counted by their script (or model) and their conversation without that last message.
    """

    # What is different at the first requests for one answer: `[{"fault": "cut", "after": 7}, {"status": 503}]`.
    tries: list[dict[str, Any]] = []
    # Statuses of the first requests for it; 0 is a RST, 200 an error that will pass, where the answer should be.
    refusals: list[int] = []
    retry_after: str | None = None  # header of every refusal
    status: int = 200
    content_type: str | None = None  # its wire's own
    body: str | None = None  # sent instead of everything below; a refusal has an error of its own
    start_s: float = 0.0  # from the headers to the first token
    tokens: int = 8  # so many words "0 1 2 …"
    pieces: list[str] | None = None  # these texts instead
    deltas: list[dict[str, Any]] | None = None  # these `delta` objects instead
    interval_s: float = 0.0  # between tokens
    keep_alive_s: float | None = None  # a comment whenever so long nothing else is sent while it waits
    split: int | None = None  # so many bytes a packet, wherever that cuts; 1 is one by one
    fault: Fault | None = None
    after: int = 0  # tokens of this request before the fault
    # To what is written comes the rest; or all of it once more, as some do who know `prefix`; or a 400.
    continuing: Literal["rest", "echo", "refuse"] = "rest"
    finish_reason: str | None = "stop"
    usage: ReportedUsage = "end"  # "every" chunk has it, as vLLM's continuous usage
    done: bool = True  # whether [DONE] comes
    # "close" has no framing; "cut" has, but closes without the last chunk; "open" never ends the body.
    end: Literal["chunked", "close", "cut", "open"] = "chunked"

    def extra(self) -> dict[str, Any]:
        """The `extra` of a run that brings this script to the upstream."""
        return {"script": msgspec.to_builtins(self)}

    def json(self) -> bytes:
        """The script as it stands in a body."""
        return msgspec.json.encode(self)

    @property
    def text(self) -> str:
        """The text of the whole answer, were there no fault."""
        return "".join(delta.get("content") or "" for delta in self.all_deltas())

    def all_deltas(self) -> list[dict[str, Any]]:
        """The `delta` of each token."""
        if self.deltas is not None:
            return self.deltas
        return [{"content": piece} for piece in self.pieces or [f"{number} " for number in range(self.tokens)]]

    def deltas_after(self, written: str) -> list[dict[str, Any]]:
        """The same for a request that brings the beginning of the answer. Raises Refused."""
        if not written:
            return self.all_deltas()
        if self.continuing == "refuse":
            raise Refused("This model does not support assistant message prefill.")
        if any(delta.keys() - {"role", "content"} for delta in self.all_deltas()):
            raise Refused("the script's answer is not text alone")
        pieces = [delta.get("content") or "" for delta in self.all_deltas()]
        return [{"content": piece} for piece in rest(pieces, written, echo=self.continuing == "echo")]

    def at(self, number: int) -> "Script":
        """What is done with the request of this number, from 0 on, for one answer."""
        if number >= len(self.tries):
            return self
        return msgspec.convert(msgspec.to_builtins(self) | {"tries": []} | self.tries[number], Script)


@dataclass
class Exchange:
    """One request and what became of it. Times are monotonic seconds, one clock for all processes of a machine."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    status: int = 0  # 0: no answer was begun
    written: str = ""  # the beginning of the answer that the request brought
    tokens_sent: int = 0
    started_at: float = field(default_factory=time.monotonic)
    answered_at: float | None = None  # the script came to its end
    closed_at: float | None = None  # the peer closed the connection before that


class Answer:
    """One script being played to one request. `writable` is clear while the peer does not read. Raises Refused."""

    def __init__(
        self, transport: asyncio.Transport, writable: asyncio.Event, exchange: Exchange, script: Script, wire: Wire
    ) -> None:
        self._transport = transport
        self._writable = writable
        self._exchange = exchange
        self._script = script
        self._deltas = script.deltas_after(exchange.written)
        self._wire = wire

    async def play(self, status: int, *, refused: bool) -> None:
        """From the headers to the end of the body; `refused` says that the status is that of a refusal."""
        script = self._script
        if status == 0 or script.fault == "reset_before_headers":
            return self._reset()
        if script.fault == "close_before_headers":
            return self._transport.close()
        if script.fault == "silence":
            await asyncio.Event().wait()
        self._exchange.status = status
        if status != 200:
            return self._refuse(status)
        self._head()
        if refused:
            await self._send(self._wire.start() + self._wire.error(passing=True))
        elif script.body is not None:
            await self._send(script.body.encode())
        else:
            await self._send(self._wire.start())
            await self._wait(script.start_s)
            if not await self._tokens():
                return None
            await self._ending()
        await self._end_of_body()

    def _refuse(self, status: int) -> None:
        extra = {"retry-after": self._script.retry_after} if self._script.retry_after else {}
        error = {"error": {"message": f"scripted {status}", "type": "scripted", "code": None}}
        body = self._script.body or json.dumps(error)
        self._transport.write(reply(status, "application/json", body.encode(), extra))

    def _head(self) -> None:
        framing = "connection: close" if self._script.end == "close" else "transfer-encoding: chunked"
        content_type = self._script.content_type or self._wire.content_type
        self._transport.write(f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{framing}\r\n\r\n".encode())

    async def _tokens(self) -> bool:
        """Whether the answer goes on to its ending."""
        script = self._script
        start = time.monotonic()
        for number, delta in enumerate(self._deltas):
            if number == script.after and script.fault and not await self._fault(script.fault):
                return False
            await self._wait(start + number * script.interval_s - time.monotonic())
            await self._send(self._wire.token(delta, self._exchange.tokens_sent))
            self._exchange.tokens_sent += 1
        if script.fault and script.after >= self._exchange.tokens_sent:
            return await self._fault(script.fault)
        return True

    async def _fault(self, fault: Fault) -> bool:
        """Whether the answer goes on after it."""
        match fault:
            case "malformed":
                await self._send(self._wire.garbage)
                return True
            case "stall":
                await self._wait(float("inf"))
            case "cut":
                self._transport.close()
            case "reset":
                await asyncio.sleep(_BEFORE_RESET_S)
                self._reset()
            case "error" | "error_done":
                await self._send(self._wire.error())
                if fault == "error_done":
                    await self._send(self._wire.done())
                await self._end_of_body()
            case "done":
                await self._send(self._wire.done())
                await self._end_of_body()
        return False

    async def _ending(self) -> None:
        script = self._script
        for piece in self._wire.ending(script.finish_reason, script.done, self._exchange.tokens_sent):
            await self._send(piece)

    async def _end_of_body(self) -> None:
        match self._script.end:
            case "chunked":
                self._transport.write(b"0\r\n\r\n")
            case "close" | "cut":
                self._transport.close()
            case "open":
                await self._wait(float("inf"))

    async def _send(self, data: bytes) -> None:
        size = self._script.split or max(1, len(data))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            framed = piece if self._script.end == "close" else b"%x\r\n%b\r\n" % (len(piece), piece)
            self._transport.write(framed)
            await self._writable.wait()
            if self._script.split:
                await asyncio.sleep(0)  # so that they are written, and often arrive, one by one

    async def _wait(self, seconds: float) -> None:
        """Wait, keeping the line alive if the script says so."""
        until = time.monotonic() + seconds
        step = self._script.keep_alive_s or float("inf")
        while (left := until - time.monotonic()) > 0:
            if min(left, step) == float("inf"):
                await asyncio.Event().wait()
            await asyncio.sleep(min(left, step))
            if left > step:
                await self._send(self._wire.keep_alive)

    def _reset(self) -> None:
        # Lingering for no time makes the kernel send a RST where it would send a FIN.
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def reply(status: int, content_type: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {content_type}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
