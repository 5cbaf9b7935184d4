"""What the user allows, as the frontier, the learner of paces and admission take it."""

from typing import Any

import pytest

from farm.app.limits import crawl_limits, differ_in_limits, limits_in_force, pace_params, politeness_of
from farm.frontier.terms import Politeness
from farm.policy.aimd import PaceParams
from farm.policy.capacity import CrawlLimits
from farm.settings.page_options import SiteSettings

NONE: dict[str, Any] = dict.fromkeys(
    ("rate", "site_concurrency", "global_rate", "global_concurrency", "proxy_rate")
)
TABLES = SiteSettings.model_validate(
    {"site": {"a.example": {"rate": "5/s"}, "*.b.example": {"concurrency": 3}, "c.example": {"wait": "load"}}}
).site


@pytest.mark.parametrize(
    ("agreed", "asked"),
    [
        ({}, Politeness(in_flight=8)),
        ({"rate": "2/s"}, Politeness(interval_s=0.5, in_flight=8)),
        ({"site_concurrency": 3}, Politeness(in_flight=3)),
        ({"site_concurrency": 30}, Politeness(in_flight=8)),
        ({"proxy_rate": "30/m"}, Politeness(in_flight=8, egress_interval_s=2.0)),
        ({"global_rate": "10/s"}, Politeness(in_flight=8, global_interval_s=0.1)),
        ({"global_concurrency": 5}, Politeness(in_flight=8, global_in_flight=5)),
    ],
)
def test_every_lease_is_asked_for_what_the_crawl_allows(agreed: dict[str, Any], asked: Politeness) -> None:
    """A site begins with no more than eight visits at once, whatever it may have later."""
    assert politeness_of(NONE | agreed) == asked


@pytest.mark.parametrize(
    ("agreed", "params"),
    [
        ({}, PaceParams()),
        ({"rate": "2/s"}, PaceParams(ceiling=2.0)),
        ({"site_concurrency": 3}, PaceParams(most=3)),
    ],
)
def test_a_pace_stays_below_what_the_user_allows(agreed: dict[str, Any], params: PaceParams) -> None:
    """Where nothing is said, the learner's own bounds hold."""
    assert pace_params(NONE | agreed) == params


def test_the_limits_of_tables_are_told_beside_those_of_all() -> None:
    """A table that says nothing of one of them has the crawl's; a proxy's rate needs proxies."""
    agreed = NONE | {"rate": "1/s", "site_concurrency": 2, "proxy_rate": "3/s", "global_concurrency": 9}
    own: dict[str, Any] = {
        "own_rates": {"a.example": 5.0, "*.b.example": 1.0},
        "own_places": {"a.example": 2, "*.b.example": 3},
    }
    told = CrawlLimits(global_places=9, rate=1.0, places=2, **own)
    assert crawl_limits(agreed, TABLES, has_proxies=False) == told
    assert crawl_limits(agreed, TABLES, has_proxies=True).proxy_rate == 3.0
    assert crawl_limits(NONE, {}, has_proxies=True) == CrawlLimits()


def test_the_limits_in_force_are_told_with_how_to_change_them() -> None:
    """By the names of their options; without any there is nothing to tell."""
    agreed = NONE | {"rate": "1/s", "global_concurrency": 9}
    assert limits_in_force(agreed, TABLES) == (
        "limits that the crawl was created with: --rate 1/s, --global-concurrency 9, "
        'rate = 5/s in [site."a.example"], concurrency = 3 in [site."*.b.example"]; '
        "only --fresh, with others, changes them"
    )
    assert limits_in_force(NONE, {}) == ""


@pytest.mark.parametrize(
    ("given", "are_all"), [({"rate": "2/s"}, True), ({"rate": "2/s", "scope": "any"}, False), ({}, False)]
)
def test_a_run_with_other_limits_alone_is_told_apart(given: dict[str, Any], are_all: bool) -> None:
    """From one that is another crawl."""
    stored = NONE | {"rate": "1/s", "scope": "host"}
    assert differ_in_limits(stored, stored | given) is are_all
