"""What is measured of the flow agrees with Little's law, on a clock of its own."""

from random import Random

import pytest

from farm.model.crawl import Stats
from farm.model.event import Event, Fate, PageDone, Phase, SlotPhase, StatsRead, VisitFailed
from farm.policy.capacity import CrawlLimits
from farm.runtime.flow import FlowMeter, OwnLimits
from tests.clock import ManualClock


def visit(slot: str, url: str, begin: float, end: float, *, fails: bool = False) -> list[Event]:
    """Return what a worker tells of a visit."""
    took_ms = round((end - begin) * 1000)
    ended: Event = PageDone(end, slot, url, 200, took_ms, 0, settled=True)
    if fails:
        ended = VisitFailed(end, slot, url, "timeout", "", Fate.RETRY, took_ms)
    return [
        SlotPhase(begin, slot, Phase.NAVIGATING, url),
        SlotPhase(begin + 0.01, slot, Phase.SETTLING, url),
        ended,
        SlotPhase(end, slot, Phase.IDLE),
    ]


def test_what_is_under_way_is_the_rate_times_the_time() -> None:
    """Counted apart, over many slots that come and go."""
    meter, random, events = FlowMeter(), Random(5), list[Event]()
    for slot in range(12):
        now = random.random()
        while now < 200:
            took = random.uniform(0.2, 1.4)
            fails = random.random() < 0.2
            events += visit(f"s{slot}", f"http://site{slot % 3}/", now, now + took, fails=fails)
            now += took + random.expovariate(1)
    for event in sorted(events, key=lambda one: one.at):
        if event.at <= 200:
            meter.fold(event)
    flow = meter.overall(200)
    assert flow.under_way == pytest.approx(flow.per_s * flow.took_s, rel=0.05)
    assert 0.7 < flow.took_s < 0.9
    sites = meter.by_site(200)
    assert len(sites) == 3
    assert sum(site.per_s for site in sites.values()) == pytest.approx(flow.per_s)
    assert list(meter.by_site(200, most=1)) == [next(iter(sites))]


def test_a_visit_that_is_still_under_way_counts() -> None:
    """One slot that hangs for half of the time is half a visit."""
    meter = FlowMeter()
    for event in visit("s2", "http://a/", 0.0, 0.02):
        meter.fold(event)
    meter.fold(SlotPhase(30.0, "s1", Phase.NAVIGATING, "http://a/"))
    assert meter.overall(60.0).under_way == pytest.approx(0.5, abs=0.001)
    assert meter.overall(120.0).under_way == pytest.approx(1.0)


def test_what_was_before_the_first_visit_does_not_count() -> None:
    """A browser starts for seconds, in which nothing could have been visited."""
    meter = FlowMeter()
    assert meter.overall(20.0).per_s == 0
    meter.fold(SlotPhase(5.0, "s1", Phase.STARTING, "http://a/"))
    for event in [*visit("s1", "http://a/", 20.0, 22.0), *visit("s1", "http://a/", 22.0, 24.0)]:
        meter.fold(event)
    flow = meter.overall(24.0)
    assert (flow.per_s, flow.took_s) == (0.5, 2.0)
    assert flow.under_way == pytest.approx(1.0)


def test_what_is_long_ago_is_forgotten() -> None:
    """And the number of sites is the frontier's."""
    meter = FlowMeter()
    for event in visit("s1", "http://a/", 0.0, 2.0):
        meter.fold(event)
    assert meter.overall(10.0).per_s == pytest.approx(0.1)
    assert meter.overall(100.0).per_s == 0
    assert meter.by_site(100.0) == {}
    meter.fold(StatsRead(101.0, Stats(sites=7)))
    assert meter.sites == 7


class Proxies:
    """Proxies of which some work, and none for now where `down`."""

    def __init__(self, working: int, *, down: bool = False) -> None:
        self.working = working
        self.limits = {"proxies": 1} if down else {}


@pytest.mark.parametrize(
    ("allowed", "proxies", "limits"),
    [
        (CrawlLimits(), None, {}),
        (CrawlLimits(global_places=3), None, {"places": 3}),
        (CrawlLimits(places=2), None, {"places": 4}),
        (CrawlLimits(places=2, global_places=3), None, {"places": 3}),
        (CrawlLimits(global_rate=10), None, {"rate": 31}),
        (CrawlLimits(rate=1), None, {"rate": 7}),
        (CrawlLimits(rate=1, global_rate=1), None, {"rate": 4}),
        (CrawlLimits(rate=1, own_rates={"a": 3.0}), None, {"rate": 10}),
        (CrawlLimits(rate=1, own_rates={"b": 3.0}), None, {"rate": 4}),
        (CrawlLimits(places=1, own_places={"*.a": 3}), None, {"places": 2}),
        (CrawlLimits(own_rates={"a": 1}), None, {"rate": 4}),
        (CrawlLimits(own_rates={"b": 1}), None, {}),
        (CrawlLimits(rate=2, own_rates={"a": 1}), None, {"rate": 4}),
        (CrawlLimits(own_rates={"a": 1}, global_rate=0.5), None, {"rate": 3}),
        (CrawlLimits(own_rates={"a": 0}, own_places={"a": 2}), None, {"places": 3}),
        (CrawlLimits(proxy_rate=1), Proxies(2), {"proxies": 7}),
        (CrawlLimits(proxy_rate=1), Proxies(0), {"proxies": 1}),
        (CrawlLimits(proxy_rate=1), Proxies(2, down=True), {"proxies": 1}),
        (CrawlLimits(), Proxies(2, down=True), {"proxies": 1}),
    ],
)
def test_a_rate_is_worth_as_many_contexts_as_its_visits_take(
    allowed: CrawlLimits, proxies: Proxies | None, limits: dict[str, int]
) -> None:
    """Two sites, two seconds a visit; until that is known a rate says nothing."""
    book, clock = FlowMeter(), ManualClock(10.0)
    ask = OwnLimits(allowed, book, proxies, clock)
    book.fold(StatsRead(1.0, Stats(sites=2)))
    assert "rate" not in ask()
    assert ask().get("proxies") == (proxies.limits.get("proxies") if proxies else None)
    book.fold(PageDone(9.0, "s1", "http://a/", 200, 2000, 0, settled=True))
    assert ask() == limits


def test_a_limit_does_not_waver_with_every_reading() -> None:
    """It is lowered only by much, since contexts are closed by that; it is raised at once."""
    book, clock = FlowMeter(), ManualClock(10.0)
    ask = OwnLimits(CrawlLimits(rate=1), book, None, clock)
    limits = []
    for number, took_ms in enumerate((10_000, 9_000, 6_000, 12_000)):
        clock.now = at = 100.0 * (number + 1)
        book.fold(PageDone(at, "s1", "http://a/", 200, took_ms, 0, settled=True))
        limits.append(ask()["rate"])
    assert limits == [16, 16, 10, 19]


def test_a_table_limits_contexts_only_while_no_other_site_has_work() -> None:
    """A visit to a site without a limit, even one under way, means that more contexts are of use."""
    book, clock = FlowMeter(), ManualClock(10.0)
    ask = OwnLimits(CrawlLimits(own_rates={"a": 1}, own_places={"a": 4}), book, None, clock)
    book.fold(StatsRead(1.0, Stats(sites=2)))
    book.fold(PageDone(9.0, "s1", "http://a/", 200, 2000, 0, settled=True))
    assert ask() == {"rate": 4, "places": 5}
    book.fold(SlotPhase(9.5, "s2", Phase.NAVIGATING, "http://b/"))
    assert ask() == {}
    book.fold(SlotPhase(10.0, "s2", Phase.IDLE))
    book.fold(PageDone(10.0, "s2", "http://b/", 200, 500, 0, settled=True))
    assert ask() == {}
    clock.now = 75.0
    book.fold(PageDone(74.0, "s1", "http://a/", 200, 2000, 0, settled=True))
    assert ask() == {"rate": 4, "places": 5}
