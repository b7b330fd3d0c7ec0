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
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct
from redis.asyncio import Redis, Sentinel
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from headwater.entropy import full_jitter
from headwater.errors import ConfigError, StoreUnavailable

# The oldest whose scripts may ask for the time before they write, and the oldest that Debian and others still mend.
OLDEST = (6, 2)
# The beginnings of the addresses that lead here.
REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")
# Requests under way at once; each has a connection. More would only queue up within Redis, which has one thread.
CONNECTIONS = 64

# Errors that pass: a failover, a restart, a full memory, a replica or script that is in the way. Of some redis-py
# takes the beginning away and makes a class; a script's error may have it in its middle.
_PASSING = (ClusterDownError, MasterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError)
_PASSING_TEXT = re.compile(
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
        parts = _parts(url)
        if not parts.scheme.endswith("+sentinel"):
            _check_address(parts)
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
        redis: Redis = self._sentinel.master_for(place.service, max_connections=2 * CONNECTIONS)
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
            except RedisError as error:
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
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            # uvloop raises a RuntimeError where a connection was lost just before it is written to.
            raise StoreUnavailable(f"The store does not answer: {_outwardly(error)}.") from error
        for reply in replies:
            if isinstance(reply, ResponseError) and _passes(reply):
                raise StoreUnavailable(f"The store refuses for now: {_reason(reply)}.") from reply
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
    if info.get("redis_mode") == "sentinel":
        raise ConfigError(f"the store {name} is a Sentinel: write redis+sentinel://HOST:PORT/SERVICE/DB")
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


# What an address may say after its "?", as redis-py names it. Its other options are ours to choose.
_TLS_OPTIONS = {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}


def _parts(url: str) -> SplitResult:
    """The URL, taken apart where that can be done in one way only. Raises ValueError, which shows no secret."""
    parts = urlsplit(url)
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError(f"it begins with {'://, '.join(REDIS_SCHEMES)}://")
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("in a name or password write %40 for @, %2F for /, %3F for ? and %23 for #")
    return parts


def _check_address(parts: SplitResult) -> None:
    """What redis-py would pass over, or only notice at the first connection. Raises ValueError."""
    _port(parts)
    _database(parts.path.strip("/"))
    _check_options(parts.query, _TLS_OPTIONS if parts.scheme == "rediss" else set())


def _check_options(query: str, known: set[str]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - known:
        may = f"; {', '.join(sorted(known))} may be given" if known else ""
        raise ValueError(f"{', '.join(sorted(unknown))} means nothing here{may}")
    return options


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]*", text):
        raise ValueError(f"the database must be a number, not {text!r}")
    return int(text or 0)


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ValueError("a port is a number up to 65535") from None


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
    username, colon, password = credentials.partition(":")
    options = _check_options(query, {"sentinel_password"})
    return _Place(
        hosts=[_host_port(host) for host in hosts.split(",")],
        service=service,
        db=_database(db),
        username=unquote(username) or None if at else None,
        password=unquote(password) if colon else None,
        sentinel_password=options.get("sentinel_password"),
        tls=scheme.startswith("rediss"),
    )


def _host_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host has no name")
    return parts.hostname, _port(parts) or _SENTINEL_PORT


def without_secrets(url: str) -> str:
    """The URL without what it may hold of a password, to be shown."""
    scheme, separator, rest = url.partition("://")
    plain, _, query = rest.partition("?")
    if "@" in query:  # somebody's password may hold a "?", and where it begins nobody can tell
        return f"{scheme}{separator}…"
    return f"{scheme}{separator}{plain.rpartition('@')[2]}"


def _passes(error: ResponseError) -> bool:
    return isinstance(error, _PASSING) or _PASSING_TEXT.search(str(error)) is not None


def _reason(error: BaseException) -> str:
    """Why it failed, in a few words."""
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return "no answer in time"
    text = str(error).partition(" : <")[0]  # after which Sentinel's client shows its inside
    text = " ".join(text.split()).rstrip(".")
    return text or type(error).__name__


def _outwardly(error: BaseException) -> str:
    """The same for a caller, whom the address does not concern."""
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return "no answer in time"
    return "it is loading its data" if isinstance(error, BusyLoadingError) else "there is no connection"


def _lower(error: BaseException) -> str:
    text = _reason(error)
    return text[:1].lower() + text[1:]
