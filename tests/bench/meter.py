"""Who used how much CPU time meanwhile."""

import time

from tests.bench.job import Job, Result
from tests.bench.measure import cpu_s, machine_cpu_s


class Meter:
    """Takes the CPU time of everyone between its making and `read`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._before = self._now()

    def _now(self) -> tuple[float, ...]:
        server = self._job.server
        return (
            time.monotonic(),
            sum(cpu_s(pid) for pid in (server.pid, *server.helpers)),
            cpu_s(server.redis) if server.redis is not None else 0.0,
            cpu_s(self._job.upstream.pid),
            time.process_time(),
            machine_cpu_s(),
        )

    def read(self, result: Result) -> tuple[float, float]:
        """Write down the shares; return the CPU seconds of the server and of its Redis, where that is counted apart."""
        wall, *used = (now - before for now, before in zip(self._now(), self._before, strict=True))
        server, redis, upstream, load, machine = (seconds / wall for seconds in used)
        result.server_share, result.redis_share = server, redis
        result.upstream_share, result.load_share = upstream, load
        result.others_share = max(0.0, machine - server - redis - upstream - load)
        return used[0], used[1]
