"""The page of docs/examples.md in a real Chromium, from a server of its own."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser

from tests.docs.document import examples, put
from tests.support.server import ServerProcess, free_port


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, ServerProcess]]:
    """Where the page is, and the Headwater that it asks."""
    (page,) = examples("A page with EventSource")["html"]
    folder, port = tmp_path / "site", free_port()
    folder.mkdir()
    handler = functools.partial(_Silent, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as web:
        origin = f"http://127.0.0.1:{port}"
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with ServerProcess(tmp_path, settings={"origins": origin}) as server:
            (folder / "index.html").write_text(put(page, {"http://127.0.0.1:8000": server.url}))
            yield origin, server
        web.shutdown()


def test_the_page_asks_follows_and_survives_a_reload_and_the_death_of_the_server(
    chromium: Browser, site: tuple[str, ServerProcess]
) -> None:
    origin, server = site
    with chromium.new_context() as context:
        tab = context.new_page()
        tab.goto(origin)
        tab.get_by_role("button", name="Ask").click()
        tab.wait_for_function("() => document.querySelector('pre')?.textContent.length > 40")
        run_id = tab.url.partition("#")[2]
        seen = tab.locator("pre").text_content() or ""
        tab.reload()
        tab.wait_for_function("(length) => document.querySelector('pre')?.textContent.length > length", arg=len(seen))
        seen = tab.locator("pre").text_content() or ""
        server.restart()
        output = _ended(server, run_id)
        tab.wait_for_function("(text) => document.querySelector('pre').textContent === text", arg=output)
        assert output.startswith(seen), "what was shown is durable"


def _ended(server: ServerProcess, run_id: str) -> str:
    """The output of the run, once it has ended: a stream of it is over then."""
    httpx2.get(f"{server.url}/v1/runs/{run_id}/events", trust_env=False, timeout=30)
    run = httpx2.get(f"{server.url}/v1/runs/{run_id}", trust_env=False).json()
    assert (run["status"], run["reason"]) == ("completed", None), "who came back has gone on with it"
    return str(run["output"])
