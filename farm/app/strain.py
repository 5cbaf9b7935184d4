"""Whether the farm itself is so busy that what it measures says nothing about a site."""

import psutil

from farm.model.clock import Clock
from farm.model.event import Event, Relieved

BUSY = 0.9
"""How busy the machine is, by all its cores, when it is."""
RELIEVED_S = 5.0
"""How long after memory was taken from a visit the others are still under its shadow."""
DISTURBING = frozenset({"recycle", "shed", "engine", "kill"})
"""What disturbs visits; to collect garbage does not."""


class Strain:
    """Asked by whoever learns of the sites, told what is done against tight memory; `fold` is an `Emit`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._relieved_at = float("-inf")
        # Counters of its own: psutil.cpu_percent() has one memory for all who ask.
        self._total, self._idle = _times()

    def fold(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, Relieved) and event.measure in DISTURBING:
            self._relieved_at = event.at

    def is_felt(self) -> bool:
        """Whether it was since the last call, by the processor, or is by the memory."""
        total, idle = _times()
        busy = 1 - (idle - self._idle) / (total - self._total) if total > self._total else 0.0
        self._total, self._idle = total, idle
        return busy > BUSY or self._clock.monotonic() - self._relieved_at < RELIEVED_S


def _times() -> tuple[float, float]:
    times = psutil.cpu_times()
    return float(sum(times)), float(times.idle + getattr(times, "iowait", 0.0))
