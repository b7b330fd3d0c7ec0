"""The command `headwater`, and `serve` when all is well."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from headwater.cli import main
from headwater.config import Config
from headwater.version import VERSION
from tests.api.calls import DEADLINE_S, problem
from tests.support.server import ServerProcess


def test_it_tells_its_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.output) == (0, f"headwater, version {VERSION}\n")


def test_help_names_every_option_with_its_default() -> None:
    assert re.search("serve +Start the server.", CliRunner().invoke(main, ["--help"]).output)
    output = " ".join(CliRunner().invoke(main, ["serve", "--help"]).output.split())
    for option in ("--host", "--port", "--store", "--models", "--workers", "--faults", "--insecure-no-auth"):
        assert option in output
    config = Config()
    for default in (config.host, config.port, config.store, config.models, config.workers):
        assert f"[{default}" in output
    assert "--port is HEADWATER_PORT, in the environment or .env" in output


@pytest.mark.parametrize(
    "args", [["serve", "--port", "http"], ["serve", "--workers", "0"], ["serve", "--tls"], ["run"]]
)
def test_a_wrong_option_is_refused(args: list[str]) -> None:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert "Error: " in result.stderr and "Traceback" not in result.stderr


def test_settings_come_from_options_then_the_environment_then_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "HEADWATER_PORT=1\n"
        "HEADWATER_MAX_BODY_BYTES=90\n"
        'HEADWATER_MAX_PAGE="7"  # quoted, with a comment\n'
        "SOMEBODY_ELSES=1\n"
    )
    with ServerProcess(tmp_path, settings={"max_body_bytes": 150}) as server:
        document = problem(httpx2.post(f"{server.url}/v1/runs", json={"input": "x" * 200}), 413, "too_large")
        assert document["limit"] == 150
        assert problem(httpx2.get(f"{server.url}/v1/runs?limit=8"), 422, "invalid")["limit"] == 7


def test_faults_are_refused_unless_they_are_asked_for(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, store="sqlite::memory:", settings={"log_level": "warning"}) as server:
        body = {"input": "a", "extra": {"demo": {"fault": "cut"}}}
        document = problem(httpx2.post(f"{server.url}/v1/runs", json=body), 422, "invalid")
        assert document["field"] == "extra.demo.fault" and "--faults" in document["detail"]
        assert list(tmp_path.glob("*.db*")) == [], "a store in memory leaves no file"


def test_the_welcome_says_what_to_do_and_it_works(server: ServerProcess, api: httpx2.Client) -> None:
    assert f"listening on {server.url}\n" in server.stderr
    assert f"Open the page      {server.url}/\n" in server.stderr
    assert "OPENAI_BASE_URL=http" in server.stderr and "docs/models.md" in server.stderr
    assert server.stdout == ""
    found = re.search(r"curl -N .*\\\n.*}'\n", server.stderr)
    assert found is not None, server.stderr
    if shutil.which("curl") is None:
        pytest.skip("NOT TESTED: the welcome's command needs curl, which is not installed")
    with subprocess.Popen(
        ["/bin/sh", "-c", found[0].strip()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=server.directory
    ) as curl:
        assert curl.stdout is not None
        begin = curl.stdout.read(60)
        assert begin == b"I am Headwater's built-in demo model: not a language model, "
        (run, *_) = api.get("/v1/runs?limit=1").json()["data"]
        output = api.post(run["cancel_url"]).json()["output"]
        assert begin + curl.stdout.read() == output.encode()
        assert curl.wait(DEADLINE_S) == 18, "curl knows that the text is not whole"
