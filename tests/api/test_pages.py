"""The page over HTTP: what it may load, who its guests are, and what it asks the server for."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, ended, problem, start
from tests.api.rooms import make
from tests.support.server import ServerProcess

PAGES = ["/", "/runs/run_any", "/rooms", "/rooms/lobby", "/board"]


@pytest.fixture
def browser(server: ServerProcess) -> Iterator[httpx2.Client]:
    """Whoever has not been here: with cookies of their own."""
    with httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as browser:
        yield browser


def come_as(browser: httpx2.Client, name: str, room: str = "", **headers: str) -> httpx2.Response:
    return browser.post("/guest", data={"name": name, "room": room}, headers=headers)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_and_runs_nothing_but_its_own_files(browser: httpx2.Client, path: str) -> None:
    response = browser.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert response.headers["x-frame-options"] == "DENY"
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", response.text)
    assert "set-cookie" not in response.headers, "who gives no name gets no cookie"


@pytest.mark.parametrize("path", PAGES)
def test_all_files_of_a_page_are_there(browser: httpx2.Client, path: str) -> None:
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', browser.get(path).text)
    assert len(files) >= 4
    seen = set()
    while files:
        name = files.pop()
        if name in seen:
            continue
        seen.add(name)
        response = browser.get(name)
        assert response.status_code == 200, name
        assert response.headers["cache-control"] == "no-cache"
        again = browser.get(name, headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304
        for module in re.findall(r'^(?:import|export)[^;]*?from "(\.[^"]+)"', response.text, re.MULTILINE):
            files.append(str(httpx2.URL(f"{browser.base_url}{name}").join(module).path))
    assert path == "/rooms/lobby" or "/static/headwater/index.js" in seen


def test_no_file_but_the_pages_is_given(browser: httpx2.Client) -> None:
    for path in ["/static/", "/static/app", "/static/../templates/base.html", "/static/%2e%2e/pages.py", "/static/x"]:
        problem(browser.get(path), 404, "not_found")
    problem(browser.post("/static/icon.svg"), 405, "method_not_allowed")


def test_a_guest_is_known_by_the_name_that_they_gave(browser: httpx2.Client) -> None:
    answer = come_as(browser, "  Zoë 日本 ", "lobby")
    assert (answer.status_code, answer.headers["location"]) == (303, "/rooms/lobby")
    cookie = answer.headers["set-cookie"].lower()
    assert all(flag in cookie for flag in ("httponly", "samesite=strict", "path=/"))
    assert 'data-guest="Zoë 日本"' in browser.get("/rooms/lobby").text
    assert come_as(browser, "Ann").headers["location"] == "/rooms"
    assert 'data-guest="Ann"' in browser.get("/").text


def test_a_name_is_text_in_the_page(browser: httpx2.Client) -> None:
    come_as(browser, '"><script>alert(1)</script>')
    page = browser.get("/rooms").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("name", "room"), [("", ""), (" ", ""), ("x" * 65, ""), ("a\nb", ""), ("Ann", "a/b"), ("Ann", ".."), ("Ann", "//x")]
)
def test_what_is_no_name_and_no_room_is_refused(browser: httpx2.Client, name: str, room: str) -> None:
    answer = come_as(browser, name, room)
    problem(answer, 422, "invalid")
    assert "set-cookie" not in answer.headers


def test_a_name_that_this_server_did_not_sign_is_nobodys(browser: httpx2.Client) -> None:
    come_as(browser, "Ann")
    signed = browser.cookies["headwater_guest"]
    browser.cookies.clear()
    browser.cookies["headwater_guest"] = "x" + signed
    assert 'data-guest=""' in browser.get("/").text


def test_pages_of_other_sites_name_nobody(browser: httpx2.Client) -> None:
    for origin in ("https://evil.example", "null"):
        problem(come_as(browser, "Ann", Origin=origin), 403, "forbidden")
    assert come_as(browser, "Ann", Origin=str(browser.base_url).rstrip("/")).status_code == 303


def test_what_is_no_form_is_refused(browser: httpx2.Client) -> None:
    problem(browser.post("/guest", json={"name": "Ann"}), 415, "unsupported_media_type")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    problem(browser.post("/guest", content=b"name=%FF", headers=form), 400, "bad_request")
    problem(browser.post("/guest", content=b"name=" + b"x" * 5000, headers=form), 413, "too_large")


def rendered(browser: httpx2.Client, *texts: str) -> list[str]:
    html: list[str] = browser.post("/markdown", json={"texts": texts}).raise_for_status().json()["html"]
    return html


def test_answers_are_rendered_in_their_order(browser: httpx2.Client) -> None:
    long = "word " * 2000
    assert rendered(browser, "*a*", long, "") == ["<p><em>a</em></p>\n", f"<p>{long.strip()}</p>\n", ""]


def test_too_much_to_render_is_refused(browser: httpx2.Client) -> None:
    problem(browser.post("/markdown", json={"texts": ["x" * 40_000] * 2}), 422, "invalid")
    problem(browser.post("/markdown", json={"texts": [""] * 101}), 422, "invalid")


def figures(browser: httpx2.Client) -> Any:
    return browser.get("/board/figures").raise_for_status().json()


def demo(figures: Any) -> Any:
    of = [model for model in figures["models"] if model["model"] == "demo"]
    return of[0] if of else {"started": 0, "ended": {}, "output_tokens": 0}


def test_the_boards_figures_are_the_workers(browser: httpx2.Client) -> None:
    before = figures(browser)
    ended(browser, start(browser))
    after = figures(browser)
    assert after["worker"] == before["worker"]
    assert after["events"] - before["events"] >= 21, "twenty tokens and an end"
    assert demo(after)["started"] - demo(before)["started"] == 1
    assert demo(after)["output_tokens"] - demo(before)["output_tokens"] == 20
    assert demo(after)["ended"]["completed"] - demo(before)["ended"].get("completed", 0) == 1
    bounds = [bound for bound, _ in after["first_token"]]
    counts = [count for _, count in after["first_token"]]
    assert bounds == sorted(bounds) and counts == sorted(counts)
    assert counts[-1] >= 1


def test_the_list_of_rooms_has_a_way_in(browser: httpx2.Client) -> None:
    room = make(browser)["name"]
    assert browser.get(f"/rooms/{room}").status_code == 200
    problem(browser.get("/rooms/not a room"), 404, "not_found")
