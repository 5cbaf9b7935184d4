"""Arrivals at a server against a ramp: what a window of a second may hold, on a machine that is ours."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import pytest

OTHERS_CORES = 0.4
"""More than this in use by others, and visits that began apart arrive together whatever the farm does."""


@contextmanager
def on_a_machine_of_our_own() -> Iterator[None]:
    """Skip, and say so, where an assertion about real time fails while others had the processor."""
    began, busy, own = time.monotonic(), _busy_s(), _own_s()
    try:
        yield
    except AssertionError:
        others = (_busy_s() - busy - (_own_s() - own)) / (time.monotonic() - began)
        if others <= OTHERS_CORES:
            raise
        pytest.skip(f"{others:.1f} cores were somebody else's meanwhile")


def assert_spread(arrivals: Sequence[float], share: float) -> None:
    """No second has more than twice its share; one more, as a window may catch the edges of two intervals."""
    most = max(sum(start <= other < start + 1.0 for other in arrivals) for start in arrivals)
    assert most <= 2 * share + 1, sorted(round(at - min(arrivals), 2) for at in arrivals)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own_s() -> float:
    """Return the CPU time of this process and all below it, of those that have ended too."""
    total = 0.0
    own = psutil.Process(os.getpid())
    for process in (own, *own.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
