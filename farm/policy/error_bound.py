"""How many pages of the cheap renderers may differ from the browser's, as audits by chance show it.

What always holds: the bound is exceeded with a chance of at most 1 - confidence, at no time of the crawl, whatever
the sites show: nothing is assumed of pages being alike, in any order, before or after a change. All that is needed
is that a site does not know which visits are audits.

Of each page x says whether it would differ (1) or not (0), and a, with the chance p of its audit, whether it is
audited. Be l > 0, and c(l, p) such that p e^-l + (1 - p) e^c = 1. Then the product over all pages of e^(-l a x)
and e^(c (1 - a) x) has the expectation 1 after each page, given those before, so it is a martingale, and so is a
mean of several of them with different l. By Ville's inequality (1939) it ever reaches 1/r with a chance of at most
r. As long as it does not, the pages that differ and were not audited are few enough for it, which the search below
finds; where the chances p were different, the worst is that they had the smallest.
"""

from collections.abc import Mapping
from math import exp, log, log1p

CONFIDENCE = 0.95
_RATES = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 8.0)
"""The l of the mean. Of no audit that differs the greatest one decides, of many the smallest."""
_WEIGHTS = (*[0.4 / 6] * 6, 0.6)
"""Mostly none differs: that case pays least for the others."""


def most_wrong(pages: Mapping[int, int], differed: int, confidence: float = CONFIDENCE) -> int:
    """Return how many of the pages may differ at most, at this confidence.

    `pages` are those that were kept without a comparison, by the chance per mille that their visit had been an
    audit; of the audits `differed` did not agree.
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
    """Return the logarithm of the martingale for so many pages that differ, the smallest chances first."""
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
