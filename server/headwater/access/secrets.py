"""The strings that are credentials, and the hashes that are kept of them.

A key is `hwk_ID_SECRET`, its id no secret; a ticket is `hwt_SECRET`. The prefixes let scanners find what was published
by mistake. Both hide 160 bits of chance, which one SHA-256 protects as well as a slow hash would.
"""

import hashlib
import re
from collections.abc import Iterable

from starlette.datastructures import Secret

from headwater.core.access import DEFAULT_TENANT, SCOPES
from headwater.core.claims import check_scopes, check_tenant
from headwater.entropy import new_key_id, new_secret
from headwater.errors import ConfigError, Unauthenticated
from headwater.store.vault import ApiKey

# Of a key that somebody else thought of: 8 letters and digits by chance are 47 bits, and guesses are counted.
SECRET_MIN = 8
GIVEN = "env:"
"""Before the name of a key of HEADWATER_KEYS, its id: no key of the store's has one like it."""

_KEY = re.compile(r"hwk_([a-z2-7]{12})_[a-z2-7]{32}")
# What fits into a header, without what separates entries.
_SECRET = re.compile(r"[!-+\--:<-~]+")


def new_key() -> tuple[str, str]:
    """A new API key's id, and the key."""
    key = new_key_id()
    return key, f"hwk_{key}_{new_secret()}"


def key_id(credential: str) -> str | None:
    """The id in an API key, or None if it is not made like one."""
    found = _KEY.fullmatch(credential)
    return found[1] if found else None


def new_ticket() -> str:
    """A new ticket."""
    return f"hwt_{new_secret()}"


def digest(text: str) -> str:
    """The SHA-256 of a credential, all of it, in hex. Compare two with `hmac.compare_digest`."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def not_valid() -> Unauthenticated:
    """What every credential gets that says nothing, whatever is wrong with it."""
    return Unauthenticated(
        "The credential is not valid, or not any more: get a new one.",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


def ordered(scopes: Iterable[str]) -> tuple[str, ...]:
    """Scopes as they are kept and shown."""
    return tuple(sorted(scopes))


def configured_keys(text: Secret) -> list[ApiKey]:
    """The keys of HEADWATER_KEYS: `SECRET` or `NAME=SECRET`, perhaps with `;scopes=…` and `;tenant=…`, commas between.

    Raises ConfigError with an entry's number, and never with a part of it that could be the secret's.
    """
    if not str(text):
        return []
    keys: list[ApiKey] = []
    for number, entry in enumerate(str(text).split(","), 1):
        try:
            key = _configured(entry.strip(), number)
            if any(key.id == other.id for other in keys):
                raise ValueError("has the name of one before it")
            if any(key.digest == other.digest for other in keys):
                raise ValueError("has the secret of one before it")
        except ValueError as error:
            raise ConfigError(f"HEADWATER_KEYS: entry {number}: {error}") from None
        keys.append(key)
    return keys


def _configured(entry: str, number: int) -> ApiKey:
    first, *options = entry.split(";")
    name, separator, secret = first.partition("=")
    if not separator:
        name, secret = f"key{number}", first
    elif not secret.strip("="):  # the padding of Base64, or a variable that was empty: only the operator knows
        raise ValueError("has nothing after its =; write NAME=SECRET, also if the secret itself ends with =")
    try:
        check_tenant(name)  # it has the same shape
    except ValueError:
        raise ValueError("a name is 1 to 64 letters, digits, dots, dashes and underscores") from None
    if len(secret) < SECRET_MIN or not _SECRET.fullmatch(secret):
        raise ValueError(f"a secret has at least {SECRET_MIN} characters, of ASCII and without spaces")
    tenant, scopes = _options(options)
    return ApiKey(
        id=f"{GIVEN}{name}", name=name, tenant=tenant, scopes=ordered(scopes), digest=digest(secret), created_at=0
    )


def _options(options: list[str]) -> tuple[str, frozenset[str]]:
    given: dict[str, str] = {}
    for option in options:
        name, separator, value = option.partition("=")
        if name not in ("scopes", "tenant") or not separator or name in given:
            raise ValueError("after the secret may follow ;scopes=… and ;tenant=…, each once")
        given[name] = value
    tenant = check_tenant(given["tenant"]) if "tenant" in given else DEFAULT_TENANT
    scopes = check_scopes(given["scopes"].split()) if "scopes" in given else SCOPES
    if not scopes:
        raise ValueError("scopes= names none; leave it out for all of them")
    return tenant, scopes
