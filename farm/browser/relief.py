"""Memory given back by order of the governor: what each order does to a slot, an engine or a renderer."""

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from farm.browser.context import ContextSlot
from farm.browser.engine import Engine
from farm.model.memory import Order, Relief

MIB = 2**20


async def carry_out(
    order: Order, slots: Mapping[str, ContextSlot], engines: Sequence[Engine], now: float
) -> None:
    """Do what is ordered; a target that is gone by now has given its memory back already."""
    slot = slots.get(order.target)
    match order.relief:
        case Relief.COLLECT if slot is not None:
            await slot.collect_garbage()
        case Relief.RECYCLE if slot is not None and slot.tab is not None and slot.tab.pid == order.pid:
            slot.recycle("memory")
        case Relief.ENGINE:
            for engine in engines:
                if engine.name == order.target:
                    engine.leave(now)
        case Relief.KILL:
            _kill(order, slot, engines)
        case _:
            return


def _kill(order: Order, slot: ContextSlot | None, engines: Sequence[Engine]) -> None:
    """Kill the renderer under its page, after the page has been told why it dies."""
    if slot is not None and slot.tab is not None and slot.tab.pid == order.pid:
        slot.tab.condemn(f"killed at {order.used_bytes // MIB} MiB: {order.reason}")
    # The reading is a moment old, and a number may have another process by now: only an engine's is meant.
    if any(engine.has(order.pid) for engine in engines):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(order.pid, signal.SIGKILL)
