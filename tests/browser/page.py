"""The page as a person sees it, and what the browser's console says meanwhile."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, expect
from playwright.sync_api import Page as Tab

from tests.support.waiting import wait_until

_DEADLINE_MS = 30_000.0  # a slow answer on a busy machine
SCREENSHOTS = Path(__file__).parents[2] / ".reports" / "screenshots"
"""Pictures of the states that the tests come through, for people to look at."""
# Chromium writes such lines for each connection that it could not make or that broke, whatever the page does.
_NETWORK_LINES = re.compile(r"Failed to load resource: net::ERR_[A-Z_]+|WebSocket connection to '.*' failed: .*")


class Page:
    """A tab at the server at `url`."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.tab = tab
        self.url = url
        self._outage = False
        self._errors: list[str] = []
        tab.set_default_timeout(_DEADLINE_MS)
        tab.on("console", self._on_console)
        tab.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))

    def open(self, path: str = "/") -> None:
        """Go there."""
        self.tab.goto(f"{self.url}{path}")

    def reload(self) -> None:
        """What F5 does."""
        self.tab.reload()

    def shoot(self, name: str) -> None:
        """A picture of what is to be seen now."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")

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
        if message.type in ("error", "warning") and not (self._outage and _NETWORK_LINES.fullmatch(message.text)):
            self._errors.append(f"{message.text} ({message.location['url']})")


class Playground(Page):
    """The playground in a tab."""

    def ask(self, prompt: str, tokens_per_s: int | None = None) -> None:
        """Fill in the form, send it, and be on the run's page."""
        before = self.tab.url
        if tokens_per_s is not None:
            self.tab.get_by_label("Pace").fill(str(tokens_per_s))
        self.tab.get_by_label("Prompt").fill(prompt)
        self.tab.get_by_label("Prompt").press("Enter")
        self.tab.wait_for_url(lambda url: url != before)

    def follow(self, run_id: str) -> None:
        """Open the page of a run."""
        self.open(f"/runs/{run_id}")

    def stop(self) -> None:
        self.tab.get_by_role("button", name="Stop").click()

    @property
    def run_id(self) -> str:
        """The run that the page keeps in its address."""
        return self.tab.url.rpartition("/runs/")[2]

    @property
    def output(self) -> str:
        """The answer that it shows, or has shown before it was formatted, to the byte."""
        return self.tab.locator("#output").text_content() or ""

    def wait_for_output(self, longer_than: int = 0) -> str:
        """The answer, once it has more than so many characters."""
        return wait_until(lambda: text if len(text := self.output) > longer_than else "", what="the answer grows")

    def wait_for_status(self, status: str) -> None:
        """Until it says that the run stands so."""
        expect(self.tab.locator("#status")).to_have_text(status, timeout=_DEADLINE_MS)

    def wait_until_formatted(self) -> Locator:
        """The ended answer as the server has rendered it."""
        self.tab.locator("#rendered").wait_for()
        return self.tab.locator("#rendered")


class Room(Page):
    """A room in a tab."""

    def come_in(self, room: str, name: str) -> None:
        """As a guest who says their name at the door."""
        self.open(f"/rooms/{room}")
        self.tab.get_by_label("Your name").fill(name)
        self.tab.get_by_role("button", name="Enter").click()
        self.wait_for_line("Live")

    def say(self, text: str) -> None:
        box = self.tab.get_by_label("Message", exact=True)
        box.fill(text)
        box.press("Enter")

    def wait_for_line(self, says: str) -> None:
        """Until it says that of its connection."""
        expect(self.tab.locator("#line")).to_contain_text(says, timeout=_DEADLINE_MS)

    def message(self, text: str) -> Locator:
        """The one that has this text."""
        return self.tab.locator(".message", has_text=text)

    @property
    def answer(self) -> Locator:
        """The newest answer of a model."""
        return self.tab.locator(".answer-message").last

    @property
    def texts(self) -> list[str]:
        """What the messages say, in their order."""
        return self.tab.locator(".message .plain").all_text_contents()
