"""A server for the commands that ask one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ServerProcess

MODELS = """
default = "quick"
[models.quick]
provider = "python:models:quick"
[models.gated]
provider = "python:models:gated"
[models.broken]
provider = "python:models:broken"
[models.demo]
provider = "demo"
"""
CODE = """
import asyncio, pathlib

async def quick(request):
    yield "Right "
    yield "away."

async def gated(request):
    yield "Right "
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
    yield "away."

async def broken(request):
    yield "Right "
    raise ValueError("no more words")
"""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("asked")
    (directory / "models.py").write_text(CODE)
    (directory / "headwater.toml").write_text(MODELS)
    lease = {"lease_s": 1.0, "renew_s": 0.3, "sweep_s": 0.25}  # for the end of what a killed server left
    with ServerProcess(directory, settings={**lease, "drain_s": 0, "drain_spread_s": 0}, may_crash=True) as server:
        yield server


@pytest.fixture
def server(shared: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    """It runs, and its gated model waits for the file of `gate`. The test is where no `.env` lies."""
    monkeypatch.chdir(tmp_path)
    if not shared.running:
        shared.start()
    yield shared
    gate(shared).unlink(missing_ok=True)


def gate(server: ServerProcess) -> Path:
    """What lets the gated model go on."""
    return server.directory / "go"
