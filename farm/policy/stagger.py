"""Never all slots at once: when each starts, opens a context, asks for work again, and resumes after an outage.

Pure; every `jitter` is in [0, 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

OUTAGE_S = 5.0
"""A lease that took so long came after an outage: every other slot waited for its own too."""
IDLE_S, IDLE_LONGEST_S = 1.0, 20.0
RETIRE_IDLE_S = 30.0
"""A context without work for so long is closed: it holds memory, and its page goes on working."""


def idle_backoff_s(expected_s: float, idle_slots: int, jitter: float) -> float:
    """Return how long an idle slot waits before it asks again; work is expected in `expected_s` at the earliest.

    The more slots are idle, the less often each asks: together they ask about twice as often as one would. A slot
    that finds work notifies the next, so that the others are not late for long.
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

    Up to `burst` openings go at once after a pause; then each has an interval of its own, at a random moment of
    it. What was lost together (an outage, a shed, a mass recycle) then does not come back together: arrivals at a
    site stay near the ramp's rate.
    """
    if every_s <= 0:
        return state, 0.0
    begins = max(state.reserved, now - burst * every_s)
    opens = begins + every_s * jitter
    return LaunchSpacing(begins + every_s), max(0.0, opens - now)
