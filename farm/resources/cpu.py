"""The processor: how many cores there are, and how busy all of them were."""

import psutil


def core_count() -> int:
    """Return how many logical cores the machine has, at least 1."""
    return psutil.cpu_count() or 1


class CpuUsage:
    """Measures the machine's use between two calls.

    Each user has one of its own: psutil.cpu_percent() keeps one state for all callers.
    """

    def __init__(self) -> None:
        self._total_s, self._idle_s = _times()

    def busy_share(self) -> float:
        """Return how busy all cores together were since the last call, in [0, 1]; 0 where no time has passed."""
        total_s, idle_s = _times()
        passed_s = total_s - self._total_s
        busy = 1 - (idle_s - self._idle_s) / passed_s if passed_s > 0 else 0.0
        self._total_s, self._idle_s = total_s, idle_s
        return min(1.0, max(0.0, busy))


def _times() -> tuple[float, float]:
    times = psutil.cpu_times()
    return float(sum(times)), float(times.idle + getattr(times, "iowait", 0.0))
