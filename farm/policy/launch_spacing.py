"""Openings after the ramp: paced, so that what was lost together does not come back together.

One opening per interval on average, at a random moment of it, and a small burst for what comes singly. The
arrivals at a site then stay near the ramp's rate after an outage, a shed or a mass recycle as well.
"""

from dataclasses import dataclass


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
