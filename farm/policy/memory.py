"""The memory governor's decision: how many slots may work with what the process tree uses.

Two thresholds with a gap between them, so that a reading that hovers at one of them does not switch
admission on and off: above `hold` nothing new is admitted, above `shed` slots are taken away one a reading,
and only below `grow` they come back one a reading.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryParams:
    """Shares of the budget."""

    grow: float = 0.75
    hold: float = 0.85
    shed: float = 0.92


@dataclass(frozen=True, slots=True)
class MemoryState:
    """`limit` slots may work; `collect` asks every slot for a garbage collection before its next page."""

    limit: int
    collect: bool = False


def step(
    state: MemoryState, used_bytes: int, budget_bytes: int, active: int, slots: int, params: MemoryParams
) -> MemoryState:
    """Return the next state after a reading; `active` slots hold a context now, `slots` is their maximum.

    One slot always stays: a budget that a single page exceeds must slow the crawl, not stop it.
    """
    share = used_bytes / budget_bytes
    if share >= params.shed:
        return MemoryState(max(1, min(state.limit, active) - 1), collect=True)
    if share >= params.hold:
        return MemoryState(max(1, min(state.limit, active)), collect=True)
    if share < params.grow:
        return MemoryState(min(slots, state.limit + 1))
    return MemoryState(state.limit)
