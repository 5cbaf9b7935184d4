"""When a slot asks for work again, and when it goes on after an outage: never all slots at once.

`jitter` is in [0, 1).
"""

OUTAGE_S = 5.0
"""A lease that took so long to come came after an outage: every other slot waited for it too."""
IDLE_S, IDLE_LONGEST_S = 1.0, 20.0
LET_GO_S = 30.0
"""A context without work for so long is let go, with its memory and all that its page goes on doing."""


def ask_again_s(expected_s: float, resting: int, jitter: float) -> float:
    """Return how long a slot rests when there was no work for it, and none is expected before.

    The more slots rest, the less often each asks: together they ask about twice as often as one would. One that
    finds work calls the next, so the others are not late for long.
    """
    longest_s = min(expected_s * max(1.0, resting / 2), IDLE_LONGEST_S)
    return max(0.01, longest_s * (0.75 + 0.5 * jitter))


def come_back_s(leased_after_s: float, index: int, slots: int, spread_s: float, jitter: float) -> float:
    """Return how long the slot of this index waits with the lease it has, where all slots waited for theirs."""
    if leased_after_s < OUTAGE_S:
        return 0.0
    return spread_s * (index + jitter) / max(slots, index + 1)
