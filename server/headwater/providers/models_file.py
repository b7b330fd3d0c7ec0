"""`headwater.toml`: the models that the operator names, checked word by word.

Every problem is one ConfigError of one line: file, model, key, and what is wrong with it. Secrets
are held as `Secret`, which prints as stars, and no message quotes a value that could be one.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.datastructures import Secret

from headwater.errors import ConfigError
from headwater.providers.continuation import Continuation
from headwater.providers.strict import Misfit, convert

TokenLimitField = Literal["max_tokens", "max_completion_tokens"]
# A day: whoever wants to wait longer than that for a token has another problem.
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
# Beyond what any model writes; a larger number is a slip.
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
# As long as the `model` of a request may be.
Name = Annotated[str, Meta(min_length=1, max_length=256)]

# Thousands of models fit; a larger file is some other file, named by mistake.
FILE_BYTES_MAX = 1024 * 1024

# RFC 9110: a header's name is a token, its value visible characters, spaces and tabs. None can split a request.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?")
_FUNCTION = re.compile(r"python:[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class ModelSpec(Struct, frozen=True, kw_only=True):
    """One `[models.NAME]`. `provider` is "openai", "anthropic", "ollama", "demo" or "python:module:function".

    `upstream_model` is what the upstream calls it; `token_limit_field` how it spells `max_output_tokens`;
    `include_usage` whether it may be asked to count; `max_output_tokens` the limit of a request that names none.
    `continuation` is how the upstream goes on with an answer that was broken off; `restart` whether one that cannot
    be gone on with begins anew. `where` names file and table, for messages.
    """

    name: str
    provider: str
    where: str
    base_url: str | None = None
    upstream_model: str
    api_key: Secret | None = None
    headers: Mapping[str, Secret] = {}
    fallbacks: tuple[str, ...] = ()
    continuation: Continuation = "none"
    restart: bool = False
    token_limit_field: TokenLimitField = "max_tokens"
    include_usage: bool = True
    max_output_tokens: Count | None = None
    first_token_timeout_s: float | None = None
    idle_timeout_s: float | None = None

    @property
    def kind(self) -> str:
        """What makes this provider: "openai", "anthropic", "ollama", "demo" or "python"."""
        return self.provider.partition(":")[0]


class ModelsFile(Struct, frozen=True):
    """What a models file says. `source` is its name, for messages."""

    source: str
    default: str | None = None
    models: tuple[ModelSpec, ...] = ()


class _Top(Struct, frozen=True, forbid_unknown_fields=True):
    default: Name | None = None
    models: dict[str, Any] = {}


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[models.NAME]` as it is written. Unset is not the same as the default: it is fine with any provider."""

    provider: str
    base_url: str | None = None
    model: Name | None = None
    api_key: str | None = None
    headers: dict[str, str] = {}
    fallbacks: list[Name] = []
    continuation: Continuation | UnsetType = UNSET
    restart: bool = False
    token_limit_field: TokenLimitField | UnsetType = UNSET
    include_usage: bool | UnsetType = UNSET
    max_output_tokens: Count | None = None
    first_token_timeout_s: Seconds | None = None
    idle_timeout_s: Seconds | None = None


_DEFAULTS = Table(provider="")
# Providers that ask a server, with an address to copy.
UPSTREAMS = {
    "openai": "http://127.0.0.1:8080/v1",
    "anthropic": "https://api.anthropic.com",
    "ollama": "http://127.0.0.1:11434",
}
# How the servers of each can go on with an answer; the first where the file does not say.
CONTINUATIONS: Mapping[str, Sequence[Continuation]] = {
    "openai": ("none", "vllm", "prefix", "trailing"),
    "anthropic": ("trailing", "none"),
    "ollama": ("trailing", "none"),
}
# Keys that mean nothing to some providers, and to which they do.
KEYS_OF: Mapping[str, Sequence[str]] = {
    "base_url": tuple(UPSTREAMS),
    "model": tuple(UPSTREAMS),
    "api_key": tuple(UPSTREAMS),
    "headers": tuple(UPSTREAMS),
    "continuation": tuple(UPSTREAMS),
    "token_limit_field": ("openai",),
    "include_usage": ("openai",),
    "max_output_tokens": ("anthropic",),
}


def read_models(path: Path, environ: Mapping[str, str]) -> ModelsFile:
    """The models file at `path`; `environ` answers its `env:NAME`. Raises ConfigError. Call it at start: it reads."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: is larger than {FILE_BYTES_MAX} bytes, so it is hardly a models file")
    try:
        return parse_models(data.decode(), source=str(path), environ=environ)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def parse_models(text: str, *, source: str, environ: Mapping[str, str]) -> ModelsFile:
    """The models that `text`, in TOML, describes. Raises ConfigError."""
    try:
        top = convert(tomllib.loads(text), _Top, at="")
        specs = tuple(_spec(name, value, source, environ) for name, value in top.models.items())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply") from None
    except Misfit as misfit:
        # A quoted TOML key may hold a line break.
        raise ConfigError(" ".join(f"{source}: {misfit.path.removeprefix('.')}: {misfit.why}".split())) from None
    return ModelsFile(source, top.default, specs)


def _spec(name: str, value: object, source: str, environ: Mapping[str, str]) -> ModelSpec:
    """One table, checked. Raises Misfit."""
    at = f"models.{name}"
    if not 1 <= len(name) <= 256 or not name.isprintable():
        raise Misfit(at[:64], "a model's name has 1 to 256 printable characters")
    table = convert(value, Table, at=at)
    _check_provider(table, at)
    for fallback in table.fallbacks:
        if fallback == name or table.fallbacks.count(fallback) > 1:
            raise Misfit(f"{at}.fallbacks", f"names {fallback!r} twice, or for itself")
    headers = {key: Secret(_reveal(text, environ, f"{at}.headers.{key}")) for key, text in table.headers.items()}
    for key, secret in headers.items():
        if not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(str(secret)):
            raise Misfit(f"{at}.headers.{key}", "cannot be sent as an HTTP header")
    api_key = None
    if table.api_key is not None:
        api_key = Secret(_reveal(table.api_key, environ, f"{at}.api_key"))
        if not _HEADER_VALUE.fullmatch(str(api_key)):
            raise Misfit(f"{at}.api_key", "is empty, or has characters that no HTTP header can carry")
    return ModelSpec(
        name=name,
        provider=table.provider,
        where=f"{source}: {at}",
        base_url=table.base_url,
        upstream_model=table.model or name,
        api_key=api_key,
        headers=headers,
        fallbacks=tuple(table.fallbacks),
        continuation=table.continuation or CONTINUATIONS.get(table.provider, ("none",))[0],
        restart=table.restart,
        token_limit_field=table.token_limit_field or "max_tokens",
        include_usage=table.include_usage is not False,
        max_output_tokens=table.max_output_tokens,
        first_token_timeout_s=table.first_token_timeout_s,
        idle_timeout_s=table.idle_timeout_s,
    )


def _check_provider(table: Table, at: str) -> None:
    """Each provider has the keys that it needs and none that it would ignore."""
    if table.provider in UPSTREAMS:
        if table.base_url is None:
            example = UPSTREAMS[table.provider]
            raise Misfit(f"{at}.base_url", f'is required with provider = "{table.provider}", such as "{example}"')
        if wrong := _wrong_with(table.base_url):
            raise Misfit(f"{at}.base_url", wrong)
    elif table.provider != "demo" and not _FUNCTION.fullmatch(table.provider):
        known = ", ".join(f'"{name}"' for name in (*UPSTREAMS, "demo"))
        raise Misfit(f"{at}.provider", f'Expected {known} or "python:package.module:function"')
    for key, providers in KEYS_OF.items():
        if table.provider not in providers and getattr(table, key) != getattr(_DEFAULTS, key):
            only = " or ".join(f'"{name}"' for name in providers)
            raise Misfit(f"{at}.{key}", f"belongs to provider = {only} only")
    if table.continuation and table.continuation not in (ways := CONTINUATIONS[table.provider]):
        raise Misfit(f"{at}.continuation", f'must be {" or ".join(ways)} with provider = "{table.provider}"')


def check_continuation(word: str, at: str) -> Continuation:
    """How a server that speaks chat completions goes on, in a `word`. Raises ConfigError, beginning with `at`."""
    ways = CONTINUATIONS["openai"]
    if word and word not in ways:
        raise ConfigError(f"{at}: must be {' or '.join(ways)}")
    return next((way for way in ways if way == word), ways[0])


def check_base_url(url: str, at: str) -> None:
    """Raise ConfigError, beginning with `at`, unless `url` is where an HTTP server can be."""
    if wrong := _wrong_with(url):
        raise ConfigError(f"{at}: {wrong}")


def _wrong_with(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is not a port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[^\x21-\x7e]", url):
        return "must be an http:// or https:// URL"
    if parts.username is not None:
        return "must hold no user name or password, which would be printed; send the key as a header"
    if parts.query or parts.fragment:
        return "must end with its path, before any ? or #"
    return None


def _reveal(text: str, environ: Mapping[str, str], at: str) -> str:
    """The value itself, or of the environment variable that `env:NAME` names."""
    if not text.startswith("env:"):
        return text
    variable = text.removeprefix("env:").strip()
    value = environ.get(variable, "").strip()
    if not value:
        raise Misfit(at, f"the environment variable {variable} is not set")
    return value
