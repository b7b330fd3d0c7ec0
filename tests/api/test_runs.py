"""Looking at runs: one of them, lists of them, and their deletion."""

from typing import Any

import httpx2
import pytest

from tests.api.calls import SLOW, cancel, ended, get, problem, producing, start


def ids(api: httpx2.Client, **parameters: Any) -> list[str]:
    """The ids of a list, which must say that it is whole."""
    page = api.get("/v1/runs", params=parameters).json()
    assert (page["object"], page["has_more"]) == ("list", False)
    return [run["id"] for run in page["data"]]


def test_an_ended_run_has_all_that_became_of_it(api: httpx2.Client) -> None:
    run = ended(api, start(api))
    assert run["parts"] == [{"text": run["output"]}]
    assert run["usage"] == {"input_tokens": 1, "output_tokens": 20}
    assert run["attempts"] == [{"number": 1, "reason": None, "how": None, "model": "demo", "usage": run["usage"]}]
    assert (run["finish_reason"], run["reason"], run["error"]) == ("stop", None, None)
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]
    assert run["expires_at"] == pytest.approx(run["ended_at"] + 86_400, abs=1)
    assert run["position"].startswith("21-")


def test_a_failed_run_says_why(api: httpx2.Client) -> None:
    run = ended(api, start(api, {"demo": {"fault": "error", "after": 3}}, failover=False))
    assert (run["status"], run["reason"], run["finish_reason"]) == ("failed", "upstream_error", None)
    assert run["error"] == {"code": "upstream_error", "detail": "the demo model was asked to fail"}
    assert run["output"] == "I am Headwater's"


def test_a_cut_run_is_incomplete(api: httpx2.Client) -> None:
    run = ended(api, start(api, {"demo": {"fault": "cut", "after": 3}}, failover=False))
    assert (run["status"], run["reason"], run["error"]["code"]) == ("incomplete", "upstream_cut", "upstream_cut")


def test_an_unknown_run_is_nowhere(api: httpx2.Client) -> None:
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events")]:
        assert "run_nope" in problem(api.request(method, f"/v1/runs/run_nope{path}"), 404, "unknown_run")["detail"]


def test_lists_are_newest_first_and_go_on_where_the_page_before_ended(api: httpx2.Client) -> None:
    made = [start(api, conversation="paging")["id"] for _ in range(5)]
    assert ids(api, conversation="paging") == made[::-1]
    first = api.get("/v1/runs", params={"conversation": "paging", "limit": 2}).json()
    assert ([run["id"] for run in first["data"]], first["has_more"]) == ([made[4], made[3]], True)
    second = api.get("/v1/runs", params={"conversation": "paging", "limit": 2, "before": made[3]}).json()
    assert ([run["id"] for run in second["data"]], second["has_more"]) == ([made[2], made[1]], True)
    assert ids(api, conversation="paging", limit=2, before=made[1]) == [made[0]]
    assert ids(api, conversation="paging", before=made[0]) == []


def test_lists_are_filtered_by_conversation_and_status(api: httpx2.Client) -> None:
    slow, quick = start(api, SLOW, conversation="filters"), start(api, conversation="filters")
    producing(api, slow)
    ended(api, quick)
    assert ids(api, conversation="filters", status="in_progress") == [slow["id"]]
    assert ids(api, conversation="filters", status="completed") == [quick["id"]]
    assert ids(api, conversation="nobody's") == []
    cancel(api, slow)
    assert ids(api, conversation="filters", status="cancelled") == [slow["id"]]


def test_a_row_is_a_run_without_its_output(api: httpx2.Client) -> None:
    run = ended(api, start(api, conversation="row"))
    (row,) = api.get("/v1/runs", params={"conversation": "row"}).json()["data"]
    assert {name: run[name] for name in row} == row
    assert not {"output", "parts", "usage"} & row.keys()


def test_a_run_that_has_not_ended_is_not_deleted(api: httpx2.Client) -> None:
    run = producing(api, start(api, SLOW))
    assert "cancel it" in problem(api.delete(run["url"]), 409, "run_not_ended")["detail"]
    assert get(api, run)["status"] == "in_progress"
    cancel(api, run)


def test_a_deleted_run_is_gone_everywhere(api: httpx2.Client) -> None:
    run = ended(api, start(api, conversation="deleted"))
    response = api.delete(run["url"])
    assert (response.status_code, response.content) == (204, b"")
    problem(api.get(run["url"]), 404, "unknown_run")
    problem(api.get(run["events_url"]), 404, "unknown_run")
    problem(api.delete(run["url"]), 404, "unknown_run")
    assert ids(api, conversation="deleted") == []
