"""The models that there are, by name."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from headwater.errors import ConfigError, UnknownModel
from headwater.providers.base import Provider
from headwater.providers.models_file import ModelsFile, ModelSpec

log = logging.getLogger(__name__)

DEMO = "demo"

# What an error names at most: a server may list hundreds, and an error is read by a person.
_LISTED_MAX = 20
# The largest model routers list some hundreds; more than this is a fault of the upstream.
_DISCOVERED_MAX = 5_000
# A server on the same network lists its models within milliseconds; a start should not wait for one that is down.
DISCOVER_TIMEOUT_S = 5.0


class Model(Struct, frozen=True):
    """A name and what answers for it. A timeout of None is the server's own; both are in seconds.

    `fallbacks` are the models that may answer in its place, in order; `restart` says whether an answer that nobody can
    continue begins anew, which withdraws what was shown.
    """

    name: str
    provider: Provider
    first_token_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    fallbacks: tuple[str, ...] = ()
    restart: bool = False


class Catalog:
    """Looks models up. `any_model`, where given, answers for every other name."""

    def __init__(
        self, models: Iterable[Model], default: str, any_model: Callable[[str], Provider] | None = None
    ) -> None:
        self._models: Mapping[str, Model] = {model.name: model for model in models}
        self._any_model = any_model
        self.default = default

    def __repr__(self) -> str:
        return f"<Catalog of {len(self._models)} models, default={self.default!r}>"

    def names(self) -> list[str]:
        """The names that are known, in the order of their sources: file, code, demo, discovered."""
        return list(self._models)

    def knows(self, name: str) -> bool:
        """Whether a model of this name is listed."""
        return name in self._models

    def serves(self, name: str) -> bool:
        """Whether `get` has a model for this name."""
        return name in self._models or self._any_model is not None

    def get(self, name: str | None) -> Model:
        """The model of this name, the default for None. Raises UnknownModel, which lists the known ones."""
        name = self.default if name is None else name
        if model := self._models.get(name):
            return model
        if self._any_model is not None:
            # Made anew each time: whoever asks for names at will must not fill our memory with them.
            return Model(name, self._any_model(name))
        shown = name if len(name) <= 64 else f"{name[:64]}…"
        raise UnknownModel(f"There is no model {shown!r} here. Known are {_listed(self.names())}.", field="model")

    async def close(self) -> None:
        """Close each provider once. One that fails to does not keep the others from it."""
        for provider in dict.fromkeys(model.provider for model in self._models.values()):
            try:
                await provider.close()
            except Exception:
                log.exception("closing %r", provider)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED_MAX
    return ", ".join(names[:_LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def build_catalog(
    file: ModelsFile | None,
    factories: Mapping[str, Callable[[ModelSpec], Provider]],
    *,
    demo: Provider,
    providers: Mapping[str, Provider] | None = None,
    discovered: Mapping[str, Provider] | None = None,
    any_model: Callable[[str], Provider] | None = None,
) -> Catalog:
    """Everything that can answer, from four sources; an earlier one wins over a later.

    The models of `file`, each made by the factory of its `kind`; `providers` given in code; `demo`;
    and what an upstream was `discovered` to list. Raises ConfigError.
    """
    specs = {spec.name: spec for spec in file.models} if file else {}
    models = {name: _model(spec, factories) for name, spec in specs.items()}
    for name, provider in (providers or {}).items():
        if name in models:
            raise ConfigError(f"{specs[name].where} is defined in code, too; take one of them away")
        models[name] = Model(name, provider)
    models.setdefault(DEMO, Model(DEMO, demo))
    for spec in specs.values():
        for fallback in spec.fallbacks:
            if fallback not in models:
                known = _listed([*models])
                raise ConfigError(f"{spec.where}.fallbacks: there is no model {fallback!r}; known are {known}")
    for name, provider in (discovered or {}).items():
        models.setdefault(name, Model(name, provider))
    if file is None or file.default is None:
        return Catalog(models.values(), DEMO, any_model)
    if file.default not in models and any_model is None:
        known = _listed([*models])
        raise ConfigError(f"{file.source}: default: there is no model {file.default!r}; known are {known}")
    return Catalog(models.values(), file.default, any_model)


def _model(spec: ModelSpec, factories: Mapping[str, Callable[[ModelSpec], Provider]]) -> Model:
    factory = factories.get(spec.kind)
    if factory is None:
        known = _listed([*factories])
        raise ConfigError(f"{spec.where}.provider: there is no provider {spec.kind!r}; known are {known}")
    try:
        provider = factory(spec)
    except ConfigError as error:
        raise ConfigError(f"{spec.where}: {error}") from None
    return Model(
        spec.name,
        provider,
        spec.first_token_timeout_s,
        spec.idle_timeout_s,
        spec.fallbacks,
        spec.restart,
    )


async def discover(ask: Callable[[], Awaitable[Sequence[str]]], timeout_s: float = DISCOVER_TIMEOUT_S) -> list[str]:
    """The names that an upstream lists; none, and a warning, where it does not answer."""
    try:
        async with asyncio.timeout(timeout_s):
            names = await ask()
    except Exception as error:
        # Not its text, which may hold the address or the key.
        log.warning(
            "OPENAI_BASE_URL did not list its models (%s): they are unknown until the next start, "
            "unless HEADWATER_ANY_MODEL=1 passes any name on",
            type(error).__name__,
        )
        return []
    if len(names) > _DISCOVERED_MAX:
        log.warning("OPENAI_BASE_URL lists %d models: only the first %d are taken", len(names), _DISCOVERED_MAX)
    return [name for name in names[:_DISCOVERED_MAX] if 1 <= len(name) <= 256]
