"""`--render auto` from outside: pages by plain HTTP where they are the same, by the browser where they are not."""

import json
from collections import Counter
from pathlib import Path

import pytest

from fixtures.lamps import Lamps, serve_lamps
from tests.e2e.farm_process import Finished, crawl, farm


def assert_right(finished: Finished, site: Lamps) -> None:
    """Each page once, and with what a browser shows of it; the ledger balances."""
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(site.urls, 1)
    assert incomplete(finished, site) == []
    ledger = finished.summary["ledger"]
    assert ledger["done"] == ledger["accepted"] == len(site.urls)


def incomplete(finished: Finished, site: Lamps) -> list[str]:
    """Return the pages whose records lack what a browser shows of them."""
    records = finished.records
    return [one["url"] for one in records if one["url"] != site.url and "euros" not in one["text"]]


def taken(out: Path, renderer: str = "fetch") -> int:
    """Return how many pages a renderer has brought to a folder so far."""
    return sum(one["rendered_by"] == renderer for one in Finished(0, "", out).records)


def test_pages_are_brought_the_cheapest_way_that_is_the_same(out: Path) -> None:
    """Some thirty comparisons, then plain HTTP; what a script writes stays the browser's."""
    with serve_lamps(Lamps(pages=60, apps=6)) as site:
        finished = crawl(out, site.url, render="auto").finish()
        assert_right(finished, site)
    by = Counter((one["rendered_by"], one["url"].split("/")[3]) for one in finished.records)
    assert by["fetch", "app"] == 0
    assert by["fetch", "p"] >= 10
    told = finished.summary["renderers"]
    assert told["pages"] == Counter(one["rendered_by"] for one in finished.records)
    assert told["compared"] >= 30
    assert 0 < told["most_wrong"] <= len(finished.records) - told["pages"]["browser"]
    report = json.loads(farm("render-report", "--json", "--output", str(out), folder=out).output)
    stages = {one["template"].partition("/")[2]: one["renderers"]["fetch"] for one in report["templates"]}
    assert (stages["p/#"]["stage"], stages["app/#"]["stage"]) == ("provisional", "learning")
    assert "/app/" in stages["app/#"]["examples"][0]


@pytest.mark.slow
def test_a_change_of_mind_in_mid_crawl_is_repaired_over_kills(out: Path) -> None:
    """The site turns to scripts while it is crawled, and the farm is killed before and after that."""
    with serve_lamps(Lamps(pages=400, apps=10, changes_at=330)) as site:
        for requests in (150, 380):
            running = crawl(out, site.url, render="auto", contexts="4")
            site.wait_for(requests)
            running.kill()
        finished = crawl(out, site.url, render="auto", contexts="4").finish(180)
        assert_right(finished, site)
    told = finished.summary["renderers"]
    assert told["requeued"] > 0
    assert {one["revision"] for one in finished.records} == {0, 1}
    assert farm("doctor", "--audit", "--output", str(out), folder=out).code == 0
