"""Whether this machine is so busy that measured latencies say nothing about a site."""

from farm.model.clock import Clock
from farm.model.event import Event, Reclaimed
from farm.resources.cpu import CpuUsage

BUSY_SHARE = 0.9
"""The share of CPU time, over all cores, above which the machine counts as overloaded."""
RECLAIMED_S = 5.0
"""How long after a disturbing measure all visits count as disturbed."""
DISTURBING = frozenset({"recycle", "shed", "engine", "kill"})
"""The reclaim measures that disturb visits; collecting garbage does not."""


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
