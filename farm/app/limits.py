"""Which of the crawl's own limits leave work for how many contexts: their part of admission."""

from collections.abc import Callable, Mapping
from typing import Any

from farm.app.proxies import Proxies
from farm.app.sites import Tables, most_of
from farm.model.clock import Clock
from farm.policy.capacity import useful_contexts
from farm.runtime.flow import FlowMeter
from farm.settings.units import parse_rate

STEADY = 0.7
"""A limit is lowered when it is less than this part of what it was."""


def own_limits(
    agreed: Mapping[str, Any], tables: Tables, proxies: Proxies | None, meter: FlowMeter, clock: Clock
) -> Callable[[], Mapping[str, int]]:
    """Return what says how many contexts are of use, by the name of the limit.

    Rates become contexts by the time that a visit takes, as soon as that is known.
    """
    global_rate, site_rate, proxy_rate = (
        parse_rate(agreed[name]).per_s if agreed[name] else 0.0
        for name in ("global_rate", "rate", "proxy_rate")
    )

    held: dict[str, int] = {}

    def steady(name: str, contexts: int) -> int:
        # A limit that wavers with every reading would close contexts only to open them again.
        before = held.get(name)
        if before is None or contexts > before or contexts < STEADY * before:
            held[name] = contexts
        return held[name]

    def limits() -> Mapping[str, int]:
        flow, sites = meter.overall(clock.monotonic()), max(1, meter.sites)
        found = {} if proxies is None else dict(proxies.pool.limits)
        of_sites = int(most_of(tables, "concurrency", agreed["site_concurrency"] or 0, sites))
        places = [agreed["global_concurrency"] or 0, of_sites]
        if any(places):
            found["places"] = min(filter(None, places))
        if flow.took_s:
            rates = [rate for rate in (global_rate, most_of(tables, "rate", site_rate, sites)) if rate]
            if rates:
                found["rate"] = steady("rate", useful_contexts(min(rates), flow.took_s))
            if proxies is not None and proxy_rate:
                c_max = steady("proxies", useful_contexts(proxies.pool.working * proxy_rate, flow.took_s))
                found["proxies"] = min(found.get("proxies", c_max), c_max)
        return found

    return limits
