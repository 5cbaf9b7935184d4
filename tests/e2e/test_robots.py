"""robots.txt, as it is obeyed by default."""

from itertools import pairwise
from pathlib import Path
from statistics import median

from fixtures.shop import serve_shop_in_thread
from fixtures.shop.journal import Kind
from tests.e2e.farm_process import crawl, log_says, until

CLOSED = "User-agent: *\nDisallow: /c/\nDisallow: /p/*-lamp$\n"


def test_what_robots_txt_forbids_is_never_asked_for(out: Path) -> None:
    """Neither by a link nor as a seed; each address is named with the reason."""
    with serve_shop_in_thread(robots_txt=CLOSED) as shop:
        seeds = [shop.url, shop.at("/c/lighting")]
        finished = crawl(out, *seeds).finish()
        assert finished.code == 0, finished.output
        asked = [visit.path for visit in shop.requests.pages()]
        assert [visit.path for visit in shop.requests.all(Kind.META)] == ["/robots.txt"]
    assert asked
    assert not [path for path in asked if path.startswith("/c/")]
    skipped = {skip["url"]: skip["reason"] for skip in finished.skips}
    assert skipped[shop.at("/c/lighting")] == "robots"
    ledger = finished.summary["ledger"]
    assert ledger["done"] == len(finished.records) + 1
    assert finished.summary["skipped"]["robots"] > 1


def test_robots_txt_is_ignored_on_demand(out: Path) -> None:
    """With `--robots ignore` it is not even requested."""
    with serve_shop_in_thread(robots_txt="User-agent: *\nDisallow: /\n") as shop:
        finished = crawl(out, shop.url, robots="ignore", limit="3").finish()
        assert finished.code == 5
        assert shop.requests.all(Kind.META) == []
    assert len(finished.records) == 3


def test_a_crawl_delay_spaces_the_visits_of_all_contexts(out: Path) -> None:
    """Also the first ones, which were granted before it was known."""
    with serve_shop_in_thread(robots_txt="User-agent: crawlfarm\nCrawl-delay: 0.5\n") as shop:
        running = crawl(out, shop.url, shop.at("/c/lighting"), shop.at("/c/chairs"), contexts="3", limit="8")
        finished = running.finish()
        times = [visit.at for visit in shop.requests.pages()]
    assert len(finished.records) == 8
    # The median: what a busy machine delays on its way arrives closer to what comes after it.
    assert median(later - earlier for earlier, later in pairwise(times)) > 0.4


def test_a_page_that_says_nofollow_is_not_followed(out: Path) -> None:
    """The meta element: its links are skipped with that reason."""
    with serve_shop_in_thread() as shop:
        finished = crawl(out, shop.at("/faults/nofollow")).finish()
    (record,) = finished.records
    assert record["noindex"]
    assert {skip["reason"] for skip in finished.skips} == {"nofollow"}


def test_while_robots_txt_is_out_of_order_no_page_is_asked_for(out: Path) -> None:
    """The site waits; nothing is skipped, and nothing is lost."""
    with serve_shop_in_thread(robots_status=503) as shop:
        running = crawl(out, shop.url)
        until(lambda: len(shop.requests.all(Kind.META)) > 0, "a request for robots.txt")
        log_says(out, "robots.txt answers with status 503")
        running.process.terminate()
        finished = running.finish()
        assert shop.requests.pages() == []
    assert finished.summary["ledger"]["delayed"] == 1
