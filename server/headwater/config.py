"""Every setting, with its unit, its default and the reason for it.

A setting is named after its field: `lease_s` is `HEADWATER_LEASE_S`, in the environment or `.env`.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from starlette.datastructures import CommaSeparatedStrings, Secret

from headwater.errors import ConfigError

PREFIX = "HEADWATER_"


class Config(Struct, frozen=True, kw_only=True):
    """The settings of one worker. `Config()` is what a laptop wants."""

    # -- where
    host: str = "127.0.0.1"  # loopback: whoever reaches it is the one who started it
    port: int = 8000
    store: str = "sqlite:headwater.db"
    models: str = "headwater.toml"  # read if it exists; naming another makes it compulsory
    workers: int = 1
    faults: bool = False  # whoever may ask for faults can stall and cut answers
    any_model: bool = False  # a mistyped name is better refused here
    log_level: str = "info"

    # -- who may come (docs/access.md)
    keys: Secret = Secret("")  # the app's own API keys, for a set-up without `headwater keys`
    jwt_alg: str = ""  # HS256, RS256 or EdDSA: never what a token says of itself
    jwt_secret: Secret = Secret("")  # for HS256
    jwt_jwks: str = ""  # a file of public keys
    jwt_issuer: str = ""  # "": any
    jwt_audience: str = ""  # "": any
    jwt_skew_s: float = 10.0  # a minter's clock may be ahead of ours by this; expiry is exact
    insecure_no_auth: bool = False  # listen beyond loopback though nobody is asked who they are
    origins: CommaSeparatedStrings = CommaSeparatedStrings("")  # of other sites' pages that may use this server
    trusted_hosts: CommaSeparatedStrings = CommaSeparatedStrings(
        ""
    )  # "": any; `serve` fills in <local> on an open loopback
    trusted_proxies: CommaSeparatedStrings = CommaSeparatedStrings("")  # whose X-Forwarded-… is believed
    key_check_s: float = 2.0  # how long a revoked key may still be used, and its streams go on
    socket_auth_s: float = 10.0  # for a WebSocket's first frame to say who it is
    ticket_run_s: float = 900.0  # EventSource comes back with the same URL, so as long as the longest answers take
    ticket_room_s: float = 60.0  # used once, at once

    # -- the page
    page_secret: Secret = Secret("")  # signs the cookie with a guest's name; "": drawn once, and kept in the store

    # -- what one principal or address may use, over all workers; 0: no limit. None holds on an open loopback.
    requests_per_minute: int = 1_200  # of a principal; a busy page makes one a second, a service twenty
    address_requests_per_minute: int = 6_000  # a company's people and services share one
    parallel_runs: int = 200  # of a principal; a fifth of what one worker takes
    connections: int = 500  # of a principal, that follow runs; a service that relays to hundreds of its users
    address_connections: int = 2_000  # a company's people behind one address; a fifth of what one worker takes
    input_bytes: int = 1024 * 1024  # of a run's body; some 250,000 tokens, above most models' context
    output_tokens_per_day: int = 0  # of a principal; what a token costs only the operator knows

    # -- rooms
    rooms_on_the_fly: bool = True  # whoever may write in a room makes it by coming in
    room_commands_per_s: float = 20.0  # of one socket; faster than anybody types, and than a page tells of typing
    room_commands_burst: int = 100  # at once; what a client sends again after it was cut off
    presence_s: float = 15.0  # whose worker died is shown for this long; told three times in it that they are there

    # -- durability
    sqlite_synchronous: str = "NORMAL"  # survives kill -9; FULL also survives power loss, for an fsync a commit
    run_ttl_s: float = 86_400.0  # a day to come back to an answer, as OpenAI-compatible clients expect at least
    idempotency_ttl_s: float = 86_400.0  # the longest that a client's retries reasonably go on
    lease_s: float = 3.0  # how long a dead producer goes unnoticed
    renew_s: float = 1.0  # two renewals may be lost before the lease is
    sweep_s: float = 0.5  # two sweeps must agree before a run is taken, so this is half of what they add to lease_s
    store_timeout_s: float = 2.0  # of one request to a store on the network: a failover is seen before a lease is lost
    wait_for_store_s: float = 0.0  # at the start; an orchestrator may start the store later than us
    redis_prefix: str = "headwater"  # before each key and channel: several may share one Redis
    store_patience_s: float = 30.0  # a store restarts or fails over within this; longer holds tokens nobody keeps
    heal_s: float = 10.0  # how long after its end a run can be written again to a store that lost its last writes

    # -- commits and flushes
    commit_ms: float = 5.0  # a hand-over to the store costs more than waiting this for the next run's tokens
    commit_busy_ms: float = 25.0  # with many runs in each commit; as long as the flush window, which no eye sees
    flush_ms: float = 25.0  # a reader cannot tell 25 ms apart; five tokens a write cost a fifth
    flush_busy_ms: float = 100.0  # what a busy worker may add to a token's delay

    # -- providers
    first_token_timeout_s: float = 120.0  # a large model on a full machine, with a long prompt, still answers in this
    first_byte_s: float = 15.0  # on OpenAI's routes an upstream's error is a status until then; proxies wait for 30
    idle_timeout_s: float = 60.0  # a model that produced nothing for a minute in mid-answer has stopped
    connect_timeout_s: float = 10.0  # one lost SYN is repeated after 1, 3 and 7 s
    upstream_connections: int = 2_000  # above max_runs, so that no run waits for a connection

    # -- tries
    max_attempts: int = 10  # of one run, over all workers and upstreams; each may cost as much as a whole answer
    continue_bytes: int = 256 * 1024  # of an answer that is continued: the upstream reads all of it again, and bills it
    breaker_failures: int = 5  # of one model in a row, after which its fallbacks are asked first
    breaker_rest_s: float = 10.0  # before it is tried again; a restart of a model server takes about as long

    # -- limits of one worker
    max_runs: int = 1_000  # in progress at once; measured: two cores relay some 600 streams at 50 tokens/s
    max_queued: int = 1_000  # waiting for room; beyond, a caller does better to try another worker
    max_subscribers: int = 10_000  # connections; about 20 KB each
    max_body_bytes: int = 4 * 1024 * 1024  # a million tokens of input are about 4 MB
    max_output_bytes: int = 8 * 1024 * 1024  # of one run; 64 times the longest answers of today's models
    max_page: int = 100  # rows in one list
    window_bytes: int = 256 * 1024  # of a live log kept for readers; who is further behind reads the store
    read_bytes: int = 256 * 1024  # of one read from the store for one reader
    append_bytes: int = 256 * 1024  # of one entry; a longer batch is written in several

    # -- connections
    send_buffer_bytes: int = 0  # per connection; 0: the kernel decides, up to megabytes
    keep_alive_s: float = 15.0  # proxies cut silent connections, the strictest common default being 30 s
    slow_reader_s: float = 30.0  # a reader whose socket took nothing for this long is let go, and may resume
    head_timeout_s: float = 30.0  # for a request's body to arrive; nobody types it
    check_s: float = 5.0  # how often the top of a quiet log is compared with the store's
    retry_ms_min: int = 500  # a reconnect is drawn between these, so that a restart is not met by all at once
    retry_ms_max: int = 2_000
    cancel_wait_s: float = 1.0  # how long a cancel waits for the end that it caused
    drain_s: float = 20.0  # for running answers at shutdown; orchestrators kill after 30
    drain_spread_s: float = 2.0  # over which subscribers are let go


def config_from(environ: Mapping[str, str], **overrides: Any) -> Config:
    """The configuration that the environment's `HEADWATER_…` variables describe, `overrides` first.

    Raises ConfigError naming the variable that cannot be used.
    """
    values: dict[str, Any] = {}
    for name, kind in Config.__annotations__.items():
        variable = PREFIX + name.upper()
        if overrides.get(name) is not None:
            values[name] = overrides[name]
        elif environ.get(variable, "") != "":
            values[name] = _parse(variable, environ[variable], kind)
    _check(values)
    return Config(**values)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none: one that is misspelt may decide who gets in."""
    known = {PREFIX + name.upper() for name in Config.__annotations__} | {PREFIX + "URL"}  # which the commands read
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def _parse(variable: str, text: str, kind: Any) -> Any:
    try:
        if kind in (Secret, CommaSeparatedStrings):
            return kind(text)
        return msgspec.convert(text, kind, strict=False)
    except ValueError:  # as msgspec's are, too
        raise ConfigError(f"{variable} must be {_KINDS[kind]}, not {text!r}") from None


_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    CommaSeparatedStrings: "names with commas between",
}


def _check(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            _check_number(name, value)
    synchronous = values.get("sqlite_synchronous", "NORMAL")
    if synchronous not in ("NORMAL", "FULL"):
        raise ConfigError(f"{PREFIX}SQLITE_SYNCHRONOUS must be NORMAL or FULL, not {synchronous!r}")
    config = Config(**values)
    if config.renew_s * 2 >= config.lease_s:
        raise ConfigError(
            f"{PREFIX}RENEW_S ({config.renew_s}) must be less than half of {PREFIX}LEASE_S ({config.lease_s}), "
            "so that one lost renewal does not lose the lease"
        )
    if config.retry_ms_min > config.retry_ms_max:
        raise ConfigError(f"{PREFIX}RETRY_MS_MIN must not be more than {PREFIX}RETRY_MS_MAX")


def _check_number(name: str, value: float) -> None:
    variable, most = f"{PREFIX}{name.upper()}", _AT_MOST.get(name, math.inf)
    if not math.isfinite(value):
        raise ConfigError(f"{variable} must be a finite number, not {value}")
    if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        raise ConfigError(f"{variable} must be {'0 or more' if name in _MAY_BE_ZERO else 'more than 0'}, not {value}")
    if value > most:
        raise ConfigError(f"{variable} must be at most {most}, not {value}")


_AT_MOST = {
    "port": 65_535,
    "send_buffer_bytes": 2**31 - 1,  # what the kernel has room for
    "jwt_skew_s": 300,  # clocks that are further apart are broken
    "key_check_s": 5,  # what is promised of a revocation
}

_MAY_BE_ZERO = frozenset(
    {
        "port",
        "send_buffer_bytes",
        "wait_for_store_s",
        "jwt_skew_s",
        "requests_per_minute",
        "address_requests_per_minute",
        "parallel_runs",
        "connections",
        "address_connections",
        "input_bytes",
        "output_tokens_per_day",
        "commit_ms",
        "commit_busy_ms",
        "flush_ms",
        "flush_busy_ms",
        "drain_s",
        "drain_spread_s",
    }
)
