"""`headwater serve`. It owns the signals: drain first, only then uvicorn's exit."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import click
import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.datastructures import CommaSeparatedStrings

from headwater.access import Access
from headwater.app import check, create_app, lifespan
from headwater.cli.common import environment, refusals
from headwater.cli.logs import set_up_logging
from headwater.config import PREFIX, Config, config_from, unknown_variables
from headwater.core.session import FRAME_BYTES
from headwater.errors import ConfigError
from headwater.executor import Executor
from headwater.hub import Hub
from headwater.process import FINISHING, SIGNALS, Terminal, say
from headwater.state import AppState
from headwater.supervisor import Inherited, Supervisor, take_inherited
from headwater.version import VERSION
from headwater.web.connection import Connection
from headwater.web.origins import LOCAL
from headwater.web.socket_connection import SocketConnection

log = logging.getLogger("headwater")

# For requests that are neither runs nor subscribers to be answered once the drain is over.
EXIT_S = 5
# For a worker to start, beside what it waits for its store, and for one to end that has drained.
ROLL_S = 15.0
# Some 20 MB of new objects at the most between two looks at the youngest; Python's own 700 are a few requests.
GC_THRESHOLDS = (50_000, 20, 20)
# Connections waiting to be accepted: a restart is met by all who were let go.
BACKLOG = 2_048


@click.command()
@click.option("--host", help="Address to listen on. Without keys: loopback only.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [8000]")
@click.option("--store", help="sqlite:FILE, sqlite::memory: or redis://HOST:PORT/DB  [sqlite:headwater.db]")
@click.option("--models", help="The models file.  [headwater.toml, if there is one]")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; more than one needs a shared store.  [1]")
@click.option(
    "--wait-for-store",
    "wait_for_store_s",
    type=float,
    metavar="SECONDS",
    help="Wait so many seconds for the store to answer at the start.  [0]",
)
@click.option("--faults", is_flag=True, default=None, help="Let requests ask the demo model for faults.")
@click.option(
    "--insecure-no-auth", is_flag=True, default=None, help="Listen beyond loopback without asking anybody for a key."
)
def serve(**options: Any) -> None:
    """Start the server. Each option is also a variable: --port is HEADWATER_PORT, in the environment or .env."""
    with refusals():
        inherited = take_inherited()
        environ = environment()
        config = config_from(environ, **options)
        set_up_logging(config.log_level)
        for unknown in unknown_variables(environ):
            log.warning("%s is no setting of Headwater's: see docs/settings.md", unknown)
        if config.workers > 1:
            sys.exit(_supervise(config, options))
        port = inherited.port if inherited else _listen(config)
        with port as sock, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            config = _named(config, sock.getsockname()[0])
            runner.run(_serve(create_app(config, environ=environ), config, sock, inherited))


def _named(config: Config, host: str) -> Config:
    """On loopback no name is answered to that a page of elsewhere could have, for as long as nobody is asked.

    `host` is the address of the socket: what a name or an empty text stood for is settled there.
    """
    if config.trusted_hosts or not ipaddress.ip_address(host).is_loopback:
        return config
    return msgspec.structs.replace(config, trusted_hosts=CommaSeparatedStrings([LOCAL]))


def _has_keys(config: Config) -> bool:
    """Whether everybody is asked by what is set, whatever the store may have."""
    return bool(str(config.keys) or str(config.jwt_secret) or config.jwt_jwks)


def _supervise(config: Config, options: Mapping[str, Any]) -> int:
    """Run several workers; the exit code. The models file is left to them: it may name modules to import."""
    check(config)
    with _listen(config) as sock, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        say_welcome = partial(say, welcome(sock.getsockname(), _has_keys(config), supervisor=os.getpid()))
        # `-P`: as with the console command, the folder it is started in hides no module of ours.
        command = [sys.executable, "-P", "-m", "headwater", "serve"]
        variables = _worker_variables(options)
        patience_s = max(config.drain_s + config.drain_spread_s, config.wait_for_store_s) + ROLL_S
        supervisor = Supervisor(
            command, sock, config.workers, variables=variables, on_listening=say_welcome, patience_s=patience_s
        )
        return runner.run(supervisor.run())


def _worker_variables(options: Mapping[str, Any]) -> dict[str, str]:
    """The command's options, for a worker alone: as variables, since everybody can see a process's arguments."""
    given = {name: value for name, value in options.items() if value is not None} | {"workers": 1}
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in given.items()}


def _refuse_strangers(host: str, config: Config, access: Access) -> None:
    """Without keys whoever reaches the server may use it, so only this machine may reach it. Raises ConfigError."""
    if not (ipaddress.ip_address(host).is_loopback or access.asks or config.insecure_no_auth):
        raise ConfigError(
            f"will not listen on {host}: there are no keys, so whoever reaches it could use it; set "
            "HEADWATER_KEYS or HEADWATER_JWT_…, make a key with headwater keys create, use --host 127.0.0.1, "
            "or take the risk with --insecure-no-auth"
        )


@contextlib.contextmanager
def _listen(config: Config) -> Iterator[socket.socket]:
    """The listening socket, bound before anything else starts."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if config.send_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.send_buffer_bytes)
        try:
            sock.bind((config.host, config.port))
            sock.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise ConfigError(f"cannot listen on {config.host} port {config.port}: {reason.lower()}") from None
        yield sock


async def _serve(app: Starlette, config: Config, sock: socket.socket, inherited: Inherited | None) -> None:
    _spare_the_collector()
    async with lifespan(app) as entered:
        state = cast(AppState, entered)
        address = sock.getsockname()[0]
        _refuse_strangers(address, config, state["access"])
        if not (ipaddress.ip_address(address).is_loopback or state["access"].asks):
            log.warning("anybody who reaches %s can use this server: nobody is asked for a key", address)
        server = Server(app, config, state, inherited)
        await server.serve([sock])


def _spare_the_collector() -> None:
    """Look for cycles less often: with many streams that took a tenth of the worker's time, and found nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class Server(uvicorn.Server):
    """uvicorn, with our state, our connection class, and a drain before its exit.

    One with a supervisor leaves what there is to say to it, and drains when it dies.
    """

    def __init__(self, app: Starlette, config: Config, state: AppState, inherited: Inherited | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                http=Connection,
                ws=SocketConnection,
                ws_max_size=FRAME_BYTES,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=config.log_level == "debug",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=EXIT_S,
            )
        )
        self._limits = config
        self._state = state
        self._executor: Executor = state["executor"]
        self._access: Access = state["access"]
        self._hub: Hub = state["hub"]
        self._inherited = inherited
        self._terminal = Terminal()
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say what a newcomer needs next."""
        self.lifespan.state.update(self._state)  # first: connections may be waiting to be accepted
        # Of several on one log, and in what the store says of its leases.
        level = logging.INFO if self._inherited else logging.DEBUG
        log.log(level, "worker %s (process %d)", self._executor.worker, os.getpid())
        await super().startup(sockets)
        if self._inherited:
            self._inherited.say_listening()
        elif sockets:
            say(welcome(sockets[0].getsockname(), self._access.asks))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals for the time of the block, and the death of a supervisor; none is raised again after it."""
        loop = asyncio.get_running_loop()
        for one in SIGNALS:
            loop.add_signal_handler(one, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            with self._inherited.watching(self._on_orphaned) if self._inherited else contextlib.nullcontext():
                yield
        finally:
            for one in (*SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(one)

    def _on_signal(self) -> None:
        if self._draining is not None:
            self.should_exit = self.force_exit = True
            return
        if self._inherited is None:
            say(FINISHING)
        self._draining = asyncio.ensure_future(self._drain())

    def _on_hangup(self) -> None:
        if self._terminal.is_gone:
            self._on_signal()
        else:
            log.warning("SIGHUP is for the parent of several workers, which then replaces them: it is passed over here")

    def _on_orphaned(self) -> None:
        log.warning("the supervisor is gone: finishing what runs")
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        until = asyncio.get_running_loop().time() + self._limits.drain_s
        try:
            if self.started and self._inherited and self._inherited.others_accept:
                for server in self.servers:
                    server.close()  # the port itself stays open: the others listen at it
            drained = asyncio.ensure_future(self._executor.drain(self._limits.drain_s))
            await asyncio.sleep(0)  # it has begun: from now on each request is the last of its connection
            for connection in self.server_state.connections:
                if isinstance(connection, Connection):
                    connection.answer_and_close()
            shared = self._state["store"].shared
            if shared:
                await self._send_elsewhere()
            await drained
            if shared:
                await self._see_off(until)
            await self._hub.farewell.let_everyone_go(self._limits.drain_spread_s)
        except Exception:
            log.exception("the drain failed")
        finally:
            self.should_exit = True

    async def _send_elsewhere(self) -> None:
        """Let those go who can come back to another worker.

        Connections that are kept alive have as much time to hear, with an answer, that it was their last.
        """
        loop, spread_s = asyncio.get_running_loop(), self._limits.drain_spread_s
        heard_by = loop.time() + spread_s
        await self._hub.farewell.send_elsewhere(spread_s)
        if self.server_state.connections:
            await asyncio.sleep(heard_by - loop.time())

    async def _see_off(self, until: float) -> None:
        """The others have their runs to the end, wherever it is; what is asked by then is answered."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._hub.farewell.deserted()
                for connection in tuple(self.server_state.connections):
                    connection.shutdown()  # now if nothing is asked on it
                if self.server_state.tasks:
                    await asyncio.wait(tuple(self.server_state.tasks))


def welcome(address: tuple[Any, ...], asks: bool, supervisor: int | None = None) -> str:
    """The things that a newcomer needs next: with a key where one is asked for, and the process to send signals to."""
    host, port = address[0], address[1]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    key = ' \\\n                       -H "Authorization: Bearer $KEY"' if asks else ""
    replace = f"  Replace workers    kill -HUP {supervisor}      (docs/operations.md)\n" if supervisor else ""
    return f"""
Headwater {VERSION} is listening on {url}

  Stream an answer   curl -N '{url}/v1/runs?format=text' -H 'Content-Type: application/json'{key} \\
                       -d '{{"input": "How do I resume a stream?"}}'
  Open the page      {url}/
  Use your model     OPENAI_BASE_URL=http://127.0.0.1:11434/v1 headwater serve      (or headwater.toml: docs/models.md)
{replace}"""
