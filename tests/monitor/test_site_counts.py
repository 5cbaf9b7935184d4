"""The results of visits to sites, in bounded memory."""

import pytest

from farm.model.crawl import SitePace
from farm.model.event import Fate, PacesRead, PageDone, Phase, SlotPhase, VisitFailed
from farm.monitor.site_counts import HALF_LIFE_S, MOST_SITES, SHOWN_SITES
from farm.monitor.snapshot import SiteView
from farm.monitor.tally import Tally


def done(at: float, site: str, status: int = 200) -> PageDone:
    """Return a page of a site."""
    return PageDone(at, "c1", f"https://{site}/x", status, 500, 1000, settled=True)


def failed(at: float, site: str, reason: str, fate: Fate = Fate.RETRY) -> VisitFailed:
    """Return a visit to a site that brought no page."""
    return VisitFailed(at, "c1", f"https://{site}/x", reason, "", fate)


def test_visits_are_counted_by_what_they_came_to() -> None:
    """A server error without a record counts with those that have one; what was released says nothing."""
    tally = Tally(0.0)
    for status in (200, 204, 404, 410, 403, 500):
        tally.fold(done(1.0, "a.example", status))
    for reason in ("http_5xx", "throttled", "throttled", "timeout"):
        tally.fold(failed(1.0, "a.example", reason))
    tally.fold(failed(1.0, "a.example", "timeout", Fate.DEAD))
    tally.fold(failed(1.0, "a.example", "released", Fate.RELEASED))
    snapshot = tally.snapshot(1.0)
    [site] = snapshot.sites
    assert (site.pages, site.client_errors, site.server_errors, site.throttled, site.failed) == (
        2,
        3,
        2,
        2,
        2,
    )
    assert snapshot.other_sites is None
    assert snapshot.codes == {200: 1, 204: 1, 404: 1, 410: 1, 403: 1, 500: 1}
    assert snapshot.statuses == {"2xx": 2, "4xx": 3, "5xx": 1}


def test_a_rate_follows_the_visits_and_fades_without_them() -> None:
    """It is what ends a second; without visits it halves."""
    tally = Tally(0.0)
    for tenth in range(1200):
        tally.fold(done(tenth / 10, "a.example"))
    assert tally.snapshot(120.0).sites[0].per_s == pytest.approx(10.0, rel=0.05)
    assert tally.snapshot(120.0 + HALF_LIFE_S).sites[0].per_s == pytest.approx(5.0, rel=0.05)


def test_the_busiest_site_is_first_and_what_is_under_way_is_counted() -> None:
    """Also of a site that no visit has ended of."""
    tally = Tally(0.0)
    for _ in range(3):
        tally.fold(done(1.0, "busy.example"))
    tally.fold(done(1.0, "calm.example"))
    for slot, site in (("1", "busy.example"), ("2", "busy.example"), ("3", "new.example")):
        tally.fold(SlotPhase(1.0, slot, Phase.NAVIGATING, f"https://{site}/y"))
    sites = tally.snapshot(1.0).sites
    assert [(one.site, one.in_flight) for one in sites] == [
        ("busy.example", 2),
        ("calm.example", 0),
        ("new.example", 1),
    ]


def test_the_pace_of_a_site_is_shown_beside_its_counts() -> None:
    """Its latency is smoothed, its block ends by the clock; of a site without visits nothing is kept."""
    tally = Tally(0.0)
    tally.fold(done(1.0, "a.example"))
    tally.fold(PacesRead(2.0, (SitePace("a.example", 4, 2.5, 200.0, 100.0, 14.0, "refused"), SitePace("b"))))
    tally.fold(PacesRead(3.0, (SitePace("a.example", 3, 2.0, 300.0, 100.0, 0.0, "slow"),)))
    [site] = tally.snapshot(4.0).sites
    assert (site.limit, site.rate, site.baseline_ms, site.verdict) == (3, 2.0, 100.0, "slow")
    assert 200.0 < site.latency_ms < 300.0
    assert site.blocked_until == 16.0


def test_very_many_sites_become_a_sum() -> None:
    """Nothing that was counted is lost, and nothing grows."""
    tally, sites = Tally(0.0), 3 * MOST_SITES
    for number in range(sites):
        tally.fold(done(float(number), f"s{number}.example"))
    snapshot = tally.snapshot(float(sites))
    assert len(snapshot.sites) == SHOWN_SITES
    rest = snapshot.other_sites
    assert rest is not None
    assert sum(one.pages for one in snapshot.sites) + rest.pages == sites
    assert len(tally._sites._sites) == MOST_SITES
    assert snapshot.sites[0] == SiteView(f"s{sites - 1}.example", snapshot.sites[0].per_s, pages=1)
