"""The parts of the page that are no more than a function of what they are given."""

from typing import Any

from tests.browser.conftest import Visitors
from tests.browser.page import Page


def figures(worker: str, **of: Any) -> dict[str, Any]:
    usual = {"runs": 0, "subscribers": 0, "room_members": 0, "events": 0, "first_token": [], "models": []}
    return {"worker": worker, **usual, **of}


def looked(page: Page, looks: list[tuple[int, dict[str, Any]]], what: str) -> Any:
    """What the board makes of looks at workers, each at so many milliseconds."""
    script = """async ([looks, what]) => {
        const { Workers } = await import("/static/app/figures.js");
        const workers = new Workers();
        for (const [at, figures] of looks) workers.add(at, figures);
        return { rate: workers.rate(), first: workers.firstToken(), runs: workers.sum("runs"),
                 count: workers.count, models: workers.models() }[what];
    }"""
    return page.tab.evaluate(script, [looks, what])


def test_what_several_workers_do_is_added_up(visitors: Visitors) -> None:
    page = visitors.visit(Page)
    page.open("/rooms")
    one = [(0, figures("one", events=100, runs=1)), (4000, figures("one", events=500, runs=2))]
    two = [(2000, figures("two", events=1000, runs=5)), (6000, figures("two", events=1200, runs=3))]
    assert looked(page, [*one, *two], "rate") == 150
    assert looked(page, [*one, *two], "runs") == 5
    assert looked(page, one[:1], "rate") is None, "one look is no rate"
    restarted = [*one, (8000, figures("new", events=3))]
    assert looked(page, restarted, "rate") == 100, "a worker that is new has not written a thousand at once"
    assert looked(page, [*one, (60_000, figures("two", runs=3))], "count") == 1, "who is gone counts no more"


def test_the_median_is_of_what_came_since(visitors: Visitors) -> None:
    page = visitors.visit(Page)
    page.open("/rooms")
    before = figures("one", first_token=[[0.01, 90], [0.1, 90], [1.0, 90]])
    after = figures("one", first_token=[[0.01, 90], [0.1, 92], [1.0, 100]])
    assert looked(page, [(0, before)], "first") is None
    assert looked(page, [(0, before), (1000, after)], "first") == 0.1 + 0.9 * 3 / 8


def test_who_is_meant_by_a_text(visitors: Visitors) -> None:
    page = visitors.visit(Page)
    page.open("/rooms")
    script = """async (text) => {
        const { meant } = await import("/static/app/mentions.js");
        const named = [["demo", "demo"], ["gpt-4", "gpt-4"], ["guest:Ann", "Ann"], ["guest:Ann Lee", "Ann Lee"]];
        return meant(text, named.map(([id, name]) => ({ id, name })));
    }"""
    for text, ids in {
        "@demo hello": ["demo"],
        "hello @Demo, and (@gpt-4)!": ["demo", "gpt-4"],
        "@Ann Lee is not @Ann": ["guest:Ann Lee", "guest:Ann"],
        "me@demo.org, @demos, @ demo, @gpt-45": [],
        "@demo @demo": ["demo"],
    }.items():
        assert page.tab.evaluate(script, text) == ids, text
