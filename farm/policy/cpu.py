"""How many slots the processor carries.

Two signs. The event loop's lag says that the farm itself is starved: leases, deadlines and heartbeats hang on it,
so slots are taken away until it is gone. How busy the machine is says whether one more slot would add anything:
with `--contexts auto` slots are added only while it is not.
"""

from dataclasses import dataclass


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
    """`limit` slots may work; `moved_at` is when that was last looked at."""

    limit: int
    moved_at: float = float("-inf")


def step(
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
