"""The playground: an answer survives a reload, a second tab, and the death of the server."""

from typing import Any

import httpx2
from playwright.sync_api import expect

from tests.browser.conftest import Tunnel, Visitors
from tests.browser.page import Playground
from tests.support.server import ServerProcess


def run(server: ServerProcess, run_id: str) -> Any:
    """The run as the store has it."""
    return httpx2.get(f"{server.url}/v1/runs/{run_id}", trust_env=False).raise_for_status().json()


def start(server: ServerProcess, *, failover: bool = True, **demo: Any) -> str:
    """The id of a run at 40 tokens a second, unless `demo` says otherwise."""
    extra = {"demo": {"tokens_per_s": 40, **demo}}
    body = {"input": "How do I resume a run?", "failover": failover, "extra": extra}
    answer = httpx2.post(f"{server.url}/v1/runs", json=body, trust_env=False).raise_for_status()
    return str(answer.json()["id"])


def test_the_answer_grows_until_it_is_complete(playground: Playground, server: ServerProcess) -> None:
    playground.open()
    playground.shoot("playground-empty")
    playground.ask("What is a position? 👩‍🚀 日本語", tokens_per_s=60)
    beginning = playground.wait_for_output()
    assert run(server, playground.run_id)["status"] == "in_progress"
    playground.shoot("playground-streaming")
    playground.wait_for_status("Completed")
    asked = run(server, playground.run_id)
    assert playground.output == asked["output"]
    assert asked["output"].startswith(beginning) and len(asked["output"]) > len(beginning)


def test_an_ended_answer_is_formatted_by_the_server(playground: Playground, server: ServerProcess) -> None:
    playground.open()
    playground.ask("Which events does a run have?", tokens_per_s=120)
    rendered = playground.wait_until_formatted()
    assert rendered.locator("code").count() > 0
    expect(playground.tab.locator("#output")).to_be_hidden()
    playground.shoot("playground-completed")
    playground.tab.get_by_role("button", name="Plain text").click()
    expect(playground.tab.locator("#output")).to_be_visible()
    expect(rendered).to_be_hidden()


def test_a_reload_in_mid_answer_loses_and_repeats_nothing(playground: Playground, server: ServerProcess) -> None:
    run_id = start(server, tokens=120)
    playground.follow(run_id)
    before = playground.wait_for_output(longer_than=40)
    playground.reload()
    assert playground.wait_for_output(longer_than=len(before)).startswith(before)
    assert run(server, run_id)["status"] == "in_progress", "the reload was to be in mid-answer"
    playground.wait_for_status("Completed")
    assert playground.output == run(server, run_id)["output"]
    assert playground.run_id == run_id


def test_a_reload_after_the_end_shows_the_whole_answer(playground: Playground, server: ServerProcess) -> None:
    run_id = start(server, tokens=10)
    playground.follow(run_id)
    playground.wait_for_status("Completed")
    whole = playground.output
    playground.reload()
    playground.wait_for_status("Completed")
    assert playground.output == whole == run(server, run_id)["output"]


def test_a_second_tab_sees_the_same_and_stops_it_for_both(
    playground: Playground, server: ServerProcess, visitors: Visitors
) -> None:
    playground.open()
    playground.ask("How do I cancel a run?", tokens_per_s=15)
    playground.wait_for_output(longer_than=40)
    second = visitors.tab(Playground, playground.tab.context)
    second.follow(playground.run_id)
    assert second.wait_for_output().startswith(playground.output[:40])
    expect(second.tab.get_by_role("heading", name="How do I cancel a run?")).to_be_visible()
    second.stop()
    for page in (playground, second):
        page.wait_for_status("Stopped")
        expect(page.tab.locator("#verdict")).to_contain_text("Somebody stopped this answer")
    second.shoot("playground-stopped")
    ended = run(server, playground.run_id)
    assert ended["status"] == "cancelled"
    assert playground.output == second.output == ended["output"]


def test_back_and_forward_go_from_run_to_run(playground: Playground) -> None:
    playground.open()
    playground.ask("How do I cancel a run?", tokens_per_s=120)
    playground.wait_for_status("Completed")
    first, text = playground.run_id, playground.output
    playground.ask("What is a position?", tokens_per_s=120)
    playground.wait_for_status("Completed")
    assert playground.run_id != first
    playground.tab.go_back()
    expect(playground.tab.get_by_role("heading", name="How do I cancel a run?")).to_be_visible()
    playground.wait_for_status("Completed")
    assert (playground.run_id, playground.output) == (first, text)
    playground.tab.go_back()
    expect(playground.tab.locator("#answer")).to_be_hidden()


def test_the_page_carries_on_when_the_server_comes_back(playground: Playground, server: ServerProcess) -> None:
    run_id = start(server, tokens=300)
    playground.follow(run_id)
    before = playground.wait_for_output(longer_than=200)
    with playground.outage():
        server.kill()
        playground.wait_for_status("Reconnecting")
        playground.shoot("playground-reconnecting")
        server.restart()
        expect(playground.tab.locator("#attempt")).to_have_text("Continued after its worker was lost")
        playground.wait_for_output(longer_than=len(before))
        playground.shoot("playground-continued")
        playground.wait_for_status("Completed")
    ended = run(server, run_id)
    assert [attempt["how"] for attempt in ended["attempts"]] == [None, "continued"]
    assert playground.output == ended["output"]
    assert ended["output"].startswith(before), "what a reader has seen is durable"
    expect(playground.tab.locator("#fact-attempts")).to_have_text("2")
    said = playground.tab.locator("#said p").all_text_contents()
    assert said.count("Continued after its worker was lost.") == 1, "a screen reader hears of it, once"


def test_an_answer_that_its_upstream_broke_off_goes_on_and_says_so(
    playground: Playground, server: ServerProcess
) -> None:
    run_id = start(server, fault="cut", after=40, tokens=80)
    playground.follow(run_id)
    expect(playground.tab.locator("#attempt")).to_have_text("Continued, after a fault of the model’s server")
    playground.wait_for_status("Completed")
    assert playground.output == run(server, run_id)["output"]
    expect(playground.tab.locator("#verdict")).to_be_hidden()
    playground.shoot("playground-rescued")
    playground.reload()
    playground.wait_for_status("Completed")
    expect(playground.tab.locator("#fact-attempts")).to_have_text("2")
    expect(playground.tab.locator("#attempt")).to_be_hidden()


def test_a_lost_network_is_told_and_gone_on_after(
    playground: Playground, server: ServerProcess, tunnel: Tunnel
) -> None:
    run_id = start(server, tokens=400)
    playground.url = tunnel.url
    playground.follow(run_id)
    before = playground.wait_for_output(longer_than=40)
    with tunnel.without_network(playground):
        playground.wait_for_status("You are offline")
        playground.shoot("playground-offline")
    playground.wait_for_status("Streaming")
    playground.wait_for_status("Completed")
    assert playground.output == run(server, run_id)["output"]
    assert playground.output.startswith(before)
    expect(playground.tab.locator("#log")).to_contain_text("Back, right behind the last token")


def test_every_spoilt_end_is_told_honestly(playground: Playground, server: ServerProcess) -> None:
    for fault, status, words in [
        ("cut", "Incomplete", "the rest is missing"),
        ("error", "Failed", "answered with an error"),
        ("garbage", "Failed", "could not be understood"),
    ]:
        run_id = start(server, failover=False, fault=fault, after=30)
        playground.follow(run_id)
        playground.wait_for_status(status)
        expect(playground.tab.locator("#verdict")).to_contain_text(words)
        assert playground.output == run(server, run_id)["output"]
        playground.shoot(f"playground-{fault}")


def test_a_run_that_is_gone_is_said_to_be_gone(playground: Playground) -> None:
    with playground.outage():  # the browser writes of every 404
        playground.follow("run_that_never_was")
        playground.wait_for_status("Not followed")
        expect(playground.tab.locator("#verdict")).to_contain_text("run_that_never_was")
        playground.errors().clear()
