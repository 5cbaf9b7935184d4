"""The number of cores, and their use."""

import psutil


def core_count() -> int:
    """Return the number of logical cores, at least 1."""
    return psutil.cpu_count() or 1


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


def _times() -> tuple[float, float]:
    times = psutil.cpu_times()
    return float(sum(times)), float(times.idle + getattr(times, "iowait", 0.0))
