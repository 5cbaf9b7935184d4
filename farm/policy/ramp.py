"""When each slot may start: spread over the ramp with jitter, so that no two start together.

A stratified draw: slot i starts at a random moment of the i-th of N equal parts of the ramp. Any window of
the ramp then holds close to its share of the starts, which neither a fixed step (a metronome that
synchronises with the site's own periods) nor independent draws (clusters) give.
"""

from collections.abc import Sequence


def start_times(slots: int, ramp_s: float, jitters: Sequence[float]) -> tuple[float, ...]:
    """Return each slot's start in seconds after the ramp's begin, ascending; the first is 0.

    `jitters` has one number in [0, 1) for each slot.
    """
    if slots <= 1 or ramp_s <= 0:
        return (0.0,) * slots
    part_s = ramp_s / slots
    # Rounding must not put the last start behind the end.
    return (0.0, *(min(ramp_s, part_s * (i + jitters[i])) for i in range(1, slots)))
