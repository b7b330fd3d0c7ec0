"""LiteLLM's proxy as a peer, from `.venv/peers`: as its makers run it, with nothing on that one could do without."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path

from tests.bench.servers import ROOT, Server, free_port, serve

_ENVIRONMENT = ROOT / ".venv" / "peers"
_COMMAND = _ENVIRONMENT / "bin" / "litellm"

_CONFIG = """model_list:
- model_name: bench
  litellm_params:
    model: openai/bench
    api_base: http://127.0.0.1:{port}/v1
    api_key: none
"""

# No debugging, no .env, no log of accesses. Without the first it would fetch its table of prices from the network;
# with it, no connection leaves the machine (seen with strace).
_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    # Only on loopback, and like Headwater here: it checks no keys.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


def version() -> str | None:
    """Which LiteLLM `make bench-peers` has installed, None if it has not been run."""
    if not _COMMAND.exists():
        return None
    places = [str(place) for place in _ENVIRONMENT.glob("lib/python*/site-packages")]
    return next((found.version for found in distributions(name="litellm", path=places)), None)


@contextmanager
def litellm_proxy(model: Server, where: Path) -> Iterator[Server]:
    """One worker without keys or database, as Headwater is measured without keys."""
    (where / "litellm.yaml").write_text(_CONFIG.format(port=model.port))
    port = free_port()
    command = f"{_COMMAND} --config litellm.yaml --host 127.0.0.1 --port {port} --num_workers 1"
    # A home of its own: what the caller keeps in theirs is neither read nor written.
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(where), **_SETTINGS}
    with serve("litellm", port, command.split(), where, env, "/health/readiness") as server:
        yield server
