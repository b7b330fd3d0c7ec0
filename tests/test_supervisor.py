"""The supervisor with stand-ins for its workers: they tell what they hear on stdout, and their pid on the port."""

import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import headwater
from headwater.process import Terminal
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

_psutil: Any = psutil  # it ships no types

# Without what the package imports by itself: there are many stand-ins, and they need its supervisor alone.
ALONE = f"""
import sys, types
sys.modules["headwater"] = types.ModuleType("headwater")
sys.modules["headwater"].__path__ = {list(headwater.__path__)!r}
"""

PARENT = f"""{ALONE}
import asyncio, logging, socket, sys
import uvloop
from headwater.supervisor import Supervisor

async def main(port):
    command = [sys.executable, "-c", sys.argv[3]]
    workers, say = int(sys.argv[2]), lambda: print("all listen", flush=True)
    return await Supervisor(command, port, workers, on_listening=say, patience_s=float(sys.argv[4])).run()

logging.basicConfig(level="INFO", format="%(message)s")
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as port:
    sys.exit(uvloop.run(main(port)))
"""

# Its first lines are a test's own. It listens at once, and ends at the second SIGTERM, or the first if `patience` is 1.
WORKER = f"""{ALONE}
import asyncio, os, pathlib, signal, sys
from headwater.supervisor import take_inherited

def say(word):
    os.write(1, b"%s %d\\n" % (word.encode(), os.getpid()))  # in one piece: all write to one file

patience = 1
exec(os.environ["BEFORE"])

async def main():
    async def answer(reader, writer):
        writer.write(b"%d" % os.getpid())
        writer.close()

    def on_signal(number):
        global patience
        patience -= 1
        say(number.name)
        if inherited.others_accept:
            say("others accept")
        if not patience:
            over.set()

    def on_orphaned():
        say("orphaned")
        over.set()

    over, inherited = asyncio.Event(), take_inherited()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    with inherited.watching(on_orphaned):
        server = await asyncio.start_server(answer, sock=inherited.port)
        inherited.say_listening()
        await over.wait()
        server.close()

asyncio.run(main())
say("ended")
"""


class Family(ServerProcess):
    """A server with worker processes. None of them outlives its test, not even one that is frozen."""

    def __init__(self, directory: Path, **others: Any) -> None:
        super().__init__(directory, **others)
        self._seen: set[Any] = set()

    def pids(self) -> set[int]:
        """Its workers now."""
        children = [child for child in _psutil.Process(self.pid).children() if child.is_running()]
        self._seen |= set(children)
        return {child.pid for child in children}

    def close(self) -> None:
        """End it and all of its workers at once, whatever state they are in."""
        if self.running:
            self.pids()
        super().close()
        for child in self._seen:
            with contextlib.suppress(psutil.NoSuchProcess):  # which it also says of another one with that number
                child.kill()


class Supervised(Family):
    """A supervisor of stand-ins; `before` is what each of them does before it listens."""

    def __init__(self, directory: Path, workers: int, before: str = "", patience_s: float = 20.0) -> None:
        super().__init__(directory, env={"BEFORE": before})
        self.command = [sys.executable, "-c", PARENT, str(self.port), str(workers), WORKER, str(patience_s)]

    @property
    def ready(self) -> bool:
        """Whether it said that all listen."""
        return bool(self.pids() and self.said("all listen"))  # whose pids are noted, so that none is left behind

    def said(self, word: str) -> list[str]:
        """The lines of its own and its workers' that begin with `word`."""
        return [line for line in self.stdout.splitlines() if line.startswith(word)]


@contextlib.contextmanager
def launched(server: Supervised) -> Iterator[Supervised]:
    """One that may never be ready, so that nobody waits for it."""
    try:
        server.launch()
        yield server
    finally:
        server.close()


def who_answers(server: ServerProcess) -> int:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        return int(connection.recv(20))


def test_every_worker_answers_on_the_one_port_though_the_others_are_frozen(tmp_path: Path) -> None:
    with Supervised(tmp_path, 3) as server:
        pids = server.pids()
        assert len(pids) == 3 and len(server.said("all listen")) == 1
        for pid in pids:
            for other in pids - {pid}:
                os.kill(other, signal.SIGSTOP)
            assert {who_answers(server) for _ in range(5)} == {pid}
            for other in pids - {pid}:
                os.kill(other, signal.SIGCONT)
        assert server.pids() == pids, "a frozen worker is left alone"


def test_it_says_that_all_listen_only_when_the_last_one_does(tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    with launched(Supervised(tmp_path, 2, 'open("go").read()')) as server:
        go.write_text("one reads this, and listens")
        wait_until(lambda: len(server.pids()) == 2)
        assert not server.ready, "the second one waits"
        go.write_text("the other one too")
        wait_until(lambda: server.ready)
        assert server.terminate() == 0


def test_the_first_worker_is_alone_until_it_listens(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    with launched(Supervised(tmp_path, 3, 'say("begins"); open("go").read()')) as server:
        wait_until(lambda: server.said("begins"))
        assert len(server.pids()) == 1
        assert server.terminate() == 0, "a worker that never listened needs no drain"


def test_a_killed_worker_is_replaced_and_said(tmp_path: Path) -> None:
    with Supervised(tmp_path, 2) as server:
        before = server.pids()
        killed = who_answers(server)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: "listens in the place" in server.stderr)
        (fresh,) = server.pids() - before
        assert server.pids() == before - {killed} | {fresh}
        died, listens = server.stderr.splitlines()
        assert f"(process {killed}) ended with signal 9 (Killed); the next one starts in" in died
        assert died.startswith("worker ") and listens.startswith(died[: len("worker 1")])
        assert f"(process {fresh})" in listens
        assert len(server.said("all listen")) == 1, "it is said once"


def test_a_worker_that_refuses_later_on_is_tried_again(tmp_path: Path) -> None:
    """Its store may be away for a moment: the others go on meanwhile."""
    with Supervised(tmp_path, 2, 'os.path.exists("broken") and sys.exit(2)') as server:
        (tmp_path / "broken").touch()
        before = server.pids()
        killed = who_answers(server)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: server.stderr.count("ended with exit code 2") >= 2)
        assert {who_answers(server) for _ in range(5)} == before - {killed}
        (tmp_path / "broken").unlink()
        wait_until(lambda: "listens in the place" in server.stderr)


def test_a_worker_that_cannot_start_is_tried_until_the_end(tmp_path: Path) -> None:
    with launched(Supervised(tmp_path, 2, "sys.exit(3)")) as server:
        wait_until(lambda: server.stderr.count("ended with exit code 3") >= 2)
        assert server.terminate() == 0
        assert "worker 1 (process" in server.stderr and "worker 2" not in server.stderr
        assert not server.said("all listen")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_once_they_have_drained(tmp_path: Path, number: signal.Signals) -> None:
    with Supervised(tmp_path, 3) as server:
        pids = server.pids()
        os.killpg(server.pid, number)  # as a terminal does
        assert server.wait() == 0
        for word in ("SIGTERM", "ended"):
            assert sorted(server.said(word)) == sorted(f"{word} {pid}" for pid in pids)
        assert not server.said("SIGINT") and not server.said("others accept")
        assert server.stderr == "Finishing what runs; once more to stop at once.\n"


def test_a_second_signal_reaches_them_too(tmp_path: Path) -> None:
    with Supervised(tmp_path, 2, "patience = 2") as server:
        server.signal(signal.SIGINT)
        wait_until(lambda: len(server.said("SIGTERM")) == 2)
        assert server.running and len(server.pids()) == 2
        assert server.terminate() == 0
        assert len(server.said("SIGTERM")) == 4 and len(server.said("ended")) == 2
        assert server.stderr.count("once more to stop at once") == 1


def test_a_worker_that_dies_while_all_end_is_said_and_not_replaced(tmp_path: Path) -> None:
    with Supervised(tmp_path, 2, "patience = 2") as server:
        server.signal(signal.SIGTERM)
        wait_until(lambda: len(server.said("SIGTERM")) == 2)
        killed, other = server.pids()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: f"(process {killed}) ended with signal 9 (Killed)\n" in server.stderr)
        assert server.pids() == {other}
        assert server.terminate() == 0


def test_workers_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    with Supervised(tmp_path, 3) as server:
        pids = server.pids()
        server.kill()
        wait_until(lambda: len(server.said("ended")) == 3)
        assert sorted(server.said("orphaned")) == sorted(f"orphaned {pid}" for pid in pids)


def test_what_every_worker_refuses_is_said_once_and_ends_it(tmp_path: Path) -> None:
    with launched(Supervised(tmp_path, 4, 'print("headwater: no store", file=sys.stderr); sys.exit(2)')) as server:
        assert server.wait() == 2
        assert (server.stdout, server.stderr) == ("", "headwater: no store\n")


def test_what_a_later_worker_refuses_ends_those_that_listen(tmp_path: Path) -> None:
    first_only = """
try:
    os.mkdir("first")
except FileExistsError:
    sys.exit(2)
"""
    with launched(Supervised(tmp_path, 2, first_only)) as server:
        assert server.wait() == 2
        assert len(server.said("SIGTERM")) == len(server.said("ended")) == 1
        assert not server.said("all listen") and server.stderr == ""


# -- replacing all of them


def test_a_hangup_replaces_one_after_another(tmp_path: Path) -> None:
    with Supervised(tmp_path, 2) as server:
        before = server.pids()
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.pids() - before) == 2 and len(server.said("ended")) == 2)
        first, second = (int(line.split()[1]) for line in server.said("ended"))
        assert {first, second} == before
        said = [line for line in server.stdout.splitlines() if line.startswith(("SIGTERM", "ended"))]
        assert said == [f"SIGTERM {first}", f"ended {first}", f"SIGTERM {second}", f"ended {second}"]
        assert len(server.said("others accept")) == 2, "each in the knowledge that others do"
        assert who_answers(server) in server.pids() - before
        assert len(server.said("all listen")) == 1
        assert [line for line in server.stderr.splitlines() if "is replaced by" in line] == [
            f"worker 1 (process {first}) is replaced by worker 1 (process {new_in(server, 1)})",
            f"worker 2 (process {second}) is replaced by worker 2 (process {new_in(server, 2)})",
        ]


def new_in(server: Supervised, place: int) -> int:
    """The process that a place was given to."""
    (found,) = re.findall(rf"is replaced by worker {place} \(process (\d+)\)", server.stderr)
    assert int(found) in server.pids()
    return int(found)


def test_the_next_one_waits_until_the_one_before_has_ended(tmp_path: Path) -> None:
    with Supervised(tmp_path, 2, "patience = 2") as server:
        before = server.pids()
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.pids()) == 3 and server.said("SIGTERM"))
        server.signal(signal.SIGHUP)  # which is remembered, and tells nobody twice
        server.signal(signal.SIGHUP)
        wait_until(lambda: "all workers are replaced, once more after this" in server.stderr)
        lingering = int(server.said("SIGTERM")[0].split()[1])
        for number in range(4):
            wait_until(partial(so_many, server, "SIGTERM", 2 * number + 1))
            assert so_many(server, "ended", number)
            os.kill(int(server.said("SIGTERM")[-1].split()[1]), signal.SIGTERM)
            wait_until(partial(so_many, server, "ended", number + 1))
        wait_until(lambda: len(server.pids()) == 2)
        assert lingering in before and not server.pids() & before
        assert server.stderr.count("once more after this") == 1


def so_many(server: Supervised, word: str, count: int) -> bool:
    return len(server.said(word)) == count


def test_where_the_first_does_not_come_up_all_workers_stay(tmp_path: Path) -> None:
    with Supervised(tmp_path, 2, 'os.path.exists("broken") and sys.exit(2)') as server:
        (tmp_path / "broken").touch()
        before = server.pids()
        server.signal(signal.SIGHUP)
        wait_until(lambda: "does not come up: the workers that there are go on" in server.stderr)
        assert "ended with exit code 2\n" in server.stderr and server.pids() == before
        assert not server.said("SIGTERM"), "none of them was told to end"
        (tmp_path / "broken").unlink()
        server.signal(signal.SIGHUP)
        wait_until(lambda: not server.pids() & before)


def test_one_that_never_listens_is_dropped_for_the_one_before(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    before_it = 'say("begins"); os.path.exists("slow") and open("go").read()'
    with Supervised(tmp_path, 1, before_it, patience_s=0.5) as server:
        (tmp_path / "slow").touch()
        before = server.pids()
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.said("begins")) == 2)
        wait_until(lambda: "does not come up" in server.stderr and server.pids() == before)
        assert who_answers(server) in before and not server.said("SIGTERM")


def test_a_signal_in_the_midst_of_it_ends_all_and_tells_nobody_twice(tmp_path: Path) -> None:
    with Supervised(tmp_path, 2, "patience = 2") as server:
        before = server.pids()
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.said("SIGTERM") and who_answers(server) not in before)
        server.signal(signal.SIGTERM)
        wait_until(lambda: len(server.said("SIGTERM")) == 3)
        assert len(set(server.said("SIGTERM"))) == 3
        assert server.terminate() == 0
        assert len(server.said("ended")) == 3


def test_a_hangup_may_tell_that_the_terminal_is_gone() -> None:
    ours, theirs = os.openpty()
    terminal, none = Terminal(theirs), Terminal(os.open(os.devnull, os.O_RDONLY))
    assert not terminal.is_gone
    os.close(ours)
    assert terminal.is_gone and not none.is_gone
    os.close(theirs)


def test_a_worker_hands_nothing_on_to_what_it_starts(tmp_path: Path) -> None:
    after = """
import subprocess
inherit = take_inherited
def take_inherited():
    taken = inherit()
    asked = f'import os; os.fstat({taken.port.fileno()})'
    closed = subprocess.run([sys.executable, "-c", asked], close_fds=False, stderr=subprocess.DEVNULL).returncode
    print("handed on", "HEADWATER_INHERITED" in os.environ, closed == 0, flush=True)
    return taken
"""
    with Supervised(tmp_path, 1, after) as server:
        assert server.said("handed on") == ["handed on False False"]
