"""Clocks, percentiles, and what a process has used."""

import time
from collections.abc import Sequence
from typing import Any

import psutil

_psutil: Any = psutil  # it ships no types
_NOT_WORK = ("idle", "iowait", "guest", "guest_nice")  # guests are in user already


def now_us() -> int:
    """The monotonic clock, in microseconds."""
    return time.monotonic_ns() // 1000


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that `percent` of all do not exceed; 0 of none."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0


def children(pid: int) -> list[Any]:
    """The processes that it started, and those that they did."""
    found: list[Any] = _psutil.Process(pid).children(recursive=True)
    return found


def _tree(pid: int) -> list[Any]:
    return [_psutil.Process(pid), *children(pid)]


def cpu_s(pid: int) -> float:
    """User and system seconds of a process: all its threads, its children, and those it has waited for."""
    times = [process.cpu_times() for process in _tree(pid)]
    total: float = sum(t.user + t.system + t.children_user + t.children_system for t in times)
    return total


def machine_cpu_s() -> float:
    """Seconds that all cores together were not idle."""
    times = _psutil.cpu_times()._asdict()
    busy: float = sum(seconds for name, seconds in times.items() if name not in _NOT_WORK)
    return busy


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    total: int = sum(process.memory_info().rss for process in _tree(pid))
    return total
