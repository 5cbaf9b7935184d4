"""A page that computes without end is put behind the others: it gets what nobody else wants of the processor.

A loop takes a whole core until its page's deadline, and every other page waits for it. Looked at are visits alone
that have lasted much longer than a page takes. A context that was curbed goes after the visit, because only root
may give a process its priority back.
"""

from collections.abc import Iterable

import psutil

from farm.browser.context import ContextSlot, SlotState

LOOKED_AT_S = 3.0
CPU_S = 1.0
"""So much more of the processor after that, and it is curbed."""
NICER, LOWEST = 10, 19


class Curb:
    """Looks at the slots once a second or so; keeps what a long visit's renderer had used at the first look."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, float]] = {}

    def look(self, slots: Iterable[ContextSlot], now: float) -> None:
        """Curb whoever has computed for too long."""
        seen: dict[str, tuple[float, float]] = {}
        for slot in slots:
            if slot.state is not SlotState.VISITING or now - slot.since < LOOKED_AT_S:
                continue
            if slot.tab is None or not slot.tab.pid or slot.is_curbed:
                continue
            try:
                renderer = psutil.Process(slot.tab.pid)
                times = renderer.cpu_times()
                used_s = times.user + times.system
                visit, before_s = self._first.get(slot.name, (slot.since, used_s))
                seen[slot.name] = (slot.since, before_s if visit == slot.since else used_s)
                if used_s - seen[slot.name][1] >= CPU_S:
                    renderer.nice(min(LOWEST, renderer.nice() + NICER))
                    slot.curbed()
            except psutil.Error:
                # It is gone, which its visit will find out.
                continue
        self._first = seen
