"""The user's limits, for all sites and for single ones, as parameters of each part of the farm.

The frontier grants leases within them, the learner of paces stays below them, and admission opens no more contexts
than they keep busy. `agreed` are the settings of the crawl in Redis.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from farm.frontier.terms import Politeness, SiteTerms, Terms
from farm.model.url import covering
from farm.policy.aimd import FIRST_IN_FLIGHT, PaceParams
from farm.policy.capacity import CrawlLimits
from farm.settings.sites import SiteTable
from farm.settings.units import parse_rate

Tables = Mapping[str, SiteTable]
LIMITS = ("rate", "site_concurrency", "proxy_rate", "global_rate", "global_concurrency")
"""The agreed settings that limit visits and have no value by default."""
_OTHER_LIMITS = ("max_queued", "max_site_queued", "lives")


def limits_in_force(agreed: Mapping[str, Any], tables: Tables) -> str:
    """Return a sentence with the limits that a crawl was created with, and how to change them; empty without."""
    told = [f"--{name.replace('_', '-')} {agreed[name]}" for name in LIMITS if agreed.get(name)]
    for name, table in tables.items():
        limits = {"rate": table.rate.text if table.rate else None, "concurrency": table.concurrency}
        if said := ", ".join(f"{key} = {value}" for key, value in limits.items() if value):
            told.append(f'{said} in [site."{name}"]')
    if not told:
        return ""
    return (
        f"limits that the crawl was created with: {', '.join(told)}; only --fresh, with others, changes them"
    )


def differ_in_limits(stored: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether settings contradict those of a crawl in nothing but its limits of visits and queues."""
    names = {name for name in {*stored, *given} if stored.get(name) != given.get(name)}
    return bool(names) and names <= {*LIMITS, *_OTHER_LIMITS}


def politeness_of(agreed: Mapping[str, Any]) -> Politeness:
    """Return the crawl's settings as limits of each lease."""
    return Politeness(
        interval_s=_interval_s(agreed["rate"]),
        in_flight=min(agreed["site_concurrency"] or FIRST_IN_FLIGHT, FIRST_IN_FLIGHT),
        egress_interval_s=_interval_s(agreed["proxy_rate"]),
        global_interval_s=_interval_s(agreed["global_rate"]),
        global_in_flight=agreed["global_concurrency"] or 0,
    )


def terms_of(agreed: Mapping[str, Any]) -> Terms:
    """Return the crawl's settings as limits of its leases and queues."""
    return replace(
        Terms(),
        lives=agreed["lives"],
        max_queued=agreed["max_queued"],
        site_queued=agreed["max_site_queued"],
    )


def site_terms(tables: Tables) -> dict[str, SiteTerms]:
    """Return the limits of the tables that have any."""
    return {
        name: SiteTerms(
            1 / table.rate.per_s if table.rate else 0.0,
            table.concurrency or 0,
            min(table.concurrency or 0, FIRST_IN_FLIGHT),
        )
        for name, table in tables.items()
        if table.rate or table.concurrency
    }


def pace_params(agreed: Mapping[str, Any]) -> PaceParams:
    """Return the pace parameters of every site."""
    return PaceParams(most=agreed["site_concurrency"] or PaceParams().most, ceiling=_per_s(agreed["rate"]))


def own_paces(tables: Tables, crawls: PaceParams) -> Callable[[str], PaceParams | None]:
    """Return the function that returns a site's own pace parameters; None for a site without."""
    paces = {
        name: replace(
            crawls,
            most=table.concurrency or crawls.most,
            first=min(table.concurrency or crawls.most, FIRST_IN_FLIGHT),
            ceiling=table.rate.per_s if table.rate else crawls.ceiling,
        )
        for name, table in tables.items()
        if table.rate or table.concurrency
    }
    return partial(covering, paces)


def crawl_limits(agreed: Mapping[str, Any], tables: Tables, *, has_proxies: bool) -> CrawlLimits:
    """Return the limits of the crawl; that of a proxy applies only with proxies."""
    rate, places = _per_s(agreed["rate"]), agreed["site_concurrency"] or 0
    limited = [one for one in tables.items() if one[1].rate or one[1].concurrency]
    return CrawlLimits(
        _per_s(agreed["global_rate"]),
        agreed["global_concurrency"] or 0,
        _per_s(agreed["proxy_rate"]) if has_proxies else 0.0,
        rate,
        places,
        # A table that says nothing of one of them hides a wider table that does.
        {name: table.rate.per_s if table.rate else rate for name, table in limited},
        {name: table.concurrency or places for name, table in limited},
    )


def _per_s(rate: str | None) -> float:
    return parse_rate(rate).per_s if rate else 0.0


def _interval_s(rate: str | None) -> float:
    return 1 / parse_rate(rate).per_s if rate else 0.0
