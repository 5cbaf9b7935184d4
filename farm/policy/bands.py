"""The bands of the memory budget and the pauses of the measures: the governor's numbers, in one place."""

from dataclasses import dataclass
from enum import IntEnum

MIB = 2**20


class Band(IntEnum):
    """How tight memory is."""

    GROW = 0
    HOLD = 1
    COLLECT = 2
    STOP = 3
    RECYCLE = 4
    SHED = 5
    ENGINE = 6
    KILL = 7


@dataclass(frozen=True, slots=True)
class MemoryParams:
    """Shares of the budget at which bands begin, and the measures' pauses in seconds.

    `renderer_cap_bytes` is what no renderer may hold whatever the band. `grow_every_s` is the pace at which slots
    come back after they were taken away.
    """

    hold: float = 0.76
    collect: float = 0.78
    stop: float = 0.82
    recycle: float = 0.86
    shed: float = 0.90
    engine: float = 0.93
    kill: float = 0.96
    gap: float = 0.03
    page_bytes: int = 64 * MIB
    renderer_cap_bytes: int = 1024 * MIB
    grow_every_s: float = 0.25
    collect_every_s: float = 1.0
    collect_again_s: float = 5.0
    collect_at_once: int = 4
    recycle_every_s: float = 1.0
    recycle_again_s: float = 10.0
    recycle_from: float = 1.25
    """A context is worth recycling from so many times the median on, or from twice the cost of a page."""
    recycle_part: int = 6
    """Of all contexts this part is recycled at once at the most."""
    shed_every_s: float = 1.5
    engine_every_s: float = 60.0
    engine_worn: float = 1.6
    """An engine is worn when it holds so many times what the leanest one does."""
    kill_again_s: float = 1.0

    def thresholds(self) -> tuple[float, ...]:
        """Where each band begins, in the order of `Band`."""
        return (0.0, self.hold, self.collect, self.stop, self.recycle, self.shed, self.engine, self.kill)
