"""The page for everybody: axe finds nothing, on a phone and at night, and a keyboard is enough."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitors
from tests.browser.page import Page, Playground, Room
from tests.support.server import ServerProcess

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is now."""
    page.tab.evaluate(AXE.read_text())
    found = page.tab.evaluate("async () => (await axe.run()).violations")
    return [f"{one['id']}: {one['help']}: {node['html']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(look: str, visitors: Visitors, server: ServerProcess) -> None:
    if not AXE.exists():
        pytest.skip("no axe-core: make test-browser installs it where npm is")
    playground = visitors.visit(Playground, **LOOKS[look], reduced_motion="reduce")
    playground.open()
    assert violations(playground) == []
    playground.ask("Which events does a run have?", tokens_per_s=120)
    playground.wait_until_formatted()
    assert violations(playground) == []
    assert playground.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    room = visitors.tab(Room, playground.tab.context)
    room.open("/rooms/lobby")
    assert violations(room) == []
    room.come_in("lobby", "Ann")
    room.say("@demo How do I resume a stream?")
    expect(room.answer.get_by_role("button", name="Stop")).to_be_visible()
    assert violations(room) == []
    room.answer.locator(".prose").wait_for()
    room.answer.hover()
    assert violations(room) == []
    for path in ("/rooms", "/board"):
        page = visitors.tab(Page, playground.tab.context)
        page.open(path)
        page.tab.locator("#room-list a, #latest a").first.wait_for()
        assert violations(page) == []
        page.shoot(f"{path[1:]}-{look}")


def test_a_keyboard_is_enough(visitors: Visitors) -> None:
    page = visitors.visit(Playground)
    page.open()
    press, focus = page.tab.keyboard.press, page.tab.locator(":focus")
    press("Tab")
    expect(focus).to_have_text("Skip to the content")
    for name in ["Headwater", "Playground", "Rooms", "Board"]:
        press("Tab")
        expect(focus).to_have_text(name, use_inner_text=True)
    press("Tab")
    expect(focus).to_have_attribute("name", "prompt")
    page.tab.keyboard.type("How do I cancel a run?")
    press("Enter")
    expect(page.tab.get_by_role("heading", name="How do I cancel a run?")).to_be_visible()
    page.stop()
    page.wait_for_status("Stopped")


def test_a_keyboard_comes_to_each_message_and_its_tools(ann: Room) -> None:
    ann.come_in("keys", "Ann")
    for text in ("One", "Two"):
        ann.say(text)
        expect(ann.message(text)).not_to_contain_text("Sending …")
    press, focus = ann.tab.keyboard.press, ann.tab.locator(":focus")
    press("Shift+Tab")
    expect(focus).to_have_id("scroller")
    for text in ("Two", "One"):
        press("ArrowUp")
        expect(focus).to_contain_text(text)
    press("Tab")
    expect(focus).to_have_accessible_name("Thumbs up")
    press("Enter")
    expect(ann.message("One").get_by_role("button", name="Thumbs up: Ann")).to_be_visible()
    press("Tab")
    expect(ann.message("Two").locator(":focus")).to_have_count(0)


def test_a_reader_hears_sentences_and_no_tokens(visitors: Visitors) -> None:
    page = visitors.visit(Playground)
    page.open()
    page.ask("How do I cancel a run?", tokens_per_s=60)
    page.wait_for_status("Completed")
    said = [line.text_content() or "" for line in page.tab.locator("#said p").all()]
    assert said[-1] == "The answer is complete."
    assert all(line.rstrip()[-1] in ".:!?`" for line in said)
    assert len(" ".join(said)) > 100
