"""An upper bound on how many pages of the cheap renderers differ from the browser's, from random audits.

Invariant: the probability that the bound is exceeded at any time of the crawl is at most 1 - confidence, whatever
the sites show: nothing is assumed about similar pages, their order, or changes of a site. The only assumption is
that a site does not know which visits are audits.

For each page, x is 1 if it would differ and 0 if not, and a is 1 if it is audited, with probability p. Let l > 0,
and let c(l, p) satisfy p e^-l + (1 - p) e^c = 1. Then the product over all pages of e^(-l a x) and e^(c (1 - a) x)
has the expectation 1 after each page, given the previous ones, so it is a martingale, and so is a mean of several
of them with different l. By Ville's inequality (1939) the probability that it ever reaches 1/r is at most r. As
long as it stays below, the number of pages that differ and were not audited is bounded; the search below finds the
bound. If the probabilities p vary, the worst case is that the pages that differ had the smallest ones.
"""

from collections.abc import Mapping
from math import exp, log, log1p

CONFIDENCE = 0.95
_RATES = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 8.0)
"""The values of l. If no audit differs, the greatest one decides; if many do, the smallest."""
_WEIGHTS = (*[0.4 / 6] * 6, 0.6)
"""Usually no audit differs: that case has the largest weight."""


def most_wrong(pages: Mapping[int, int], differed: int, confidence: float = CONFIDENCE) -> int:
    """Return the largest number of pages that may differ, at this confidence.

    `pages` are those that were kept without a comparison, by the chance per mille that their visit had been an
    audit; `differed` is the number of audits that differed.
    """
    strata = sorted((share, count) for share, count in pages.items() if count > 0 and 0 < share < 1000)  # noqa: PLR2004
    total = sum(count for _, count in strata)
    low, high = 0, total
    while low < high:
        middle = (low + high + 1) // 2
        if _evidence(strata, middle, differed) < -log(1 - confidence):
            low = middle
        else:
            high = middle - 1
    return low


def _evidence(strata: list[tuple[int, int]], wrong: int, differed: int) -> float:
    """Return the logarithm of the martingale if this many pages differ, the smallest chances first."""
    logs = [log(weight) - rate * differed for weight, rate in zip(_WEIGHTS, _RATES, strict=True)]
    left = wrong
    for share, count in strata:
        here = min(left, count)
        logs = [sum_ + here * _gain(rate, share / 1000) for sum_, rate in zip(logs, _RATES, strict=True)]
        left -= here
    top = max(logs)
    return top + log(sum(exp(one - top) for one in logs))


def _gain(rate: float, chance: float) -> float:
    return log1p(-chance * exp(-rate)) - log1p(-chance)
