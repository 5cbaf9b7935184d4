"""Pages that keep a visitor out, in a real browser: the record says so, and the URL is done."""

from pathlib import Path

from farm.detect import detect
from fixtures.blocks import block_pages
from fixtures.blocks.serve import path_of, serve_blocks
from tests.detect.static import rendered, written_pages
from tests.e2e.farm_process import crawl

PUT_OFF = {429, 503}
"""Statuses by which a site asks for time: such a page is delayed, whoever says it."""


def test_every_page_that_keeps_out_is_recorded_with_who_and_why(out: Path) -> None:
    """Without proxies there is no other address to try: the page is kept, and what it is stands beside it."""
    pages = {path_of(page): page for page in block_pages() if page.status not in PUT_OFF | {522}}
    with serve_blocks() as origin:
        urls = [origin + path for path in pages]
        finished = crawl(out, *urls, scope="page", contexts="3").finish()
    assert finished.code == 0, finished.output
    assert finished.summary["ledger"]["done"] == len(pages)
    told = {record["url"].removeprefix(origin): record for record in finished.records}
    assert set(told) == set(pages)
    for path, page in pages.items():
        evidence = told[path]["evidence"]
        assert (evidence["finding"] if evidence else None) == page.finding, (path, told[path]["text"])
        assert told[path]["blocked_by"] == (page.by or None)
        assert told[path]["status"] == page.status


def test_pages_are_judged_in_a_browser_as_they_are_without_one(out: Path) -> None:
    """The figures over these pages are taken without a browser; they hold for what Chromium shows."""
    names = ("blocked_blind", "blocked_informed", "honest_blind", "honest_informed")
    pages = [page for name in names for page in written_pages(name) if page.status not in PUT_OFF]
    expected = {path_of(page): detect(rendered(page)) for page in pages}
    with serve_blocks(pages) as origin:
        finished = crawl(out, *(origin + path for path in expected), scope="page", contexts="3").finish()
    assert finished.code == 0, finished.output
    told = {record["url"].removeprefix(origin): record for record in finished.records}
    judged = {
        path: (record["evidence"]["finding"], record["blocked_by"]) if record["evidence"] else None
        for path, record in told.items()
    }
    assert judged == {path: (found.finding, found.by) if found else None for path, found in expected.items()}
