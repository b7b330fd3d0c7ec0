"""The table: figures of both sides, their ratio, and the targets."""

import os
import platform
import sqlite3
from collections.abc import Callable, Sequence
from importlib.metadata import version
from statistics import median

from msgspec import Struct

from tests.bench.job import Result

_WIDTHS = (31, 12, 14, 21, 12, 7)
_VERSIONS = ("starlette", "uvicorn", "uvloop", "httptools", "httpx", "httpx-aiohttp", "sse-starlette")
# Above this share of a core the upstream or the load may be what is measured.
_BUSY = 0.8
# Above this share of a core, work of others shows in the delays.
_NOISY = 0.25


class Figure(Struct, frozen=True):
    """One line of the table. The targets are bounds: on the ratio to the peer, on Headwater's own figure."""

    label: str
    of: Callable[[Result], float]
    unit: str
    ratio_max: float | None = None
    own_max: float | None = None


def facts() -> str:
    """The machine and the versions, on which absolute figures depend."""
    versions = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}\n{versions}\n"
    )


def _line(*cells: str) -> str:
    label, *figures = (f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  ".join([f"{label.strip():<{_WIDTHS[0]}}", *figures]).rstrip() + "\n"


def _row(figure: Figure, peer: Sequence[Result], ours: Sequence[Result]) -> str:
    theirs, own = [figure.of(result) for result in peer], [figure.of(result) for result in ours]
    # Both of a pair met the same minutes of the machine, so the ratio is taken within it.
    ratios = sorted(b / a for a, b in zip(theirs, own, strict=True) if a > 0)
    shown = f"{median(ratios):.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f})" if ratios else "–"
    target = met = ""
    if figure.ratio_max is not None:
        target = f"≤ {figure.ratio_max} × peer"
        met = "met" if ratios and median(ratios) <= figure.ratio_max else "NOT MET"
    elif figure.own_max is not None:
        target = f"≤ {figure.own_max:g} {figure.unit}"
        met = "met" if median(own) <= figure.own_max else "NOT MET"
    return _line(f"{figure.label}, {figure.unit}", f"{median(theirs):.1f}", f"{median(own):.1f}", shown, target, met)


def _harness(name: str, results: Sequence[Result]) -> str:
    """What everybody used meanwhile, so that a reader can judge what else may have been in the way."""
    server = median(result.server_share for result in results)
    redis = median(result.redis_share for result in results)
    upstream = median(result.upstream_share for result in results)
    load = median(result.load_share for result in results)
    others = max(result.others_share for result in results)
    late = median(result.late_p99_ms for result in results)
    warning = "  THE BENCH ITSELF IS SATURATED" if max(upstream, load) > _BUSY else ""
    warning += "  THE MACHINE IS NOT QUIET" if others > _NOISY else ""
    sender = f"Redis {redis:.0%}, load" if redis else f"upstream {upstream:.0%} (sends {late:.1f} ms late at p99), load"
    late_load = f" (sends {late:.1f} ms late at p99)" if redis else ""
    return (
        f"  of a core with {name}: server {server:.0%}, {sender} {load:.0%}{late_load}, others {others:.0%}{warning}\n"
    )


def table(
    title: str, peer_name: str, own_name: str, figures: Sequence[Figure], rounds: Sequence[tuple[Result, Result]]
) -> str:
    """One scenario: the medians of its rounds and what share of a core everybody used."""
    peer, ours = [a for a, _ in rounds], [b for _, b in rounds]
    text = "\n" + _line(title, peer_name, own_name, "ratio (min–max)", "target", "")
    text += "".join(_row(figure, peer, ours) for figure in figures)
    if any(result.server_share for result in peer):
        text += _harness(peer_name, peer) + _harness(own_name, ours)
    return text
