"""The board, and who may look at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitors
from tests.browser.page import Page, Playground
from tests.browser.test_playground import start
from tests.support.server import ServerProcess


def test_the_board_shows_what_the_server_does(visitors: Visitors, server: ServerProcess) -> None:
    board = visitors.visit(Page)
    start(server, tokens=10, tokens_per_s=1000)
    board.open("/board")
    follower = visitors.visit(Playground)
    run_id = start(server, tokens=2000)
    follower.follow(run_id)
    expect(board.tab.locator("#runs-now")).to_have_text("1")
    expect(board.tab.locator("#subscribers-now")).to_have_text("1")
    expect(board.tab.locator("#first-now")).to_contain_text("ms")
    expect(board.tab.get_by_role("row", name="demo 2 1 0")).to_be_visible()
    board.shoot("board")
    board.tab.get_by_role("link", name=run_id[:14]).click()
    expect(board.tab).to_have_url(f"{server.url}/runs/{run_id}")


KEY = "open-sesame"


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that asks who is there."""
    with ServerProcess(tmp_path, settings={"keys": f"{KEY},weak-secret;scopes=runs:read"}) as server:
        yield server


def test_a_server_that_asks_gets_a_key_that_stays_in_its_tab(asking: ServerProcess, chromium: Browser) -> None:
    visitors = Visitors(chromium, asking.url)
    playground = visitors.visit(Playground)
    with playground.outage():  # the browser writes of every refusal
        playground.open()
        dialog = playground.tab.get_by_role("dialog")
        expect(dialog).to_be_visible()
        playground.shoot("key")
        dialog.get_by_label("API key or token").fill("wrong-key")
        dialog.get_by_role("button", name="Use it").click()
        expect(dialog.get_by_role("heading")).to_contain_text("does not take this key")
        dialog.get_by_label("API key or token").fill(KEY)
        dialog.get_by_role("button", name="Use it").click()
        expect(dialog).to_be_hidden()
    playground.ask("What is a position?", tokens_per_s=120)
    playground.wait_for_status("Completed")
    playground.wait_until_formatted()
    playground.open("/board")
    expect(playground.tab.locator("#line")).to_have_text("Live")
    other = visitors.tab(Page, playground.tab.context)
    other.open()
    expect(other.tab.get_by_role("dialog")).to_be_visible()
    # The browser writes of each refusal, whenever it comes to it.
    assert not [error for error in visitors.leave() if "a status of 401 (Unauthorized)" not in error]


def test_the_board_takes_the_scope_that_metrics_take(asking: ServerProcess, chromium: Browser) -> None:
    visitors = Visitors(chromium, asking.url)
    board = visitors.visit(Page)
    with board.outage():
        board.open("/board")
        board.tab.get_by_label("API key or token").fill("weak-secret")
        board.tab.get_by_role("button", name="Use it").click()
        expect(board.tab.locator("#line")).to_have_text("Not allowed")
        expect(board.tab.get_by_role("alert")).to_contain_text("needs a key with the scope admin")
        board.errors().clear()
    assert not visitors.leave()
