"""How shards share a limit over all of them: by what each uses, so that none stays below it while another waits.

Max-min fairness over measured demand, as Raghavan et al. share a rate among limiters ("Cloud Control with
Distributed Rate Limiting", SIGCOMM 2007). A shard that uses most of its share is taken to want more; one that
does not keeps some room above what it uses, and gives the rest up by halves, since a pause is no end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

USED_UP = 0.8
"""From this part of its share on, a shard may be held back by it: visits are somewhat further apart than asked."""
ROOM, MORE = 1.5, 2
"""What a shard that is not held back keeps of what it uses, and so many uses more: few are counted inexactly."""
MOST_GIVEN_UP = 0.5
"""Of a share, from one time to the next."""
MOVED = 0.1
"""A share is changed where it would be by more than this part."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a shard may use of a limit, and what it has used lately, in the same unit.

    `one` is what a single use more would have come to, 0 where uses are not counted.
    """

    allowed: float
    used: float
    one: float = 0.0

    @property
    def needed(self) -> float:
        """What it needs so as not to be held back by it."""
        return self.used * ROOM + self.one * MORE if self.used else 0.0


def lend(total: float, shares: Sequence[Share], least: float) -> tuple[float, ...]:
    """Return what each shard may use from now on: at least `least`, and together no more than `total`.

    `total` must be at least `least` for each.
    """
    wanting = [share.used >= USED_UP * share.allowed for share in shares]
    if not any(wanting):
        return tuple(share.allowed for share in shares)
    kept = [
        0.0 if wants else max(least, share.needed, share.allowed * MOST_GIVEN_UP)
        for share, wants in zip(shares, wanting, strict=True)
    ]
    even = max(least, (total - sum(kept)) / sum(wanting))
    asked = [even if wants else part for part, wants in zip(kept, wanting, strict=True)]
    return _within(total, asked, least)


def raised(total: float, kept: Sequence[float], asked: Sequence[float]) -> tuple[float, ...]:
    """Return what is asked for, less what some could not give up: `kept` is what each has once it has lowered.

    Together no more than `total`, and nobody less than it has.
    """
    room = total - sum(kept)
    more = [max(0.0, wish - has) for wish, has in zip(asked, kept, strict=True)]
    scale = min(1.0, max(0.0, room) / sum(more)) if any(more) else 0.0
    return tuple(has + part * scale for has, part in zip(kept, more, strict=True))


def is_worth_it(before: Sequence[Share], after: Sequence[float]) -> bool:
    """Return whether a share would change by so much that it is told."""
    return any(
        abs(share.allowed - part) > MOVED * share.allowed for share, part in zip(before, after, strict=True)
    )


def _within(total: float, asked: Sequence[float], least: float) -> tuple[float, ...]:
    """Return what is asked for, scaled down above the least so that it is no more than there is."""
    over = [part - least for part in asked]
    room = total - least * len(asked)
    scale = min(1.0, room / sum(over)) if sum(over) > 0 else 1.0
    return tuple(least + max(0.0, scale) * part for part in over)
