"""The machine's processor: how many cores it has, and how busy it is.

Latencies that are measured on an overloaded machine say nothing about the sites.
"""

import math
import os

import psutil

from farm.model.clock import Clock
from farm.model.event import Event, Reclaimed
from farm.resources.cgroups import cpu_quota

BUSY_SHARE = 0.9
"""The share of CPU time, over all cores, above which the machine counts as overloaded."""
RECLAIMED_S = 5.0
"""How long after a disturbing measure all visits count as disturbed."""
DISTURBING = frozenset({"recycle", "shed", "engine", "kill"})
"""The reclaim measures that disturb visits; collecting garbage does not."""


def core_count() -> int:
    """Return the number of logical cores of the machine, at least 1."""
    return psutil.cpu_count() or 1


def usable_cores() -> int:
    """Return how many cores this process may use, at least 1: those it is bound to, and no more than its quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else core_count()
    return max(1, math.ceil(min(bound, core_count(), cpu_quota())))


class CpuUsage:
    """Measures the CPU use of the machine between two calls.

    Each caller has its own instance: psutil.cpu_percent() keeps one state for all callers.
    """

    def __init__(self) -> None:
        self._total_s, self._idle_s = _times()

    def busy_share(self) -> float:
        """Return the share of CPU time used since the last call, over all cores, in [0, 1]."""
        total_s, idle_s = _times()
        passed_s = total_s - self._total_s
        busy = 1 - (idle_s - self._idle_s) / passed_s if passed_s > 0 else 0.0
        self._total_s, self._idle_s = total_s, idle_s
        return min(1.0, max(0.0, busy))


class HostLoad:
    """Watches the CPU use and the reclaim measures; `fold` is an `Emit`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reclaimed_at = float("-inf")
        self._cpu = CpuUsage()

    def fold(self, event: Event) -> None:
        """Process one event."""
        if isinstance(event, Reclaimed) and event.measure in DISTURBING:
            self._reclaimed_at = event.at

    def is_overloaded(self) -> bool:
        """Return whether the CPU was overloaded since the last call, or memory was just reclaimed."""
        busy = self._cpu.busy_share()
        return busy > BUSY_SHARE or self._clock.monotonic() - self._reclaimed_at < RECLAIMED_S


def _times() -> tuple[float, float]:
    times = psutil.cpu_times()
    return float(sum(times)), float(times.idle + getattr(times, "iowait", 0.0))
