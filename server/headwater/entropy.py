"""Everything random: ids, tags, secrets, tokens of chance in waiting."""

import random
import secrets

from headwater.core.position import TAG_MAX

# 32 letters that nobody confuses and no shell, URL or header minds: 5 bits each.
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def new_run_id() -> str:
    """An id nobody can guess: `run_` and 26 characters of 130 bits."""
    return "run_" + _letters(26)


def new_message_id() -> str:
    """The id of what somebody says in a room: `msg_` and 26 characters of 130 bits."""
    return "msg_" + _letters(26)


def new_client_id() -> str:
    """A name for a message whose sender gave it none: 26 characters of 130 bits."""
    return _letters(26)


def new_turn_id() -> str:
    """The random part of an answer's ids: 26 characters of 130 bits."""
    return _letters(26)


def new_key_id() -> str:
    """A public name for an API key: 12 characters, of which no two keys are dealt the same."""
    return _letters(12)


def new_secret() -> str:
    """What an API key or a ticket hides, and what cookies are signed with: 32 characters of 160 bits."""
    return _letters(32)


def new_tag() -> int:
    """A mark for one writer's entries, 1 to TAG_MAX. It tells writers apart and keeps no secret."""
    return random.randint(1, TAG_MAX)


def new_worker_id() -> str:
    """A name for this worker, for people who read leases."""
    return f"worker_{secrets.token_hex(4)}"


def between(low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return random.randint(low, high)


def full_jitter(tries: int, *, base_s: float, cap_s: float) -> float:
    """Seconds to wait after `tries` failures: anything up to a bound that doubles from `base_s` to `cap_s`.

    The spread keeps clients that failed together from coming back together.
    """
    return random.uniform(0, min(cap_s, base_s * 2 ** min(tries - 1, 30)))


def _letters(count: int) -> str:
    return "".join(_LETTERS[byte & 31] for byte in secrets.token_bytes(count))
