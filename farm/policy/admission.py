"""Admission: how many slots may work now, and when each of them begins, so that never all begin at once.

The smallest of the limits counts. The processor's limit follows two signs. The event loop's lag says that the farm
itself is starved: leases, deadlines and heartbeats depend on the loop, so slots are taken away until the lag is
gone. How busy the machine is says whether one more slot would add anything: with `--contexts auto` slots are added
only while it is not.

Pure; every `jitter` is in [0, 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OUTAGE_S = 5.0
"""A lease that took this long followed an outage: every other slot waited for its lease too."""
IDLE_S, IDLE_LONGEST_S = 1.0, 20.0
RETIRE_IDLE_S = 30.0
"""A context without work for this long is closed: it holds memory, and its page still runs scripts."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`limit` slots may work; `binding` names the smallest limit."""

    limit: int
    binding: str


def admit(limits: Mapping[str, int]) -> Admission:
    """Return the smallest limit, the first of equal ones: order them by what a user should see.

    Raises ValueError when no limit is given.
    """
    binding = min(limits, key=lambda name: limits[name])
    return Admission(max(0, limits[binding]), binding)


@dataclass(frozen=True, slots=True)
class CpuParams:
    """From a lag of `lag_s` slots are taken away; from half of it none is added.

    With `seek`, a slot is added only while the share of the machine that is busy is at most `idle_below`.
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
    """Return the next state; `busy` is in [0, 1], `working` how many slots work under the limit now."""
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


def idle_backoff_s(expected_s: float, idle_slots: int, jitter: float) -> float:
    """Return the seconds until an idle slot's next request; work is expected in `expected_s` at the earliest.

    The more slots are idle, the less often each makes a request: together they make about twice as many as one
    would. A slot that finds work notifies the next, so that the others do not wait much too long.
    """
    longest_s = min(expected_s * max(1.0, idle_slots / 2), IDLE_LONGEST_S)
    return max(0.01, longest_s * (0.75 + 0.5 * jitter))


def resume_delay_s(leased_after_s: float, index: int, slots: int, spread_s: float, jitter: float) -> float:
    """Return how long the slot with this index waits before its visit, if its lease came after an outage."""
    if leased_after_s < OUTAGE_S:
        return 0.0
    return spread_s * (index + jitter) / max(slots, index + 1)


def start_times(slots: int, ramp_s: float, jitters: Sequence[float]) -> tuple[float, ...]:
    """Return each slot's start in seconds after the beginning of the ramp, ascending; the first is 0.

    A stratified draw: slot i starts at a random moment of the i-th of N equal parts of the ramp. Any window of it
    then has close to its share of the starts, which neither a fixed step (it can synchronise with a period of the
    site) nor independent draws (they cluster) give.

    `jitters` has one number in [0, 1) for each slot.
    """
    if slots <= 1 or ramp_s <= 0:
        return (0.0,) * slots
    part_s = ramp_s / slots
    # Rounding must not put the last start behind the end.
    return (0.0, *(min(ramp_s, part_s * (i + jitters[i])) for i in range(1, slots)))


@dataclass(frozen=True, slots=True)
class LaunchSpacing:
    """`reserved` is the end of the last interval that was reserved."""

    reserved: float = float("-inf")


def reserve(
    state: LaunchSpacing, now: float, every_s: float, jitter: float, burst: int = 2
) -> tuple[LaunchSpacing, float]:
    """Return the next state and how long to wait before opening a context, in seconds.

    Up to `burst` contexts open without delay after a pause; then each opens at a random moment of an interval of
    its own. So contexts that were lost together (an outage, a shed, a mass recycle) do not open together: arrivals
    at a site stay near the ramp's rate.
    """
    if every_s <= 0:
        return state, 0.0
    begins = max(state.reserved, now - burst * every_s)
    opens = begins + every_s * jitter
    return LaunchSpacing(begins + every_s), max(0.0, opens - now)
