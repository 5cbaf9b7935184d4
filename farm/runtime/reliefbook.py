"""What each measure against tight memory gave back, found out by looking at its target again a little later."""

from dataclasses import dataclass

from farm.model.event import Emit, Relieved
from farm.model.memory import MemoryReading, Order, Relief

LOOK_S = {
    Relief.COLLECT: 1.0,
    Relief.RECYCLE: 10.0,
    Relief.SHED: 3.0,
    Relief.ENGINE: 60.0,
    Relief.KILL: 1.0,
}
"""When at the latest; what is gone earlier is told earlier."""


@dataclass(frozen=True, slots=True)
class _Entry:
    order: Order
    at: float
    before_bytes: int


class ReliefBook:
    """Told of every order and every reading; emits one `Relieved` for each order."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._open: list[_Entry] = []

    def enter(self, order: Order, reading: MemoryReading, now: float) -> None:
        """Note an order that was given on this reading."""
        self._open.append(_Entry(order, now, _held(order, reading) or 0))

    def look(self, reading: MemoryReading, now: float) -> None:
        """See which measures have shown what they bring."""
        kept = []
        for entry in self._open:
            held = _held(entry.order, reading)
            if held is not None and now - entry.at < LOOK_S[entry.order.relief]:
                kept.append(entry)
                continue
            freed = max(0, entry.before_bytes - (held or 0))
            order = entry.order
            self._emit(Relieved(now, str(order.relief), order.target, order.reason, freed))
        self._open = kept


def _held(order: Order, reading: MemoryReading) -> int | None:
    """Return what the target of the order holds; None when it is gone."""
    match order.relief:
        case Relief.SHED:
            return reading.used_bytes
        case Relief.ENGINE:
            return reading.engines.get(order.target)
        case _:
            return next((one.used_bytes for one in reading.renderers if one.pid == order.pid), None)
