"""A real Chromium, headless, that reaches nothing but this machine."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.page import Page
from tests.support.server import ServerProcess

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever it wants to tell its makers stays here
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium: `make test-browser` installs it where it is missing."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail("no `chromium` on the PATH: run make test-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=FLAGS,
            chromium_sandbox=os.geteuid() != 0,  # Chromium's sandbox refuses to run as root
        )
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of this test's own."""
    with ServerProcess(tmp_path) as server:
        yield server


@pytest.fixture
def page(chromium: Browser, server: ServerProcess) -> Iterator[Page]:
    """The page at `/`, not opened yet, in a profile of its own. An error on its console fails the test."""
    context = chromium.new_context()
    page = Page(context.new_page(), server.url)
    yield page
    errors = page.errors()
    context.close()
    assert not errors
