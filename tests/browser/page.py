"""The page at `/` as a person sees it, and what the browser's console says meanwhile."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import ConsoleMessage
from playwright.sync_api import Page as Tab

_DEADLINE_MS = 30_000.0  # a slow answer on a busy machine
# Chromium writes such a line for each connection that it could not make or that broke, whatever the page does.
_NETWORK_LINE = re.compile(r"Failed to load resource: net::ERR_[A-Z_]+")


class Page:
    """The page of the server at `url`."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.tab = tab
        self.url = url
        self._outage = False
        self._errors: list[str] = []
        tab.set_default_timeout(_DEADLINE_MS)
        tab.on("console", self._on_console)
        tab.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))

    def open(self, run_id: str | None = None) -> None:
        """Go to the page, to follow that run."""
        self.tab.goto(f"{self.url}/#{run_id}" if run_id else f"{self.url}/")

    def ask(self, prompt: str) -> None:
        """Fill in the form and send it."""
        self.tab.locator("[name=prompt]").fill(prompt)
        self.tab.locator("form button").click()

    def reload(self) -> None:
        """What F5 does."""
        self.tab.reload()

    @property
    def run_id(self) -> str:
        """The run that the page keeps in its address."""
        return self.tab.url.partition("#")[2]

    @property
    def output(self) -> str:
        """The answer that it shows, to the byte."""
        return self.tab.locator("#output").text_content() or ""

    def wait_for_output(self, longer_than: int = 0) -> str:
        """The answer, once it shows more than so many characters."""
        self._wait("(length) => document.querySelector('#output').textContent.length > length", longer_than)
        return self.output

    def wait_for_status(self, status: str) -> None:
        """Until it says that the run has this status."""
        self._wait(r"(s) => document.querySelector('#status').textContent.match(/\w+/g)?.includes(s)", status)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """While the server is away, and until the page has caught up: the browser may note failed connections."""
        self.errors()
        self._outage = True
        yield
        self.errors()
        self._outage = False

    def errors(self) -> list[str]:
        """What the console has complained of so far, but for an outage's failed connections."""
        self.tab.evaluate("0")  # whatever the browser said before its answer has been heard now
        return self._errors

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        expected = self._outage and _NETWORK_LINE.fullmatch(message.text)
        if not (expected and message.location["url"].startswith(f"{self.url}/v1/runs/")):
            self._errors.append(f"{message.text} ({message.location['url']})")

    def _wait(self, condition: str, argument: Any) -> None:
        self.tab.wait_for_function(condition, arg=argument)
