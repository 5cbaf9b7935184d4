"""Pages that only a sitemap names."""

from pathlib import Path

from fixtures.shop import serve_shop_in_thread
from fixtures.shop.journal import Kind
from tests.e2e.farm_process import crawl


def test_the_sitemap_that_robots_txt_names_is_fed_to_the_crawl(out: Path) -> None:
    """Also where no link leads to its pages, and the seeds are done before it is read."""
    with serve_shop_in_thread() as shop:
        finished = crawl(out, shop.at("/faults/pdf"), sitemap="auto", limit="5").finish()
        assert finished.code == 5, finished.output
        asked = [visit.path for visit in shop.requests.all(Kind.META)]
    assert asked == ["/robots.txt", "/sitemap.xml"]
    assert finished.summary["ledger"]["accepted"] == len(shop.oracle.urls) + 1
    assert shop.at("/sitemap.xml") in {record["referrer"] for record in finished.records}


def test_a_sitemap_that_is_not_there_ends_nothing(out: Path) -> None:
    """It is said, and the seeds are crawled."""
    with serve_shop_in_thread() as shop:
        given = shop.at("/assets/none.xml")
        finished = crawl(out, shop.at("/faults/pdf"), sitemap=given).finish()
    assert finished.code == 0, finished.output
    assert len(finished.records) == 1
    assert "was not read to its end: status 404" in finished.output
