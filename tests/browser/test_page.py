"""The page at `/`: an answer in a browser survives a reload and the death of the server."""

from typing import Any

import httpx2

from tests.browser.page import Page
from tests.support.server import ServerProcess


def run(server: ServerProcess, run_id: str) -> Any:
    """The run as the store has it."""
    return httpx2.get(f"{server.url}/v1/runs/{run_id}", trust_env=False).raise_for_status().json()


def slow_run(server: ServerProcess, tokens: int) -> str:
    """The id of a run of so many tokens at 40 a second."""
    body = {"input": "How do I resume a run?", "extra": {"demo": {"tokens_per_s": 40, "tokens": tokens}}}
    answer = httpx2.post(f"{server.url}/v1/runs", json=body, trust_env=False).raise_for_status()
    return str(answer.json()["id"])


def test_the_answer_grows_until_it_is_complete(page: Page, server: ServerProcess) -> None:
    page.open()
    page.ask("What is a position? 👩‍🚀 日本語")
    beginning = page.wait_for_output()
    assert run(server, page.run_id)["status"] == "in_progress"
    page.wait_for_status("completed")
    asked = run(server, page.run_id)
    assert page.output == asked["output"]
    assert asked["output"].startswith(beginning) and len(asked["output"]) > len(beginning)


def test_a_reload_in_mid_answer_loses_and_repeats_nothing(page: Page, server: ServerProcess) -> None:
    run_id = slow_run(server, tokens=120)
    page.open(run_id)
    before = page.wait_for_output(longer_than=40)
    page.reload()
    assert page.wait_for_output(longer_than=len(before)).startswith(before)
    assert run(server, run_id)["status"] == "in_progress", "the reload was to be in mid-answer"
    page.wait_for_status("completed")
    assert page.output == run(server, run_id)["output"]
    assert page.run_id == run_id


def test_a_reload_after_the_end_shows_the_whole_answer(page: Page, server: ServerProcess) -> None:
    run_id = slow_run(server, tokens=10)
    page.open(run_id)
    page.wait_for_status("completed")
    whole = page.output
    page.reload()
    page.wait_for_status("completed")
    assert page.output == whole == run(server, run_id)["output"]


def test_the_death_of_the_server_is_told_honestly(page: Page, server: ServerProcess) -> None:
    run_id = slow_run(server, tokens=2000)
    page.open(run_id)
    before = page.wait_for_output(longer_than=200)
    with page.outage():
        server.kill()
        server.restart()
        page.wait_for_status("incomplete")
    ended = run(server, run_id)
    assert (ended["status"], ended["error"]["code"]) == ("incomplete", "producer_lost")
    assert page.output == ended["output"]
    assert ended["output"].startswith(before), "what a reader has seen is durable"


def test_a_page_opened_after_the_death_shows_the_same(page: Page, server: ServerProcess) -> None:
    run_id = slow_run(server, tokens=2000)
    page.open(run_id)
    page.wait_for_output(longer_than=40)
    with page.outage():
        server.restart()
        page.wait_for_status("incomplete")
    page.reload()
    page.wait_for_status("incomplete")
    assert page.output == run(server, run_id)["output"]
