"""Never all slots at once: when each starts, opens a context, asks for work again, and resumes after an outage.

Pure; every `jitter` is in [0, 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

OUTAGE_S = 5.0
"""A lease that took so long to come came after an outage: every other slot waited for it too."""
IDLE_S, IDLE_LONGEST_S = 1.0, 20.0
RETIRE_IDLE_S = 30.0
"""A context without work for so long is let go, with its memory and all that its page goes on doing."""


def idle_backoff_s(expected_s: float, resting: int, jitter: float) -> float:
    """Return how long a slot rests when there was no work for it, and none is expected before.

    The more slots rest, the less often each asks: together they ask about twice as often as one would. One that
    finds work calls the next, so the others are not late for long.
    """
    longest_s = min(expected_s * max(1.0, resting / 2), IDLE_LONGEST_S)
    return max(0.01, longest_s * (0.75 + 0.5 * jitter))


def resume_delay_s(leased_after_s: float, index: int, slots: int, spread_s: float, jitter: float) -> float:
    """Return how long the slot of this index waits with the lease it has, where all slots waited for theirs."""
    if leased_after_s < OUTAGE_S:
        return 0.0
    return spread_s * (index + jitter) / max(slots, index + 1)


def start_times(slots: int, ramp_s: float, jitters: Sequence[float]) -> tuple[float, ...]:
    """Return each slot's start in seconds after the ramp's begin, ascending; the first is 0.

    `jitters` has one number in [0, 1) for each slot.
    """
    if slots <= 1 or ramp_s <= 0:
        return (0.0,) * slots
    part_s = ramp_s / slots
    # Rounding must not put the last start behind the end.
    return (0.0, *(min(ramp_s, part_s * (i + jitters[i])) for i in range(1, slots)))


@dataclass(frozen=True, slots=True)
class LaunchSpacing:
    """`booked` is the end of the last interval that was given away."""

    booked: float = float("-inf")


def reserve(
    state: LaunchSpacing, now: float, every_s: float, jitter: float, burst: int = 2
) -> tuple[LaunchSpacing, float]:
    """Return the next state and how long to wait; `jitter` is in [0, 1).

    Up to `burst` openings go at once after a pause; then each has an interval of its own.
    """
    if every_s <= 0:
        return state, 0.0
    begins = max(state.booked, now - burst * every_s)
    opens = begins + every_s * jitter
    return LaunchSpacing(begins + every_s), max(0.0, opens - now)
