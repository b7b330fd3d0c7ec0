"""The composition root: the one file that names concrete back ends."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from anyio import CapacityLimiter
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from headwater.access import Access, Quotas
from headwater.access.secrets import configured_keys
from headwater.access.tokens import Tokens
from headwater.background import Background, Forgetting
from headwater.broadcaster.base import Broadcaster
from headwater.broadcaster.local import LocalBroadcaster
from headwater.broadcaster.redis import RedisBroadcaster
from headwater.config import Config, config_from
from headwater.core.events import End
from headwater.core.run import Run
from headwater.departures import Departures
from headwater.entropy import new_secret, new_worker_id
from headwater.errors import ConfigError, HeadwaterError
from headwater.executor import Executor
from headwater.http_client import HttpClient
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.providers.anthropic import MAX_OUTPUT_TOKENS, AnthropicProvider
from headwater.providers.base import Provider
from headwater.providers.catalog import Catalog, build_catalog, discover
from headwater.providers.demo import DemoProvider
from headwater.providers.demo_corpus import load_corpus
from headwater.providers.models_file import ModelsFile, ModelSpec, check_base_url, check_continuation, read_models
from headwater.providers.ollama import OllamaProvider
from headwater.providers.openai import OpenAIProvider, list_models
from headwater.providers.python import AnswerFunction, PythonProvider, load_function, provider_of
from headwater.providers.retry import WITH_FALLBACKS, RetryPolicy
from headwater.providers.upstream import AFTER_FINISH_S, UpstreamOptions
from headwater.redis_client import REDIS_SCHEMES, RedisClient, without_secrets
from headwater.rooms import Companies, Rooms, Talk, Turns
from headwater.rooms.budgets import RoomBudgets
from headwater.rooms.starter import Starter
from headwater.runs import Runs
from headwater.state import AppState
from headwater.store.base import Store
from headwater.store.limits import Limits
from headwater.store.redis import RedisLimits, RedisRooms, RedisStore, RedisVault
from headwater.store.rooms import RoomStore
from headwater.store.sqlite import SqliteLimits, SqliteRooms, SqliteStore, SqliteVault, open_vault_file
from headwater.store.vault import Vault
from headwater.tasks import running
from headwater.web.auth import Credentials, on_refused
from headwater.web.middleware import ResponseHead
from headwater.web.origins import (
    CORS_MAX_AGE_S,
    SENT_HEADERS,
    SHOWN_HEADERS,
    SameSite,
    check_hosts,
    check_origins,
    check_proxies,
)
from headwater.web.refusals import on_headwater_error, on_http_exception
from headwater.web.routes import ROUTES


def create_app(
    config: Config | None = None,
    providers: Mapping[str, Provider | AnswerFunction] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Starlette:
    """A Headwater application; `providers` are further models by name.

    Without `config` the `HEADWATER_…` variables of `environ` say how. Raises ConfigError, here or
    when its lifespan is entered.
    """
    config = config or config_from(environ)
    check(config)
    tokens = Tokens.from_config(config)
    sources = _read_sources(config, providers or {}, environ)
    app = Starlette(
        routes=ROUTES,
        middleware=_middleware(config),
        exception_handlers={
            HeadwaterError: on_headwater_error,
            HTTPException: on_http_exception,
        },
        lifespan=partial(_lifespan, config, sources, tokens, environ),
    )
    app.router.redirect_slashes = False  # a redirect's absolute URL would be of the Host header's making
    return app


def _middleware(config: Config) -> list[Middleware]:
    """From the outside in."""
    layers = []
    if config.trusted_proxies:
        layers.append(Middleware(ProxyHeadersMiddleware, trusted_hosts=list(config.trusted_proxies)))
    if config.origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(config.origins),
                allow_methods=["GET", "POST", "PUT", "DELETE"],
                allow_headers=SENT_HEADERS,
                expose_headers=SHOWN_HEADERS,
                max_age=CORS_MAX_AGE_S,
            )
        )
    layers.append(Middleware(ResponseHead))
    layers.append(Middleware(SameSite, hosts=list(config.trusted_hosts), origins=list(config.origins)))
    layers.append(Middleware(AuthenticationMiddleware, backend=Credentials(), on_error=on_refused))
    return layers


def lifespan(app: Starlette) -> AbstractAsyncContextManager[Mapping[str, object]]:
    """For a host that mounts `app`: enter this in the host's own lifespan and yield its state with the host's.

    Starlette runs no mounted lifespan, and a mounted app sees the state that the host yields.
    """
    return app.router.lifespan_context(app)  # type: ignore[return-value]  # ours always yields its state


@asynccontextmanager
async def _lifespan(
    config: Config, sources: "_Sources", tokens: Tokens | None, environ: Mapping[str, str], app: Starlette
) -> AsyncIterator[AppState]:
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(HttpClient(max_connections=config.upstream_connections))
        catalog = await _build_catalog(config, sources, environ, http)
        stack.push_async_callback(catalog.close)
        worker = new_worker_id()
        store, rooms, broadcaster, vault, limits = build_backend(config, worker)
        await store.open()
        stack.push_async_callback(store.close)
        access = Access(vault, tokens, configured_keys(config.keys), config)
        await access.open()
        page_secret = str(config.page_secret) or await vault.page_secret(new_secret())
        quotas = Quotas(worker, limits, store, config, lambda: access.asks)
        hub = Hub(store, rooms, broadcaster, config, metrics)
        forgetting = Forgetting(store, quotas.run_gone)
        after = _AfterRuns(hub, quotas, forgetting)
        executor = Executor(worker, store, hub, catalog, config, metrics, after.produced)
        broadcaster.on_cancel(worker, executor.stop_cancelled)
        await broadcaster.open()
        stack.push_async_callback(broadcaster.close)
        stack.push_async_callback(hub.close)
        use_cases = Runs(store, hub, executor, catalog, config, quotas, after.ended)
        budgets = RoomBudgets(limits)
        starter = Starter(rooms, catalog, quotas, budgets, hub.publish, executor.wake)
        turns = after.turns = Turns(rooms, starter, budgets, executor, use_cases.stop, shared=store.shared)
        background = Background(store, rooms, executor)
        companies = Companies(worker, limits, hub, metrics, config.presence_s)
        doors = Rooms(rooms, hub, companies, catalog, config)
        talk = Talk(rooms, hub, doors, use_cases, turns, companies, catalog, metrics)
        await stack.enter_async_context(running(hub.look_after, access.look_after, *quotas.loops))
        await stack.enter_async_context(running(companies.look_after, turns.sweep_for_ever, background.sweep_for_ever))
        stack.push_async_callback(turns.close)
        await stack.enter_async_context(running(*executor.loops))
        stack.push_async_callback(forgetting.close)
        stack.push_async_callback(executor.close)
        departures = Departures(store, hub, executor, use_cases.stop)
        stack.push_async_callback(departures.close)
        yield AppState(
            config=config,
            access=access,
            quotas=quotas,
            http=http,
            store=store,
            hub=hub,
            catalog=catalog,
            executor=executor,
            metrics=metrics,
            runs=use_cases,
            rooms=doors,
            talk=talk,
            background=background,
            departures=departures,
            page_secret=page_secret,
            rendering=CapacityLimiter(1),
        )


class _AfterRuns:
    """What follows the end of a run: it is counted, a room hears of it, and one that is not to be stored is removed."""

    def __init__(self, hub: Hub, quotas: Quotas, forgetting: Forgetting) -> None:
        self.turns: Turns | None = None
        self._hub = hub
        self._quotas = quotas
        self._forgetting = forgetting

    def produced(self, run: Run, end: End) -> None:
        """It was produced here."""
        self._quotas.spend(run, end)
        self.ended(run, end)

    def ended(self, run: Run, end: End | None = None) -> None:
        """Its end is stored."""
        self._forgetting.ended(run)
        if run.room is not None:
            self._hub.look(run.room)
            if self.turns is not None:
                self.turns.ended(run, end)


class Backend(NamedTuple):
    """What one worker keeps and hears, all of it in one place."""

    store: Store
    rooms: RoomStore
    broadcaster: Broadcaster
    vault: Vault
    limits: Limits


def build_backend(config: Config, worker: str) -> Backend:
    """What `config.store` names, for one of its workers.

    Raises ConfigError.
    """
    scheme, _, rest = config.store.partition(":")
    if scheme == "sqlite" and rest:
        store = SqliteStore(rest, run_ttl_s=config.run_ttl_s, synchronous=config.sqlite_synchronous)
        return Backend(store, SqliteRooms(store), LocalBroadcaster(), SqliteVault(store), SqliteLimits(store))
    if scheme in REDIS_SCHEMES:
        prefix, timeout_s = config.redis_prefix, config.store_timeout_s
        client = RedisClient(config.store, timeout_s=timeout_s)
        wait_s = config.wait_for_store_s
        return Backend(
            RedisStore(client, worker, prefix=prefix, run_ttl_s=config.run_ttl_s, wait_s=wait_s),
            RedisRooms(client, worker, prefix=prefix),
            RedisBroadcaster(client, worker, prefix=prefix, timeout_s=timeout_s),
            RedisVault(client, prefix=prefix),
            RedisLimits(client, prefix=prefix),
        )
    raise ConfigError(
        f"unknown store {without_secrets(config.store)!r}: use sqlite:FILE (the default is sqlite:headwater.db), "
        "sqlite::memory:, redis://HOST:PORT/DB, rediss://… or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"
    )


@asynccontextmanager
async def open_vault(config: Config) -> AsyncIterator[Vault]:
    """The keys of the store that `config.store` names, beside its servers, which may be running.

    Raises ConfigError.
    """
    scheme, _, rest = config.store.partition(":")
    if scheme == "sqlite" and rest:
        async with open_vault_file(rest) as vault:
            yield vault
        return
    backend = build_backend(config, "")
    await backend.store.open()
    try:
        yield backend.vault
    finally:
        await backend.store.close()


def check(config: Config) -> None:
    """Raises ConfigError for what can be told before anything is started."""
    if config.workers > 1 and config.store.startswith("sqlite:"):
        raise ConfigError(
            f"{config.workers} workers cannot share {config.store}: a SQLite store admits one process, "
            "which fences its runs; use --workers 1, or a Redis (--store redis://…)"
        )
    build_backend(config, "")  # what is wrong with its address shows before anything is started
    Tokens.from_config(config)
    configured_keys(config.keys)
    check_origins(config.origins)
    check_proxies(config.trusted_proxies)
    check_hosts(config.trusted_hosts)


class _Sources(Struct):
    """What answers can come from, as far as it lies on this machine."""

    file: ModelsFile | None
    functions: Mapping[str, Provider]
    given: Mapping[str, Provider]
    demo: Provider


def _read_sources(
    config: Config, providers: Mapping[str, Provider | AnswerFunction], environ: Mapping[str, str]
) -> _Sources:
    """Read the models file, the demo's documents and the user's modules: it blocks. Raises ConfigError."""
    path = Path(config.models)
    # A missing file matters only if it was asked for.
    wanted = config.models != Config().models or path.exists()
    file = read_models(path, environ) if wanted else None
    functions: dict[str, Provider] = {}
    for spec in file.models if file else ():
        if spec.kind == "python":
            try:
                function = load_function(spec.provider.partition(":")[2])
            except ConfigError as error:
                raise ConfigError(f"{spec.where}: {error}") from None
            functions[spec.name] = PythonProvider(function, spec.name)
    given = {name: provider_of(answer, name) for name, answer in providers.items()}
    return _Sources(file, functions, given, DemoProvider(load_corpus(), faults=config.faults))


async def _build_catalog(config: Config, sources: _Sources, environ: Mapping[str, str], http: HttpClient) -> Catalog:
    base_url, api_key = environ.get("OPENAI_BASE_URL", ""), environ.get("OPENAI_API_KEY") or None
    continuation = check_continuation(environ.get("OPENAI_CONTINUATION", ""), "OPENAI_CONTINUATION")

    def upstream(name: str) -> Provider:
        return OpenAIProvider(
            http,
            base_url=base_url,
            model=name,
            api_key=api_key,
            continuation=continuation,
            connect_timeout_s=config.connect_timeout_s,
            after_finish_s=_after_finish_s(config.idle_timeout_s),
        )

    discovered: list[str] = []
    if base_url:
        check_base_url(base_url, "OPENAI_BASE_URL")
        discovered = await discover(lambda: list_models(http, base_url, api_key))
    return build_catalog(
        sources.file,
        {
            **_upstream_factories(config, http),
            "demo": lambda spec: sources.demo,
            "python": lambda spec: sources.functions[spec.name],
        },
        demo=sources.demo,
        providers=sources.given,
        discovered={name: upstream(name) for name in discovered},
        any_model=upstream if config.any_model and base_url else None,
    )


def _upstream_factories(config: Config, http: HttpClient) -> dict[str, Callable[[ModelSpec], Provider]]:
    """What makes a model of the file that another server answers for, by its `kind`."""

    def options(spec: ModelSpec) -> UpstreamOptions:
        return {
            "api_key": str(spec.api_key) if spec.api_key else None,
            "headers": {name: str(value) for name, value in spec.headers.items()},
            "continuation": spec.continuation,
            "retries": WITH_FALLBACKS if spec.fallbacks else RetryPolicy(),
            "connect_timeout_s": config.connect_timeout_s,
            "after_finish_s": _after_finish_s(spec.idle_timeout_s or config.idle_timeout_s),
        }

    def openai(spec: ModelSpec) -> Provider:
        return OpenAIProvider(
            http,
            base_url=spec.base_url or "",
            model=spec.upstream_model,
            token_limit_field=spec.token_limit_field,
            include_usage=spec.include_usage,
            **options(spec),
        )

    def anthropic(spec: ModelSpec) -> Provider:
        return AnthropicProvider(
            http,
            base_url=spec.base_url or "",
            model=spec.upstream_model,
            max_output_tokens=spec.max_output_tokens or MAX_OUTPUT_TOKENS,
            **options(spec),
        )

    def ollama(spec: ModelSpec) -> Provider:
        return OllamaProvider(http, base_url=spec.base_url or "", model=spec.upstream_model, **options(spec))

    return {"openai": openai, "anthropic": anthropic, "ollama": ollama}


def _after_finish_s(idle_timeout_s: float) -> float:
    """How long to wait for the usage: a finished answer must not end as an idle one."""
    return min(AFTER_FINISH_S, idle_timeout_s / 2)
