"""What is measured of the flow agrees with Little's law, on a clock of its own."""

from random import Random

import pytest

from farm.model.crawl import Stats
from farm.model.event import Event, PageDone, Phase, SlotPhase, StatsRead, VisitFailed
from farm.runtime.flow import FlowMeter


def visit(slot: str, url: str, begin: float, end: float, *, fails: bool = False) -> list[Event]:
    """Return what a worker tells of a visit."""
    took_ms = round((end - begin) * 1000)
    ended: Event = PageDone(end, slot, url, 200, took_ms, 0, settled=True)
    if fails:
        ended = VisitFailed(end, slot, url, "timeout", "", "retry", took_ms)
    return [
        SlotPhase(begin, slot, Phase.NAVIGATING, url),
        SlotPhase(begin + 0.01, slot, Phase.SETTLING, url),
        ended,
        SlotPhase(end, slot, Phase.IDLE),
    ]


def test_what_is_under_way_is_the_rate_times_the_time() -> None:
    """Counted apart, over many slots that come and go."""
    meter, random, events = FlowMeter(0.0), Random(5), list[Event]()
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
    meter = FlowMeter(0.0)
    meter.fold(SlotPhase(30.0, "s1", Phase.NAVIGATING, "http://a/"))
    assert meter.overall(60.0).under_way == pytest.approx(0.5)
    assert meter.overall(120.0).under_way == pytest.approx(1.0)


def test_what_is_long_ago_is_forgotten() -> None:
    """And the number of sites is the frontier's."""
    meter = FlowMeter(0.0)
    for event in visit("s1", "http://a/", 1.0, 2.0):
        meter.fold(event)
    assert meter.overall(10.0).per_s == pytest.approx(0.1)
    assert meter.overall(100.0).per_s == 0
    assert meter.by_site(100.0) == {}
    meter.fold(StatsRead(101.0, Stats(sites=7)))
    assert meter.sites == 7
