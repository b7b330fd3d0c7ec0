"""What the load is told, and what it tells."""

from typing import Literal

from msgspec import Struct

from tests.bench.servers import Server


class Job(Struct, frozen=True):
    """What to do: so many streams of so many tokens; `chat` over chat completions, otherwise over the native wire.

    Of rooms, the streams are members and the tokens messages; `chat` is Socket.IO's.
    """

    kind: Literal["relay", "fanout", "idle", "litellm", "rooms"]
    chat: bool
    streams: int
    rate: int
    tokens: int
    server: Server
    upstream: Server
    producer: Server | None = None
    """The worker that is told to start the run, where it is not the one that is followed."""

    @property
    def order(self) -> str:
        """The prompt that makes the upstream send this."""
        return f"rate={self.rate} tokens={self.tokens}"


class Result(Struct, kw_only=True):
    """What was seen. A share is of one core, while streaming; `others` is all else on the machine.

    `redis` is a Redis that is counted apart; `unlike` are a room's members who did not see what the first one saw.

    `errors` has one line for each stream that was not what was sent.
    """

    cpu_us: float = 0.0
    redis_us: float = 0.0
    first_ms: tuple[float, float] = (0.0, 0.0)
    delay_ms: tuple[float, float] = (0.0, 0.0)
    idle_kb: float = 0.0
    server_share: float = 0.0
    redis_share: float = 0.0
    upstream_share: float = 0.0
    load_share: float = 0.0
    others_share: float = 0.0
    late_p99_ms: float = 0.0
    unlike: int = 0
    errors: list[str] = []
