"""An interpreter that has imported the command, and forks itself for each server that a test starts.

The imports are nearly all of what a start costs. From the fork on a child is what `python -m headwater` would be: a
session, a folder, an environment, arguments and files of its own, and the end that every interpreter has, save that
nothing is taken apart: to undo the imports costs more than all else that a child does.

    python -m tests.support.forkserver FD

`FD` is a socket; each byte that comes on it brings another one, the line of one child. On that comes what the child
shall be, as a line of JSON, and goes `started PID`, and `ended CODE` once it has.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import sys
import threading
from importlib import import_module
from selectors import EVENT_READ, DefaultSelector

import headwater.app
import headwater.cli
from headwater.providers.demo_corpus import load_corpus

# What a server imports only once it runs.
LATER = ("anyio._backends._asyncio", "anyio.streams.tls", "certifi", "uvicorn.lifespan.off")
STARTED = b"started %d\n"
ENDED = b"ended %d\n"


def fork_for_each(control: socket.socket) -> socket.socket | None:
    """Fork for each byte on `control`, until its end, and tell how the children end.

    Returns None then, and in each child its line.
    """
    lines: dict[int, socket.socket] = {}
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)  # by default it wakes nobody
    selector = DefaultSelector()
    for one in (control, woken):
        selector.register(one, EVENT_READ)
    while True:
        ready = [key.fileobj for key, _ in selector.select()]
        if woken in ready:
            woken.recv(4_096)
            _tell_ends(lines)
        if control in ready:
            asked, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not asked:
                return None
            line = socket.socket(fileno=descriptors[0])
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                selector.close()
                for ours in (control, woken, waker, *lines.values()):
                    ours.close()
                return line
            lines[pid] = line


def _tell_ends(lines: dict[int, socket.socket]) -> None:
    while lines:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with lines.pop(pid) as line, contextlib.suppress(OSError):  # nobody wants to know any more
            line.sendall(ENDED % os.waitstatus_to_exitcode(status))


def become(line: socket.socket) -> None:
    """Be what comes on `line`, as a new process would be."""
    with line, line.makefile() as asked:
        wanted = json.loads(asked.readline())
        os.setsid()
        os.chdir(wanted["cwd"])
        os.environ.clear()
        os.environ.update(wanted["env"])
        sys.path[0] = wanted["cwd"]  # as `python -m` does
        sys.argv = wanted["argv"]
        for number, path in enumerate((os.devnull, wanted["stdout"], wanted["stderr"])):
            descriptor = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(descriptor, number)
            os.close(descriptor)
        line.sendall(STARTED % os.getpid())


def run() -> None:
    """Be the command, and end with it."""
    try:
        runpy.run_module(headwater.__name__, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise  # has something to say
        code = ended.code or 0
    else:
        code = 0
    threading._shutdown()  # type: ignore[attr-defined]  # waits for those that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def prepare() -> None:
    """Do once what each child would do at its start, and what is the same for all of them."""
    for name in LATER:
        import_module(name)
    corpus = load_corpus()
    setattr(headwater.app, load_corpus.__name__, lambda: corpus)


def main() -> None:
    prepare()
    gc.collect()
    gc.freeze()  # what the imports made stays shared with the children
    with socket.socket(fileno=int(sys.argv[1])) as control:
        line = fork_for_each(control)
    if line is not None:
        become(line)
        run()


if __name__ == "__main__":
    main()
