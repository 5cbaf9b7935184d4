"""`--render light` from outside: the shop, whose products only scripts show, by an engine that paints nothing."""

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from farm.light.program import PACKAGE
from fixtures.shop import Shop
from tests.e2e.farm_process import crawl, farm
from tests.e2e.test_shop import assert_complete

pytestmark = pytest.mark.skipif(
    find_spec(PACKAGE) is None,
    reason="the light engine is not installed; `make setup` installs it on Linux on x86-64, by the extra `light`",
)


def test_the_shop_is_crawled_by_the_light_engine(shop: Shop, out: Path) -> None:
    """Every page once, with all that a browser shows of it, and none of them by a browser."""
    running = crawl(out, shop.url, render="light", contexts="4")
    finished = running.finish()
    assert_complete(finished, shop.oracle)
    assert Counter(one["rendered_by"] for one in finished.records) == {"light": len(shop.oracle.urls)}
    assert {one["attempt"] for one in finished.records} == {1}
    summary = finished.summary
    assert summary["ledger"]["done"] == summary["ledger"]["accepted"] == len(shop.oracle.urls)
    assert 0 < summary["peak_memory_bytes"] < summary["memory_budget_bytes"]
    assert farm("doctor", "--audit", "--output", str(out), folder=out).code == 0
