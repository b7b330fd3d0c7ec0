"""The real server as a child process, to be asked, killed and started again."""

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread

from tests.support.forked import Forked, Forkserver
from tests.support.waiting import wait_until

START_S = 30.0  # an interpreter that is measured, on a machine with more processes than cores
FINISH_S = 0.5  # a server without runs stops within this, and leaves its coverage
WITHOUT = Path(__file__).parent / "without"
STOP_S = 30.0  # above the grace time that a drain gives to running answers


# Long enough for a server to take its port, and to come back to it: tests that run at once must not choose the same.
_claims: deque[socket.socket] = deque(maxlen=100)


def free_port() -> int:
    """A TCP port on loopback that nothing listens on, and that no test of any process is about to take.

    From below the range out of which the kernel serves outgoing connections, so that no client
    of another test sits on it when the server starts again.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        claim = socket.socket(type=socket.SOCK_DGRAM)  # UDP's ports are nobody's business but ours
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind(("127.0.0.1", port))
                probe.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        if len(_claims) == _claims.maxlen:
            _claims[0].close()
        _claims.append(claim)
        return port


def _clean_environment(measured: bool) -> dict[str, str]:
    foreign = ("HEADWATER_", "OPENAI_") if measured else ("HEADWATER_", "OPENAI_", "COVERAGE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = [os.path.abspath(entry) for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    environment["PYTHONPATH"] = os.pathsep.join([*path, str(WITHOUT)])  # the child starts elsewhere
    return environment


_HEADWATER = [sys.executable, "-m", "headwater"]
_FORKSERVER = Forkserver(_clean_environment(measured=False))


class ServerProcess:
    """`headwater serve` on a free port of loopback, with its SQLite file in `directory`.

    `settings` are fields of `Config` by name, `args` more of the command line. It sees no
    setting of the surroundings: no `HEADWATER_…`, no `OPENAI_…`, no `.env`. As a context manager
    it starts, sync or async, and leaves no process behind; a server that printed a traceback
    fails a test that was green so far, unless `may_crash`. `measured` is False where coverage would distort timing.
    `forked` is False where the start itself is tested; else it is forked, if it can be: that is six times as cheap.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        store: str | None = None,
        settings: Mapping[str, object] | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        may_crash: bool = False,
        measured: bool = True,
        forked: bool = True,
    ) -> None:
        self.directory = directory
        self.database = directory / "headwater.db"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [*_HEADWATER, "serve", "--host", "127.0.0.1"]
        self.command += ["--port", str(self.port), "--store", store or f"sqlite:{self.database}", *args]
        self.environment = _clean_environment(measured)
        self.environment |= {f"HEADWATER_{name.upper()}": str(value) for name, value in (settings or {}).items()}
        self.environment |= env or {}
        self.may_crash = may_crash
        self._forked = forked
        self._child: subprocess.Popen[bytes] | Forked | None = None
        self._said = 0

    def __repr__(self) -> str:
        return f"<ServerProcess {self.url} {f'pid {self.pid}' if self.running else 'not running'}>"

    # -- life

    def start(self) -> None:
        """Start it and return once it is ready. Raises AssertionError, with its stderr, if it is not."""
        self.launch()
        wait_until(self._ready_or_dead, START_S, "the server is ready")
        assert self.running, f"the server ended with {self.process.returncode}:\n{self.stderr}"

    def launch(self) -> None:
        """Start it without waiting for anything."""
        assert not self.running, "it is running"
        out, err = self._log("stdout"), self._log("stderr")
        with out.open("ab") as stdout, err.open("ab") as stderr:
            self._said = stderr.tell()
            # Where no .env and no headwater.toml lies, unless the test puts one there.
            where = self.directory
            if self._forked and self._can_be_forked():
                args = self.command[len(_HEADWATER) :]
                self._child = Forked(_FORKSERVER, args, cwd=where, env=self.environment, stdout=out, stderr=err)
                return
            self._child = subprocess.Popen(
                self.command,
                cwd=where,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # its own group, so that its children can be ended with it
            )

    def refused(self) -> str:
        """The one line that it says before it gives up, as it must."""
        try:
            self.launch()
            assert self.wait(START_S) == 2, self
        finally:
            self.close()
        assert self.stdout == ""
        assert self.stderr.startswith("headwater: ") and self.stderr.count("\n") == 1, self.stderr
        return self.stderr.removeprefix("headwater: ").rstrip("\n")

    def kill(self) -> None:
        """SIGKILL: it is gone without a word when this returns."""
        self.process.kill()
        self.process.wait(STOP_S)

    def terminate(self, deadline_s: float = STOP_S) -> int:
        """SIGTERM; its exit code once it has drained and ended."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def restart(self) -> None:
        """Start it again, on the same port and the same file, killing it first if it runs."""
        if self.running:
            self.kill()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal and return at once."""
        self.process.send_signal(number)

    def wait(self, deadline_s: float = STOP_S) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(deadline_s)

    def stop(self) -> None:
        """End it soon: SIGTERM, a second one if it would rather finish its runs, SIGKILL if it hangs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.terminate(FINISH_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.terminate(STOP_S)
        self.close()

    def close(self) -> None:
        """End it and whatever it started at once, whatever state it is in."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait(STOP_S)

    # -- looks

    @property
    def process(self) -> subprocess.Popen[bytes] | Forked:
        """The child. Raises AssertionError before the first start."""
        assert self._child is not None, "it was never started"
        return self._child

    @property
    def pid(self) -> int:
        """The process id of the newest start."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it has said that it listens since its newest start, and `/readyz` answers 200."""
        if b"is listening on" not in self._log("stderr").read_bytes()[self._said :]:
            return False  # what answers there is another's
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def stdout(self) -> str:
        """What it printed, since the first start."""
        return self._log("stdout").read_text()

    @property
    def stderr(self) -> str:
        """What it complained of, since the first start."""
        return self._log("stderr").read_text()

    def _can_be_forked(self) -> bool:
        """Whether its command is ours, and would import there what the forkserver has imported."""

        def interpreter(variables: Mapping[str, str]) -> dict[str, str]:
            return {name: value for name, value in variables.items() if name.startswith(("PYTHON", "COVERAGE_"))}

        ours = self.command[: len(_HEADWATER)] == _HEADWATER
        return ours and interpreter(self.environment) == interpreter(_FORKSERVER.environment)

    def _log(self, stream: str) -> Path:
        return self.directory / f"server-{self.port}.{stream}"

    def _ready_or_dead(self) -> bool:
        return not self.running or self.ready

    # -- context

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.running:
            self.stop()
        self.close()
        if kind is not None:
            sys.stderr.write(f"{self} said:\n{self.stderr}")  # shown beside the failure
        if kind is None and not self.may_crash:
            assert "Traceback (most recent call last)" not in self.stderr, self.stderr

    async def __aenter__(self) -> Self:
        # In a thread: the server may ask an upstream that lives in this very loop while it starts.
        return await anyio.to_thread.run_sync(self.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, kind)
