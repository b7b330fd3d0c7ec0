"""POST /v1/runs/{id}/cancel: whatever the run is doing."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, SLOW, cancel, ended, get, messages, producing, start
from tests.support.server import ServerProcess


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A server that produces one run while the others wait."""
    with (
        ServerProcess(tmp_path_factory.mktemp("cancel"), settings={"max_runs": 1, "drain_s": 0}) as server,
        httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        yield api


def test_a_running_run_is_cancelled_and_keeps_what_it_had(api: httpx2.Client) -> None:
    run = producing(api, start(api, SLOW))
    cancelled = cancel(api, run)
    assert (cancelled["status"], cancelled["cancel_requested"]) == ("cancelled", False)
    assert (cancelled["reason"], cancelled["finish_reason"], cancelled["error"]) == (None, None, None)
    assert cancelled["output"].startswith(run["output"])
    assert cancelled["usage"]["estimated"] is True
    assert get(api, run) == cancelled


def test_a_second_cancel_changes_nothing(api: httpx2.Client) -> None:
    run = producing(api, start(api, SLOW))
    assert cancel(api, run) == cancel(api, run)


def test_a_completed_run_comes_unchanged(api: httpx2.Client) -> None:
    run = ended(api, start(api))
    assert cancel(api, run) == run
    assert run["status"] == "completed"


def test_a_cancel_may_have_a_body(api: httpx2.Client) -> None:
    run = start(api, SLOW)
    assert api.post(run["cancel_url"], json={}).json()["status"] == "cancelled"


def test_a_run_cancelled_before_its_first_token_is_cancelled(api: httpx2.Client) -> None:
    run = cancel(api, start(api, {"demo": {"fault": "slow_start"}}))
    assert (run["status"], run["output"], run["parts"]) == ("cancelled", "", [])


def test_a_queued_run_is_ended_by_the_cancel_itself(one_at_a_time: httpx2.Client) -> None:
    running = producing(one_at_a_time, start(one_at_a_time, SLOW))
    queued = start(one_at_a_time)
    run = cancel(one_at_a_time, queued)
    assert (run["status"], run["started_at"], run["output"]) == ("cancelled", None, "")
    names = [message.event for message in messages(one_at_a_time.get(run["events_url"]).text)]
    assert names == ["run", "end"]
    assert get(one_at_a_time, running)["status"] == "in_progress"
    # Its place in the queue is nobody's: the next one starts when the first has ended.
    after = start(one_at_a_time)
    cancel(one_at_a_time, running)
    assert ended(one_at_a_time, after)["status"] == "completed"
    assert get(one_at_a_time, queued) == run
