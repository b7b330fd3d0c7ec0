"""One worker's way to Redis. Nothing else makes connections to it.

redis-py keeps the connections; its own retries are off, for every write of ours is idempotent and tried again by
whoever knows what it means. What redis-py raises ends here.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from redis.asyncio import Redis, Sentinel
from redis.asyncio.client import PubSub
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from headwater.entropy import full_jitter
from headwater.errors import ConfigError, StoreUnavailable

# The oldest whose scripts may ask for the time before they write, and the oldest that Debian and others still mend.
OLDEST = (6, 2)
# The beginnings of the addresses that lead here.
REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")
# Requests under way at once; each has a connection. More would only queue up within Redis, which has one thread.
CONNECTIONS = 64

# Beginnings of errors that pass: a failover, a restart, a full memory, a replica or script that is in the way.
_PASSING = re.compile(
    r"\b(LOADING|READONLY|OOM|MISCONF|MASTERDOWN|NOREPLICAS|BUSY|TRYAGAIN|CLUSTERDOWN|UNBLOCKED)\b|command not allowed"
)
_SENTINEL_PORT = 26379

Command = Sequence[str | bytes | int | float]


class Script(Struct, frozen=True):
    """A Lua script, and the name by which Redis keeps it."""

    text: str
    sha: str


def script(text: str) -> Script:
    """The script with this text."""
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


class RedisClient:
    """Sends pipelines. `url` is redis://, rediss:// or redis+sentinel://HOST,HOST/SERVICE/DB; raises ConfigError.

    `timeout_s` bounds a connection and each reply.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.name = without_secrets(url)
        self._timeout_s = timeout_s
        self._scripts: dict[str, Script] = {}
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._sentinel: Sentinel | None = None
        try:
            self._redis = self._connect(url)
        except ValueError as error:
            raise ConfigError(f"the store {self.name} is no address: {error}") from None

    def __repr__(self) -> str:
        return f"<RedisClient {self.name}>"

    def _connect(self, url: str) -> Redis:
        options: dict[str, Any] = {
            "socket_timeout": self._timeout_s,
            "socket_connect_timeout": self._timeout_s,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,  # nothing of ours is pushed but news, which both versions know
            "client_name": "headwater",
            "driver_info": None,  # finding its own version reads the disk at each connection
        }
        if urlsplit(url).scheme not in ("redis+sentinel", "rediss+sentinel"):
            return Redis.from_url(url, max_connections=2 * CONNECTIONS, **options)
        place = _sentinel_place(url)
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # as redis-py has it
            place.hosts,
            sentinel_kwargs=options | {"password": place.sentinel_password},
            **options,
            username=place.username,
            password=place.password,
            db=place.db,
            ssl=place.tls,
        )
        redis: Redis = self._sentinel.master_for(place.service)
        return redis

    # -- opening

    async def open(self, wait_s: float = 0.0) -> None:
        """Return once a Redis that can be used has answered, for which to wait so long. Raises ConfigError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        tries = 0
        while True:
            try:
                check(await self._redis.info(), self.name)
                return
            except (AuthenticationError, NoPermissionError) as error:
                raise ConfigError(f"the store {self.name} refuses us: {_lower(error)}") from None
            except (RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError) as error:
                # redis-py says so of a database that is not there.
                if "database" in str(error).lower():
                    raise ConfigError(f"the store {self.name} has no database of that number") from None
                if loop.time() >= deadline:
                    raise ConfigError(f"the store {self.name} cannot be reached: {_reason(error)}") from None
            except ResponseError as error:
                if "db index" in str(error).lower():
                    raise ConfigError(f"the store {self.name} has no database of that number") from None
                raise ConfigError(f"the store {self.name} cannot be used: {_lower(error)}") from None
            tries += 1
            await asyncio.sleep(min(full_jitter(tries, base_s=0.1, cap_s=1.0), max(0.0, deadline - loop.time())))

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
        for sentinel in self._sentinel.sentinels if self._sentinel is not None else ():
            await sentinel.aclose()

    # -- requests

    def call(self, script: Script, keys: Sequence[str], *args: str | bytes | int | float) -> Command:
        """The command that runs a script."""
        self._scripts.setdefault(script.sha, script)
        return ("EVALSHA", script.sha, len(keys), *keys, *args)

    async def pipeline(self, commands: Sequence[Command], *, urgent: bool = False) -> list[Any]:
        """The reply to each, in order; a ResponseError stands for itself, unless it passes.

        An `urgent` one does not queue with the others. Raises StoreUnavailable; then nothing is known of any of them.
        """
        if urgent:
            return await self._pipeline(commands)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            raise StoreUnavailable("Too many requests are waiting for the store.", limit=CONNECTIONS) from None
        try:
            return await self._pipeline(commands)
        finally:
            self._slots.release()

    async def one(self, command: Command, *, urgent: bool = False) -> Any:
        """The reply to one command. Raises StoreUnavailable, ResponseError."""
        (reply,) = await self.pipeline([command], urgent=urgent)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._send(commands)
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            # A restart or a failover forgot the scripts. Only what did not run is sent again.
            shas = {str(commands[n][1]) for n in unknown}
            loads: list[Command] = [("SCRIPT", "LOAD", self._scripts[sha].text) for sha in shas]
            again = await self._send([*loads, *(commands[n] for n in unknown)])
            for n, reply in zip(unknown, again[len(loads) :], strict=True):
                replies[n] = reply
        return replies

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.response_callbacks = {}  # replies as Redis sends them
        for command in commands:
            pipeline.execute_command(*command)
        try:
            with cancellable():
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"The store does not answer: {_reason(error)}.") from error
        for reply in replies:
            if isinstance(reply, ResponseError) and _PASSING.search(str(reply)):
                raise StoreUnavailable(f"The store refuses for now: {reply}.") from reply
        return replies

    def listener(self) -> PubSub:
        """A connection for news, not yet made."""
        return self._redis.pubsub()


@contextmanager
def cancellable() -> Iterator[None]:
    """A cancel within is a cancel: redis-py sends through asyncio.wait_for, which loses some before Python 3.12."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


# -- what may be used


def check(info: dict[str, Any], name: str) -> None:
    """Return if a Redis that says this of itself may be used. Raises ConfigError."""
    version = str(info.get("redis_version", "0"))
    if _numbers(version) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise ConfigError(f"the store {name} is Redis {version}: it must be {wanted} or newer")
    if info.get("cluster_enabled"):
        raise ConfigError(f"the store {name} is a Redis Cluster: name a single Redis, or one behind Sentinel")
    if info.get("role") == "slave":
        raise ConfigError(f"the store {name} is a replica, which cannot be written: name its primary, or Sentinel")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ConfigError(
            f"the store {name} may forget what it was given (maxmemory-policy is {policy}): set it to noeviction"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", version)[:2])


# -- addresses


class _Place(Struct, frozen=True):
    """Where Sentinel's URL leads."""

    hosts: list[tuple[str, int]]
    service: str
    db: int
    username: str | None
    password: str | None
    sentinel_password: str | None
    tls: bool


def _sentinel_place(url: str) -> _Place:
    """The parts of `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DB`. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    credentials, at, rest = rest.rpartition("@")
    hosts, _, path = rest.partition("/")
    service, _, db = path.partition("/")
    if not hosts or not service:
        raise ValueError("write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB")
    if db and not db.isdigit():
        raise ValueError(f"the database must be a number, not {db!r}")
    username, colon, password = credentials.partition(":")
    options = dict(part.partition("=")[::2] for part in query.split("&") if part)
    if unknown := options.keys() - {"sentinel_password"}:
        raise ValueError(f"{', '.join(sorted(unknown))} means nothing here; sentinel_password may be given")
    return _Place(
        hosts=[_host_port(host) for host in hosts.split(",")],
        service=service,
        db=int(db or 0),
        username=unquote(username) or None if at else None,
        password=unquote(password) if colon else None,
        sentinel_password=unquote(options["sentinel_password"]) if "sentinel_password" in options else None,
        tls=scheme.startswith("rediss"),
    )


def _host_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host has no name")
    return parts.hostname, parts.port or _SENTINEL_PORT


def without_secrets(url: str) -> str:
    """The URL without what it may hold of a password, to be shown."""
    scheme, separator, rest = url.partition("://")
    rest = rest.partition("?")[0]
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _reason(error: BaseException) -> str:
    """Why it failed, in a few words."""
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return "no answer in time"
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


def _lower(error: BaseException) -> str:
    text = _reason(error)
    return text[:1].lower() + text[1:]
