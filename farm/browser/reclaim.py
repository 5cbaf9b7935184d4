"""Carries out the governor's measures against tight memory, on a slot, an engine or a renderer."""

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
    """Carry the action out; a target that is gone by now has given its memory back already."""
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
        case _:  # a target that is gone by now, or one that other measures are about
            return


def _kill(action: ReclaimAction, slot: ContextSlot | None, engines: Sequence[Engine]) -> None:
    """Kill the renderer under its page, after the page has been told why it dies."""
    if slot is not None and slot.tab is not None and slot.tab.pid == action.pid:
        slot.tab.mark_doomed(f"killed at {action.used_bytes // MIB} MiB: {action.reason}")
    # The reading is a moment old, and a number may have another process by now: only an engine's is meant.
    if any(engine.has(action.pid) for engine in engines):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(action.pid, signal.SIGKILL)
