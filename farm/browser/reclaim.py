"""Frees memory by the governor's actions, and lowers the priority of renderers that use much processor time.

An endless loop takes a whole core until its page's deadline, and slows down every other page: the CPU priority of
its renderer is lowered. Only visits that last much longer than usual are measured. The context is replaced after
such a visit, because only root may raise a process's priority again.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping, Sequence

from farm.browser.context import ContextSlot
from farm.browser.engine import Engine
from farm.browser.slot_state import SlotState
from farm.model.memory import Measure, ReclaimAction
from farm.resources import processes

MIB = 2**20
LONG_VISIT_S = 3.0
CPU_S = 1.0
"""After this much CPU time since the first check the renderer's priority is lowered."""
NICER = 10


async def carry_out(
    action: ReclaimAction, slots: Mapping[str, ContextSlot], engines: Sequence[Engine], now: float
) -> None:
    """Carry the action out; a target that no longer exists has already freed its memory."""
    slot = slots.get(action.target)
    match action.measure:
        case Measure.COLLECT if slot is not None:
            await slot.collect_garbage()
        case Measure.RECYCLE if slot is not None and slot.tab is not None and slot.tab.pid == action.pid:
            slot.recycle("memory")
        case Measure.ENGINE:
            for engine in engines:
                if engine.name == action.target:
                    engine.retire(now)
        case Measure.KILL:
            _kill(action, slot, engines)
        case _:  # the target no longer exists, or the measure concerns admission
            return


def _kill(action: ReclaimAction, slot: ContextSlot | None, engines: Sequence[Engine]) -> None:
    """Kill the renderer of a page; the tab gets the reason first."""
    if slot is not None and slot.tab is not None and slot.tab.pid == action.pid:
        slot.tab.mark_doomed(f"killed at {action.used_bytes // MIB} MiB: {action.reason}")
    # The process id may have been reused since the reading: kill it only if it is an engine's renderer.
    if any(engine.has(action.pid) for engine in engines):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(action.pid, signal.SIGKILL)


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
                # The renderer has ended; its visit fails of that.
                continue
        self._first = seen
