"""Whether the farm's own machine is so busy that what it measures says nothing about a site."""

from farm.model.clock import Clock
from farm.model.event import Event, Reclaimed
from farm.resources.cpu import CpuUsage

BUSY_SHARE = 0.9
"""How busy all cores together are when the machine counts as overloaded."""
RECLAIMED_S = 5.0
"""How long after memory was taken from a visit the other visits count as disturbed."""
DISTURBING = frozenset({"recycle", "shed", "engine", "kill"})
"""The measures that disturb visits; collecting garbage does not."""


class HostLoad:
    """Watches the processor and the measures against tight memory; `fold` is an `Emit`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reclaimed_at = float("-inf")
        self._cpu = CpuUsage()

    def fold(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, Reclaimed) and event.measure in DISTURBING:
            self._reclaimed_at = event.at

    def is_overloaded(self) -> bool:
        """Return whether the processor was overloaded since the last call, or memory was just reclaimed."""
        busy = self._cpu.busy_share()
        return busy > BUSY_SHARE or self._clock.monotonic() - self._reclaimed_at < RECLAIMED_S
