"""What the server logs, and what it must not: a credential in a URL."""

import logging
import re
from urllib.parse import unquote_plus

from headwater.errors import ConfigError

# A URL's query, up to what ends a request line; and in it each parameter, of any spelling.
_PARAMETER = re.compile(r"([?&])([^=?&\s\"]*)=([^&\s\"]*)")


class WithoutTickets(logging.Filter):
    """Takes the tickets out of the addresses in a record: whoever reads the log could use them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes, without its tickets."""
        if isinstance(record.args, tuple):
            record.args = tuple(without_tickets(one) if isinstance(one, str) else one for one in record.args)
        return True


def without_tickets(text: str) -> str:
    """`text` with `…` in place of the tickets in the addresses that it holds."""
    return _PARAMETER.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}=…" if unquote_plus(found[2]) == "ticket" else found[0]


def set_up_logging(level: str) -> None:
    """Log to stderr from `level` up. Raises ConfigError."""
    number = _LOG_LEVELS.get(level.lower())
    if number is None:
        raise ConfigError(f"HEADWATER_LOG_LEVEL must be debug, info, warning or error, not {level!r}")
    logging.basicConfig(level=number, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    # A line per request and per start of uvicorn is for looking into it, not for every day. Never its own debugging:
    # that is every WebSocket's headers and frames, tokens and all.
    debugging = number <= logging.DEBUG
    logging.getLogger("uvicorn").setLevel(logging.INFO if debugging else logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if debugging:
        for name in ("uvicorn.access", "uvicorn.error"):  # the latter has the addresses of WebSockets
            logging.getLogger(name).addFilter(WithoutTickets())


_LOG_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
