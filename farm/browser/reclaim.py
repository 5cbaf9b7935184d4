"""Carries out the governor's reclaim actions on a slot, an engine or a renderer."""

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from farm.browser.context import ContextSlot
from farm.browser.engine import Engine
from farm.model.memory import Measure, ReclaimAction

MIB = 2**20


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
    """Kill the renderer of a page; first tell the tab the reason."""
    if slot is not None and slot.tab is not None and slot.tab.pid == action.pid:
        slot.tab.mark_doomed(f"killed at {action.used_bytes // MIB} MiB: {action.reason}")
    # The process id may have been reused since the reading: kill it only if it is an engine's renderer.
    if any(engine.has(action.pid) for engine in engines):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(action.pid, signal.SIGKILL)
