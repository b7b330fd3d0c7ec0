"""A real Chromium, headless, that reaches nothing but this machine."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.page import Page, Playground, Room
from tests.support.cutting_proxy import CuttingProxy
from tests.support.server import ServerProcess

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever it wants to tell its makers stays here
]

Kind = TypeVar("Kind", bound=Page)


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
    """A server of this test's own, where answers can be spoilt."""
    with ServerProcess(tmp_path, args=["--faults"]) as server:
        yield server


class Tunnel:
    """A way to a server on which the network can be away for a while."""

    def __init__(self, proxy: CuttingProxy, portal: BlockingPortal) -> None:
        self.url = proxy.url
        self._proxy = proxy
        self._portal = portal

    @contextmanager
    def without_network(self, page: Page) -> Iterator[None]:
        """What the page was connected to breaks, and the browser knows that it is offline."""
        with page.outage():
            page.tab.context.set_offline(True)
            self._portal.call(self._proxy.cut)
            yield
            page.tab.context.set_offline(False)


@pytest.fixture
def tunnel(server: ServerProcess) -> Iterator[Tunnel]:
    """Between the browser and the server: Chromium's own offline leaves open connections as they are."""
    with start_blocking_portal() as portal:
        proxy = CuttingProxy([server.port], Random(0), within=1, spared=1.0)
        with portal.wrap_async_context_manager(proxy):
            yield Tunnel(proxy, portal)


class Visitors:
    """People with browsers. Each has a profile of their own, and perhaps several tabs."""

    def __init__(self, chromium: Browser, url: str) -> None:
        self.url = url
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self._pages: list[Page] = []

    def visit(self, kind: Callable[[Any, str], Kind], **looks: Any) -> Kind:
        """Somebody new; `looks` are the browser's, as `color_scheme`."""
        context = self._chromium.new_context(**looks)
        self._contexts.append(context)
        return self.tab(kind, context)

    def tab(self, kind: Callable[[Any, str], Kind], context: BrowserContext) -> Kind:
        """One more tab of somebody's."""
        page = kind(context.new_page(), self.url)
        self._pages.append(page)
        return page

    def leave(self) -> list[str]:
        """All go. What their consoles have complained of."""
        errors = [error for page in self._pages for error in page.errors()]
        for context in self._contexts:
            context.close()
        return errors


@pytest.fixture
def visitors(chromium: Browser, server: ServerProcess) -> Iterator[Visitors]:
    """Whoever comes to the server. An error on a console fails the test: a refusal by the page's policy is one."""
    visitors = Visitors(chromium, server.url)
    yield visitors
    assert not visitors.leave()


@pytest.fixture
def playground(visitors: Visitors) -> Playground:
    """The playground, not opened yet."""
    return visitors.visit(Playground)


@pytest.fixture
def ann(visitors: Visitors) -> Room:
    """Somebody for a room."""
    return visitors.visit(Room)


@pytest.fixture
def bert(visitors: Visitors) -> Room:
    """Somebody else, on a phone, at night."""
    return visitors.visit(Room, viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
