"""The crawl's own limits as contexts that are of use."""

from typing import Any

import pytest

from farm.app.limits import own_limits
from farm.model.crawl import Stats
from farm.model.event import PageDone, StatsRead
from farm.runtime.flow import FlowMeter
from tests.clock import ManualClock

NONE: dict[str, Any] = dict.fromkeys(
    ("rate", "site_concurrency", "global_rate", "global_concurrency", "proxy_rate")
)


@pytest.mark.parametrize(
    ("agreed", "limits"),
    [
        ({}, {}),
        ({"global_concurrency": 3}, {"places": 3}),
        ({"site_concurrency": 2}, {"places": 4}),
        ({"site_concurrency": 2, "global_concurrency": 3}, {"places": 3}),
        ({"global_rate": "10/s"}, {"rate": 31}),
        ({"rate": "1/s"}, {"rate": 7}),
        ({"rate": "1/s", "global_rate": "1/s"}, {"rate": 4}),
    ],
)
def test_a_rate_is_worth_as_many_contexts_as_its_visits_take(
    agreed: dict[str, Any], limits: dict[str, int]
) -> None:
    """Two sites, two seconds a visit; until that is known a rate says nothing."""
    book, clock = FlowMeter(0.0), ManualClock(10.0)
    ask = own_limits(NONE | agreed, {}, None, book, clock)
    book.fold(StatsRead(1.0, Stats(sites=2)))
    assert set(ask()) <= {"places"}
    book.fold(PageDone(9.0, "s1", "http://a/", 200, 2000, 0, settled=True))
    assert ask() == limits


def test_a_limit_does_not_waver_with_every_reading() -> None:
    """It is lowered only by much, since contexts are closed by that; it is raised at once."""
    book, clock = FlowMeter(0.0), ManualClock(10.0)
    ask = own_limits(NONE | {"rate": "1/s"}, {}, None, book, clock)
    limits = []
    for number, took_ms in enumerate((10_000, 9_000, 6_000, 12_000)):
        clock.now = at = 100.0 * (number + 1)
        book.fold(PageDone(at, "s1", "http://a/", 200, took_ms, 0, settled=True))
        limits.append(ask()["rate"])
    assert limits == [16, 16, 10, 19]
