"""The page inside another application, under a path of its choice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitors
from tests.browser.page import Page, Playground, Room
from tests.support.server import free_port
from tests.support.waiting import wait_until

HOST = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.routing import Mount
import headwater

inner = headwater.create_app(headwater.Config(store="sqlite::memory:"), environ={})

@asynccontextmanager
async def lifespan(app):
    async with headwater.lifespan(inner) as state:
        yield state

app = Starlette(routes=[Mount("/tools/llm", inner)], lifespan=lifespan)
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Where the page is mounted."""
    (tmp_path / "host.py").write_text(HOST)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "host:app", "--port", str(port), "--log-level", "warning"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        url = f"http://127.0.0.1:{port}/tools/llm"

        def is_ready() -> bool:
            with suppress(httpx2.TransportError):
                return httpx2.get(f"{url}/readyz", trust_env=False).is_success
            return False

        wait_until(is_ready, what="the host is ready")
        yield url
        process.send_signal(signal.SIGTERM)


def test_all_parts_work_under_a_path(url: str, chromium: Browser) -> None:
    visitors = Visitors(chromium, url)
    playground = visitors.visit(Playground)
    playground.open()
    playground.ask("What is a position?", tokens_per_s=120)
    playground.wait_for_status("Completed")
    playground.wait_until_formatted()
    assert playground.tab.url.startswith(f"{url}/runs/run_")
    playground.reload()
    playground.wait_for_status("Completed")
    room = visitors.tab(Room, playground.tab.context)
    room.come_in("lobby", "Ann")
    assert room.tab.url == f"{url}/rooms/lobby"
    room.say("Hello")
    expect(room.message("Hello")).not_to_contain_text("Sending …")
    board = visitors.tab(Page, playground.tab.context)
    board.open("/board")
    expect(board.tab.get_by_role("row", name="demo 1 1 0")).to_be_visible()
    board.tab.get_by_role("link", name="Rooms").click()
    expect(board.tab.get_by_role("link", name="lobby")).to_have_attribute("href", "/tools/llm/rooms/lobby")
    room.open("/rooms")
    assert not visitors.leave()
