"""The client of docs/rooms.md, as a reader would save and run it."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import ServerProcess, free_port
from tests.support.waiting import wait_until

DOCUMENT = Path(__file__).parents[2] / "docs" / "rooms.md"
LINES_MAX = 40


def program() -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


class Client:
    """The program, running: what it has shown, and its keyboard."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.shown = ""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while text := self.process.stdout.read(1):
            self.shown += text

    def types(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def shows(self, text: str) -> None:
        wait_until(lambda: text in self.shown, what=f"{text!r} in {self.shown!r}")


@contextmanager
def client(path: Path, server: ServerProcess, name: str) -> Iterator[Client]:
    url = server.url.replace("http", "ws") + "/v1/rooms/lobby/ws"
    command = [sys.executable, str(path), url, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        running = Client(process)
        try:
            yield running
        finally:
            process.kill()
            running.reader.join()


def test_it_is_short() -> None:
    assert len(program().splitlines()) < LINES_MAX


def test_it_chats_watches_an_answer_grow_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "chat.py"
    path.write_text(program())
    port = free_port()
    with ServerProcess(tmp_path, port=port) as server, client(path, server, "Ann") as ann:
        with client(path, server, "Ben") as ben:
            ann.types("Hello, Ben.")
            ben.shows("Ann: Hello, Ben.\n")
            ben.types("Hello, @demo: what is a position?")
            ann.shows("Ben: Hello, @demo: what is a position?\ndemo: ")
            wait_until(lambda: len(ann.shown.rpartition("demo: ")[2]) > 20, what="it grows")
            server.kill()
        ann.types("Is anybody there?")
        with ServerProcess(tmp_path, port=port) as again, client(path, again, "Ben") as ben:
            ann.shows("docs/models.md shows all three.")  # the answer goes on, to its last words
            ann.shows("Ann: Is anybody there?\n")
            ben.shows("Ann: Is anybody there?\n")
        assert ann.shown.count("Is anybody there?") == 1
        assert ann.shown.count("Ben: Hello, @demo") == 1
