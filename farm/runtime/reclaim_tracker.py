"""What each measure against tight memory gave back, found out by looking at its target again a little later."""

from dataclasses import dataclass

from farm.model.event import Emit, Reclaimed
from farm.model.memory import Measure, MemoryReading, ReclaimAction

OBSERVE_S = {
    Measure.COLLECT: 1.0,
    Measure.RECYCLE: 10.0,
    Measure.SHED: 3.0,
    Measure.ENGINE: 60.0,
    Measure.KILL: 1.0,
}
"""When at the latest; what is gone earlier is told earlier."""


@dataclass(frozen=True, slots=True)
class _Entry:
    action: ReclaimAction
    at: float
    before_bytes: int


class ReclaimTracker:
    """Told of every action and every reading; emits one `Reclaimed` for each action."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._open: list[_Entry] = []

    def record(self, action: ReclaimAction, reading: MemoryReading, now: float) -> None:
        """Note an action that was given on this reading."""
        self._open.append(_Entry(action, now, _held(action, reading) or 0))

    def observe(self, reading: MemoryReading, now: float) -> None:
        """See which measures have shown what they bring."""
        kept = []
        for entry in self._open:
            held = _held(entry.action, reading)
            if held is not None and now - entry.at < OBSERVE_S[entry.action.measure]:
                kept.append(entry)
                continue
            freed = max(0, entry.before_bytes - (held or 0))
            action = entry.action
            self._emit(Reclaimed(now, str(action.measure), action.target, action.reason, freed))
        self._open = kept


def _held(action: ReclaimAction, reading: MemoryReading) -> int | None:
    """Return what the target of the action holds; None when it is gone."""
    match action.measure:
        case Measure.SHED:
            return reading.used_bytes
        case Measure.ENGINE:
            return reading.engines.get(action.target)
        case _:
            return next((one.used_bytes for one in reading.renderers if one.pid == action.pid), None)
