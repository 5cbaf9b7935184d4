"""The progress of a crawl: the URLs that all its nodes settle per second, and the estimated end."""

from collections import deque
from dataclasses import dataclass

from farm.model.crawl import Ledger, Stats
from farm.monitor.figures import amount, rate, span

SPAN_S = 60.0
"""The time over which the rates are measured."""
_LEAST_S = 5.0
_APART_S = 1.0
_MOST = 120
_GROWS = 0.05
"""If new URLs are at least this share of the settled ones, the estimate is a lower bound."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The rates of the crawl over the last `over_s` seconds: URLs settled and URLs accepted, per second.

    `limit` is how many pages the run may render, 0 or None for any number.
    """

    settled_per_s: float = 0.0
    accepted_per_s: float = 0.0
    over_s: float = 0.0
    limit: int | None = None

    def left(self, stats: Stats) -> int:
        """Return how many URLs are to be settled before the end."""
        left = stats.ledger.open
        return min(left, max(0, self.limit - stats.rendered)) if self.limit else left


class ProgressMeter:
    """Measures the rates from readings of the crawl's numbers, in bounded memory."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._seen: deque[tuple[float, int, int]] = deque(maxlen=_MOST)

    def note(self, at: float, ledger: Ledger) -> None:
        """Take a reading; of several within a second the first counts."""
        if not self._seen or at - self._seen[-1][0] >= _APART_S:
            self._seen.append((at, ledger.done + ledger.dead, ledger.accepted))

    def read(self) -> Progress:
        """Return the rates over the last minute."""
        if not self._seen:
            return Progress(limit=self._limit)
        last = self._seen[-1]
        first = next(one for one in self._seen if last[0] - one[0] <= SPAN_S)
        over_s = last[0] - first[0]
        if over_s < _LEAST_S:
            return Progress(over_s=over_s, limit=self._limit)
        settled, accepted = last[1] - first[1], last[2] - first[2]
        return Progress(max(0.0, settled / over_s), max(0.0, accepted / over_s), over_s, self._limit)


def eta(progress: Progress, stats: Stats) -> tuple[str, str]:
    """Return the estimated end in a few words, and how it was estimated; both empty after the end."""
    left = progress.left(stats)
    if not left:
        return "", ""
    if stats.state != "running":
        # Nothing new begins: a rate says nothing of the end.
        return "", f"{amount(left)} left"
    if progress.over_s < _LEAST_S:
        return "end not known yet", f"{amount(left)} left"
    if not progress.settled_per_s:
        return "no end in sight", f"{amount(left)} left, none settled in the last {span(progress.over_s)}"
    grows = progress.accepted_per_s > _GROWS * progress.settled_per_s
    is_capped = bool(progress.limit) and left < stats.ledger.open
    prefix = "at least " if grows and not is_capped else ""
    how = f"{amount(left)} left at {rate(progress.settled_per_s)} (last {span(progress.over_s)})"
    if is_capped:
        how += ", up to --limit"
    elif grows:
        how += f", {rate(progress.accepted_per_s)} more found"
    return f"{prefix}{span(left / progress.settled_per_s)} to go", how
