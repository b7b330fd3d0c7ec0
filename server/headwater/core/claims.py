"""What a token claims, and who that makes its bearer. Pure: the signature is checked elsewhere, and first.

Every rule raises ValueError with what is wrong; none of them quotes more than a name.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from headwater.core.access import DEFAULT_TENANT, ROLES, SCOPES, Principal, Role
from headwater.core.room import ROOM_NAME

# As long as identity providers make them; it becomes a part of keys in the store.
SUBJECT_MAX: Final = 256
NAME_MAX: Final = 256
# Of each kind: far more than fit into a token of 8 KiB, so that it only bounds what other sources may claim.
SHARED_MAX: Final = 1_000
# The end of the year 9999. What lies beyond is a time in milliseconds, which would make a token good for ever.
TIME_MAX: Final = 253_402_300_799

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROOM = re.compile(ROOM_NAME)
# Control characters, halves of characters, and ends of lines, which would break the lines of whoever prints a name.
_UNPRINTED = frozenset({"Cc", "Cs", "Zl", "Zp"})


def principal_of(claims: Mapping[str, object]) -> Principal:
    """Whom these claims speak for. Raises ValueError for what is malformed or missing."""
    return Principal(
        tenant=check_tenant(_text(claims, "tenant", DEFAULT_TENANT)),
        subject=f"user:{check_subject(_text(claims, 'sub'))}",
        # Unknown ones are for others: one token may travel to several services.
        scopes=frozenset(_text(claims, "scope", "").split(" ")) & SCOPES,
        name=check_name(name) if (name := _text(claims, "name", "")) else None,
        runs=check_runs(_runs(claims)),
        rooms=check_rooms(_rooms(claims)) if "rooms" in claims else None,
        expires_at=time_of(claims, "exp"),
    )


def check_subject(text: str) -> str:
    """`text`, if it can be a subject."""
    if not (1 <= len(text) <= SUBJECT_MAX and text.isprintable()):
        raise ValueError(f"a subject has 1 to {SUBJECT_MAX} printable characters")
    return text


def check_name(text: str) -> str:
    """`text`, if it can be the name that others see. Joined emoji and scripts of any direction can."""
    if not (1 <= len(text) <= NAME_MAX) or not is_printable(text):
        raise ValueError(f"a name has 1 to {NAME_MAX} characters and no control characters")
    return text


def is_printable(text: str) -> bool:
    """Whether it stays one line wherever it is printed."""
    return not any(unicodedata.category(letter) in _UNPRINTED for letter in text)


def check_tenant(text: str) -> str:
    """`text`, if it can be a tenant's name."""
    if not _TENANT.fullmatch(text):
        raise ValueError("a tenant is 1 to 64 letters, digits, dots, dashes and underscores")
    return text


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """These scopes, if all of them are known."""
    given = frozenset(scopes)
    if unknown := sorted(given - SCOPES):
        raise ValueError(f"there is no scope {unknown[0][:64]!r}: there are {', '.join(sorted(SCOPES))}")
    return given


def check_runs(ids: Iterable[str]) -> frozenset[str]:
    """These ids, if all of them can be runs'."""
    given = frozenset(ids)
    if len(given) > SHARED_MAX or not all(_RUN_ID.fullmatch(one) for one in given):
        raise ValueError(f"runs are at most {SHARED_MAX} ids of runs")
    return given


def check_rooms(roles: Mapping[str, str]) -> dict[str, Role]:
    """These roles by room, if all of them can be."""
    if len(roles) > SHARED_MAX or not all(_ROOM.fullmatch(room) for room in roles):
        raise ValueError(f"rooms are at most {SHARED_MAX}, of 1 to 128 letters, digits, dots, dashes, _ and ~ each")
    known: dict[str, Role] = {role: role for role in ROLES}
    if not all(role in known for role in roles.values()):
        raise ValueError(f"a role in a room is one of {', '.join(ROLES)}")
    return {room: known[role] for room, role in roles.items()}


def time_of(claims: Mapping[str, object], claim: str) -> float:
    """A claim that is a time, in Unix seconds."""
    value = claims.get(claim)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{claim} must be a number")
    if not abs(value) <= TIME_MAX:  # so said that NaN is none
        raise ValueError(f"{claim} must be a time in seconds")
    return float(value)


def _text(claims: Mapping[str, object], claim: str, default: str | None = None) -> str:
    value = claims.get(claim, default)
    if not isinstance(value, str):
        raise ValueError(f"{claim} must be a string")
    return value


def _runs(claims: Mapping[str, object]) -> list[str]:
    value = claims.get("runs", [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("runs must be a list of strings")
    return value


def _rooms(claims: Mapping[str, object]) -> dict[str, str]:
    value = claims["rooms"]
    if not isinstance(value, dict) or not all(isinstance(one, str) for pair in value.items() for one in pair):
        raise ValueError("rooms must be an object of strings")
    return value
