"""Lowers the CPU priority of a renderer that computes without end.

An endless loop takes a whole core until its page's deadline, and slows down every other page. Only visits that
last much longer than usual are measured. The context is replaced after such a visit, because only root may raise a
process's priority again.
"""

from collections.abc import Iterable

from farm.browser.context import ContextSlot, SlotState
from farm.resources import processes

LONG_VISIT_S = 3.0
CPU_S = 1.0
"""After this much CPU time since the first check the renderer's priority is lowered."""
NICER = 10


class CpuDeprioritizer:
    """Checks the slots once a second; remembers the CPU time of a long visit's renderer at the first check."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, float]] = {}

    def check(self, slots: Iterable[ContextSlot], now: float) -> None:
        """Lower the priority of each renderer that used too much CPU time."""
        seen: dict[str, tuple[float, float]] = {}
        for slot in slots:
            if slot.state is not SlotState.VISITING or now - slot.since < LONG_VISIT_S:
                continue
            if slot.tab is None or not slot.tab.pid or slot.is_deprioritized:
                continue
            try:
                used_s = processes.cpu_s(slot.tab.pid)
                visit, before_s = self._first.get(slot.name, (slot.since, used_s))
                seen[slot.name] = (slot.since, before_s if visit == slot.since else used_s)
                if used_s - seen[slot.name][1] >= CPU_S:
                    processes.lower_priority(slot.tab.pid, NICER)
                    slot.mark_deprioritized()
            except ProcessLookupError:
                # The renderer has ended; its visit will fail by itself.
                continue
        self._first = seen
