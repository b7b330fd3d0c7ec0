"""`headwater doctor`."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.command import headwater
from tests.support.server import ServerProcess, free_port


def findings(*args: str, code: int) -> dict[str, str]:
    """What it found, by what it looked at, with what to do."""
    result = headwater("doctor", *args)
    assert (result.exit_code, result.stderr) == (code, ""), (result.output, result.exception)
    found: dict[str, str] = {}
    what = ""
    for line in result.stdout.splitlines():
        if line.startswith(" "):
            found[what] += f" {line.strip()}"
        else:
            how, what, said = line.split(maxsplit=2)
            found[what] = f"{how} {said}"
    return found


@contextmanager
def buffering(server: ServerProcess) -> Iterator[str]:
    """A proxy that passes answers on when they are whole; its address."""

    class Holding(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            headers = {name: self.headers[name] for name in ("Content-Type", "Idempotency-Key") if name in self.headers}
            request = urllib.request.Request(f"{server.url}{self.path}", body, headers, method=self.command)
            try:
                reply = urllib.request.urlopen(request)
            except urllib.error.HTTPError as refusal:
                reply = refusal
            with reply:
                whole = reply.read()
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.headers.get("Content-Type", ""))
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole)

        do_GET = do_POST = do_DELETE = pass_on

    with ThreadingHTTPServer(("127.0.0.1", 0), Holding) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


def test_a_server_that_is_well_is_well(server: ServerProcess) -> None:
    before = headwater("runs", "--url", server.url).stdout
    found = findings("--url", server.url, "--model", "demo", code=0)
    assert list(found) == ["server", "store", "key", "model", "stream"]
    assert all(said.startswith("ok ") for said in found.values()), found
    assert found["server"].startswith("ok Headwater ") and server.url in found["server"]
    assert "demo answers, its first word after " in found["model"]
    assert headwater("runs", "--url", server.url).stdout == before, "it leaves nothing behind"


def test_a_proxy_that_holds_the_stream_back_is_found_out(server: ServerProcess) -> None:
    with buffering(server) as url:
        found = findings("--url", url, "--model", "demo", code=1)
    assert found["model"].startswith("ok ")
    assert found["stream"].startswith("BAD held back on its way: ") and "proxy_buffering off" in found["stream"]


def test_a_model_that_fails_is_found_out(server: ServerProcess) -> None:
    found = findings("--url", server.url, "--model", "broken", code=1)
    assert found["model"].startswith("BAD broken: the answer is failed") and "headwater.toml" in found["model"]
    assert "There is no model" in findings("--url", server.url, "--model", "nope", code=1)["model"]


def test_an_answer_that_comes_at_once_tells_nothing_of_the_stream(server: ServerProcess) -> None:
    found = findings("--url", server.url, code=0)
    assert found["stream"].startswith("- the answer came too quickly")


def test_who_is_not_there_or_somebody_else_is_named(server: ServerProcess) -> None:
    away = findings("--url", f"http://127.0.0.1:{free_port()}", code=1)
    assert list(away) == ["server"] and "cannot be reached" in away["server"] and "headwater serve" in away["server"]
    other = findings("--url", f"{server.url}/v1", code=1)
    assert list(other) == ["server"] and "is no Headwater" in other["server"] and "without /v1" in other["server"]


def test_a_key_that_is_wanted_and_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ServerProcess(tmp_path, settings={"keys": "web=k-0123456789abcdef0123456789abcdef"}) as server:
        for args, said in (((), "asks for a key"), (("--key", "hwk_wrong"), "does not take this key")):
            found = findings("--url", server.url, *args, code=1)
            assert list(found) == ["server", "store", "key"]
            assert said in found["key"] and "HEADWATER_KEY" in found["key"]
        found = findings("--url", server.url, "--key", "k-0123456789abcdef0123456789abcdef", code=0)
        assert found["key"] == "ok it is taken"
