"""`headwater chat`, `watch` and `runs`."""

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import Result

from headwater_client import Client
from tests.cli.at_terminal import CTRL_C, AtTerminal
from tests.cli.command import done, headwater
from tests.cli.conftest import gate
from tests.support.server import ServerProcess, free_port


def refused(result: Result, code: int) -> str:
    """The one line that says why."""
    assert result.exit_code == code, (result.output, result.exception)
    assert result.stderr.startswith("headwater: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("headwater: ").rstrip("\n")


def test_an_answer_is_all_that_is_on_stdout(server: ServerProcess) -> None:
    result = done("chat", "Hello", "--url", server.url)
    assert (result.stdout, result.stderr) == ("Right away.\n", "")
    assert done("chat", "Hello", url=server.url).stdout == "Right away.\n", "HEADWATER_URL says where, too"


def test_an_answer_that_is_not_whole_says_why_and_is_no_success(server: ServerProcess) -> None:
    result = headwater("chat", "Hello", "--url", server.url, "--model", "broken")
    assert result.stdout == "Right \n"
    assert refused(result, 1).startswith("the answer is failed: ")
    result = headwater("chat", "Hello", "--url", server.url, "--model", "demo", "--max-tokens", "2")
    assert result.stdout == "I am\n"
    assert refused(result, 1) == "the answer is incomplete: it reached the most tokens that it may have"


def test_one_may_leave_at_once_and_watch_later(server: ServerProcess) -> None:
    result = done("chat", "Hello", "--url", server.url, "--detach")
    run = result.stdout.strip()
    assert result.stderr == f"Follow it with: headwater watch {run}\n"
    assert done("watch", run, "--url", server.url).stdout == "Right away.\n"
    assert run in done("runs", "--url", server.url).stdout


def test_runs_are_a_table_newest_first(server: ServerProcess) -> None:
    for prompt in ("first", "second"):
        done("chat", prompt, "--url", server.url)
    newest = done("chat", "third", "--url", server.url, "--detach").stdout.strip()
    done("watch", newest, "--url", server.url)
    result = done("runs", "--url", server.url, "--limit", "2", "--status", "completed")
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["RUN", "STATUS", "MODEL", "STARTED", "TOOK"]
    assert first.split()[:3] == [newest, "completed", "quick"] and second.split()[1] == "completed"
    assert "There are older ones" in result.stderr


def test_what_was_asked_wrongly_is_one_line(server: ServerProcess) -> None:
    asked = ("--url", server.url)
    assert "nope" in refused(headwater("watch", "nope", *asked), 2)
    assert "Known are" in refused(headwater("chat", "Hello", *asked, "--model", "nope"), 2)
    assert "is no address" in refused(headwater("runs", "--url", "nonsense"), 2)
    assert "no Headwater" in refused(headwater("runs", "--url", f"{server.url}/elsewhere"), 2)
    said = refused(headwater("runs", *asked, "--key", "not a key"), 2)
    assert said.startswith("--key: ") and "not a key" not in said


class Hostile(BaseHTTPRequestHandler):
    """Commands the terminal in all that it says."""

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Type", "application/problem+json")
        self.end_headers()
        self.wfile.write(json.dumps({"code": "forbidden", "detail": "No\x1b]0;title\x07."}).encode())


def test_a_refusal_commands_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with HTTPServer(("127.0.0.1", 0), Hostile) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        said = refused(headwater("runs", "--url", f"http://127.0.0.1:{server.server_port}"), 2)
        answering.join()
    assert said == "Not allowed: No]0;title."


def test_a_server_that_is_not_there_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"http://127.0.0.1:{free_port()}"
    result = headwater("chat", "Hello", "--url", url, "--max-wait", "0.2")
    *tries, last = result.stderr.splitlines()
    assert result.exit_code == 1 and last.startswith(f"headwater: {url} cannot be used: given up after ")
    assert tries and set(tries) == {f"cannot reach {url}, trying again in 1 s"}


def test_without_the_client_it_says_how_to_get_it() -> None:
    without = "import sys; sys.modules['headwater_client'] = None; from headwater.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", without, "chat", "--model", "x"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("headwater: chat needs the client: pip install 'headwater-client[rooms]'")
    assert result.stderr.count("\n") == 1


# -- at a terminal


def test_ctrl_c_asks_and_cancels_the_answer(server: ServerProcess) -> None:
    with AtTerminal("chat", "Hello", "--url", server.url, "--model", "gated") as person:
        person.sees("Right ")
        person.types(CTRL_C)
        person.sees("Cancel the answer (c)")
        person.types("c\n")
        assert person.exit_code() == 1
    assert "headwater: the answer is cancelled" in person.shown


def test_ctrl_c_twice_leaves_it_running_and_says_how_to_go_on(server: ServerProcess) -> None:
    with AtTerminal("chat", "Hello", "--url", server.url, "--model", "gated") as person:
        person.sees("Right ")
        person.types(CTRL_C)
        person.sees("Cancel the answer (c)")
        person.types(CTRL_C)
        assert person.exit_code() == 1
    found = re.search(r"It goes on\. Follow it with: headwater (watch \S+ --after \S+)\n", person.shown)
    assert found, person.shown
    gate(server).touch()
    assert done(*found[1].split(), "--url", server.url).stdout == "away.\n", "and it goes on just there"


def test_a_restart_of_the_server_only_makes_it_pause(server: ServerProcess) -> None:
    with AtTerminal("chat", "Hello", "--url", server.url, "--model", "gated") as person:
        person.sees("Right ")
        server.kill()
        person.sees("connection lost, trying again in ")
        server.start()
        person.sees("back\n")
        assert person.exit_code() == 1, "its worker was killed: nobody goes on with it, and it says so"
    assert "headwater: the answer is incomplete: " in person.shown
    with Client(server.url) as client:
        (run,) = client.runs(limit=1).runs
        assert client.get(run.id).output == "Right "
    assert person.shown.count("Right ") == 1
