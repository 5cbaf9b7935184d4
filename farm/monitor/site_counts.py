"""The results of visits to each site, for a bounded number of sites: the others are summed."""

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from farm.model.crawl import SitePace
from farm.model.event import Fate, PageDone, VisitFailed
from farm.model.outcome import FailureKind
from farm.model.url import site_of
from farm.monitor.snapshot import SiteView, SlotView

MOST_SITES = 300
"""How many sites have counts: those that were visited last."""
SHOWN_SITES = 50
HALF_LIFE_S = 10.0
"""The time in which a rate halves when the visits stop."""
_DECAY = math.log(2) / HALF_LIFE_S
_LATEST = 0.3
"""The weight of the newest latency."""
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


@dataclass(slots=True)
class _Site:
    per_s: float = 0.0
    at: float = 0.0
    pages: int = 0
    client_errors: int = 0
    server_errors: int = 0
    throttled: int = 0
    failed: int = 0
    latency_ms: float = 0.0
    pace: SitePace | None = None
    blocked_until: float = 0.0
    throttled_at: float = 0.0

    def rate(self, now: float) -> float:
        """Return how many visits end a second: a decayed count."""
        return self.per_s * math.exp(-_DECAY * max(0.0, now - self.at))

    def count(self, at: float) -> None:
        """Count a visit that ended."""
        self.per_s = self.rate(at) + _DECAY
        self.at = at


class SiteCounts:
    """Counts per site; beyond `MOST_SITES` those of the sites visited least recently are summed."""

    def __init__(self) -> None:
        self._sites: OrderedDict[str, _Site] = OrderedDict()
        self._rest = SiteView("")
        self._is_cut = False

    def page(self, event: PageDone) -> None:
        """Count a page."""
        site = self._counted(event.url, event.at)
        if event.status >= _SERVER_ERROR:
            site.server_errors += 1
        elif event.status >= _CLIENT_ERROR:
            site.client_errors += 1
        else:
            site.pages += 1

    def failure(self, event: VisitFailed) -> None:
        """Count a visit without a page, unless it says nothing of its site."""
        if event.fate not in {Fate.RETRY, Fate.DEAD}:
            return
        site = self._counted(event.url, event.at)
        match event.reason:
            case FailureKind.THROTTLED:
                site.throttled += 1
                site.throttled_at = event.at
            case FailureKind.HTTP_5XX:
                site.server_errors += 1
            case _:
                site.failed += 1

    def paces(self, at: float, paces: Iterable[SitePace]) -> None:
        """Store the learnt limits of sites; those of a site without a counted visit are ignored."""
        for pace in paces:
            site = self._sites.get(pace.site)
            if site is None:
                continue
            before = site.latency_ms or pace.latency_ms
            site.pace = pace
            site.latency_ms = before + _LATEST * (pace.latency_ms - before) if pace.latency_ms else before
            if pace.blocked_s:
                site.blocked_until = at + pace.blocked_s

    def views(self, now: float, slots: Iterable[SlotView]) -> tuple[tuple[SiteView, ...], SiteView | None]:
        """Return the busiest sites, and the sum of the others where there are any."""
        in_flight = Counter(site_of(slot.url) for slot in slots if slot.url)
        found = [self._view(name, site, now, in_flight[name]) for name, site in self._sites.items()]
        found += [
            SiteView(name, in_flight=number) for name, number in in_flight.items() if name not in self._sites
        ]
        found.sort(key=lambda one: (-one.per_s, -one.in_flight, one.site))
        rest = found[SHOWN_SITES:]
        is_whole = not rest and not self._is_cut
        return tuple(found[:SHOWN_SITES]), None if is_whole else summed_sites([self._rest, *rest])

    def _counted(self, url: str, at: float) -> _Site:
        name = site_of(url)
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = _Site(at=at)
            if len(self._sites) > MOST_SITES:
                oldest, dropped = self._sites.popitem(last=False)
                self._rest = summed_sites(
                    [self._rest, replace(self._view(oldest, dropped, at, 0), per_s=0.0)]
                )
                self._is_cut = True
        else:
            self._sites.move_to_end(name)
        site.count(at)
        return site

    def _view(self, name: str, site: _Site, now: float, in_flight: int) -> SiteView:
        pace = site.pace or SitePace(name)
        return SiteView(
            name,
            site.rate(now),
            in_flight,
            site.pages,
            site.client_errors,
            site.server_errors,
            site.throttled,
            site.failed,
            pace.limit,
            pace.rate,
            site.latency_ms,
            pace.baseline_ms,
            site.blocked_until,
            pace.verdict,
            site.throttled_at,
        )


def summed_sites(sites: Iterable[SiteView]) -> SiteView:
    """Return the sum of several sites, without a name and a pace."""
    known = list(sites)
    return SiteView(
        "",
        sum(one.per_s for one in known),
        sum(one.in_flight for one in known),
        sum(one.pages for one in known),
        sum(one.client_errors for one in known),
        sum(one.server_errors for one in known),
        sum(one.throttled for one in known),
        sum(one.failed for one in known),
    )
