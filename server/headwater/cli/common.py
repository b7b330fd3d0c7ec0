"""What all commands share: where settings come from, how a refusal looks, how long a time is."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
from dotenv import dotenv_values

from headwater.config import Config, config_from
from headwater.core.access import SCOPES
from headwater.core.claims import check_scopes
from headwater.errors import ConfigError, HeadwaterError
from headwater.process import REFUSED

SCOPE_HELP = f"What it may do, once or more: {', '.join(sorted(SCOPES))}."

_DURATION = re.compile(r"([0-9]{1,10})([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
# A hundred years: more is a mistake, and would leave the range of dates.
DURATION_MAX_S = 100 * 366 * 86_400


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What cannot be done as it was asked becomes one line on stderr, and exit code 2."""
    try:
        yield
    except (ConfigError, HeadwaterError) as error:
        click.echo(f"headwater: {error}", err=True)
        sys.exit(REFUSED)


def environment() -> dict[str, str]:
    """The variables of `.env`, if there is one, and over them those of the surroundings. Raises ConfigError."""
    return _dot_env() | dict(os.environ)


def settings(**options: Any) -> Config:
    """The configuration that a command runs with: its options, then the environment, then `.env`."""
    return config_from(environment(), **options)


@contextlib.contextmanager
def naming(option: str) -> Iterator[None]:
    """A ValueError of the block becomes a ConfigError about this option."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def seconds(text: str) -> int:
    """A time such as 30d, 12h, 90m or 3600, in seconds. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None or not 0 < (value := int(found[1]) * _UNITS[found[2]]) <= DURATION_MAX_S:
        raise ValueError(f"must be a time such as 30d, 12h, 90m or 3600 (seconds), not {text[:64]!r}")
    return value


def scopes_of(given: Sequence[str]) -> frozenset[str]:
    """The scopes of `--scope`, which may be given more than once, and name several. Raises ConfigError."""
    with naming("--scope"):
        scopes = check_scopes(scope for text in given for scope in text.split())
        if given and not scopes:  # a variable that was empty is no wish for the default
            raise ValueError("names none")
        return scopes


def _dot_env() -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(".env").items() if value is not None}
    except UnicodeDecodeError as error:
        raise ConfigError(f".env: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f".env: cannot be read: {error.strerror}") from None
