"""How many slots may work now: the smallest of the limits, and which one it was.

The processor's limit follows two signs. The event loop's lag says that the farm itself is starved: leases,
deadlines and heartbeats depend on the loop, so slots are taken away until the lag is gone. How busy the machine is
says whether one more slot would add anything: with `--contexts auto` slots are added only while it is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Admission:
    """`limit` slots may work; `binding` names the smallest limit."""

    limit: int
    binding: str


def admit(limits: Mapping[str, int]) -> Admission:
    """Return the smallest limit; of equal ones the first binds, so order them by what a user should see.

    Raises ValueError when no limit is given.
    """
    binding = min(limits, key=lambda name: limits[name])
    return Admission(max(0, limits[binding]), binding)


@dataclass(frozen=True, slots=True)
class CpuParams:
    """`lag_s` from which slots are taken, and half of it from which none is added.

    With `seek`, a share of `idle_below` or less of the machine being busy adds a slot, and none is added above it.
    """

    lag_s: float = 1.0
    every_s: float = 2.0
    floor: int = 2
    seek: bool = False
    idle_below: float = 0.85


@dataclass(frozen=True, slots=True)
class CpuState:
    """`limit` slots may work; `moved_at` is when the limit was last judged."""

    limit: int
    moved_at: float = float("-inf")


def cpu_step(
    state: CpuState, busy: float, lag_s: float, working: int, slots: int, now: float, params: CpuParams
) -> CpuState:
    """Return the next state; `busy` is in [0, 1], `working` how many slots are at work under the limit now."""
    if now - state.moved_at < params.every_s:
        return state
    limit = state.limit
    if lag_s >= params.lag_s:
        limit = max(params.floor, min(limit, working) * 4 // 5)
    elif lag_s < params.lag_s / 2 and limit < slots:
        # More may be admitted only when those that are have work: an idle farm says nothing about the machine.
        is_room = busy <= params.idle_below and working >= limit if params.seek else True
        if is_room:
            limit += max(1, limit // 4)
    return CpuState(max(1, min(slots, limit)), now)
