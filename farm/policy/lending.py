"""How shards divide a common limit: by their use, so that no share stays unused while another shard waits.

Max-min fairness over measured demand, as Raghavan et al. divide a rate among limiters ("Cloud Control with
Distributed Rate Limiting", SIGCOMM 2007). A shard that uses most of its share is assumed to need more; any other
keeps a margin above its use, and gives up half of the rest at a time, since a pause may be short.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LIMITED_FROM = 0.8
"""From this part of its share on, a shard may be held back by it: visits are somewhat further apart than asked."""
HEADROOM, MORE = 1.5, 2
"""What a shard that is not held back keeps of what it uses, and so many uses more: few are counted inexactly."""
LEAST_KEPT = 0.5
"""The smallest part of a share that remains after one step."""
LEAST_CHANGE = 0.1
"""A share is changed only by more than this part."""


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
        return self.used * HEADROOM + self.one * MORE if self.used else 0.0


def lend(total: float, shares: Sequence[Share], least: float) -> tuple[float, ...]:
    """Return the new share of each shard: at least `least`, and together at most `total`.

    `total` must be at least `least` for each.
    """
    wanting = [share.used >= LIMITED_FROM * share.allowed for share in shares]
    if not any(wanting):
        return tuple(share.allowed for share in shares)
    kept = [
        0.0 if wants else max(least, share.needed, share.allowed * LEAST_KEPT)
        for share, wants in zip(shares, wanting, strict=True)
    ]
    even = max(least, (total - sum(kept)) / sum(wanting))
    asked = [even if wants else part for part, wants in zip(kept, wanting, strict=True)]
    return _within(total, asked, least)


def raised(total: float, kept: Sequence[float], asked: Sequence[float]) -> tuple[float, ...]:
    """Return the wanted shares, reduced by what some shards could not give up; `kept` are those after lowering.

    Together at most `total`, and no shard has less than in `kept`.
    """
    room = total - sum(kept)
    more = [max(0.0, wish - has) for wish, has in zip(asked, kept, strict=True)]
    scale = min(1.0, max(0.0, room) / sum(more)) if any(more) else 0.0
    return tuple(has + part * scale for has, part in zip(kept, more, strict=True))


def is_significant(before: Sequence[Share], after: Sequence[float]) -> bool:
    """Return whether a change of a share is large enough to be made."""
    return any(
        abs(share.allowed - part) > LEAST_CHANGE * share.allowed
        for share, part in zip(before, after, strict=True)
    )


def _within(total: float, asked: Sequence[float], least: float) -> tuple[float, ...]:
    """Return the wanted shares, scaled down above the least so that their sum is at most what is available."""
    over = [part - least for part in asked]
    room = total - least * len(asked)
    scale = min(1.0, room / sum(over)) if sum(over) > 0 else 1.0
    return tuple(least + max(0.0, scale) * part for part in over)
