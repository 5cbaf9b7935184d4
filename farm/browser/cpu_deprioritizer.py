"""A page that computes without end gets a lower priority: only what nobody else wants of the processor.

A loop takes a whole core until its page's deadline, and every other page waits for it. Only visits that have
lasted much longer than a page takes are looked at. The context is replaced after such a visit, because only root
may raise a process's priority again.
"""

from collections.abc import Iterable

from farm.browser.context import ContextSlot, SlotState
from farm.resources import processes

LONG_VISIT_S = 3.0
CPU_S = 1.0
"""So much CPU time after the first look, and the renderer's priority is lowered."""
NICER = 10


class CpuDeprioritizer:
    """Looks at the slots once a second; keeps what a long visit's renderer had used at the first look."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, float]] = {}

    def check(self, slots: Iterable[ContextSlot], now: float) -> None:
        """Lower the priority of each renderer that has computed for too long."""
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
                # It is gone, which its visit will find out.
                continue
        self._first = seen
