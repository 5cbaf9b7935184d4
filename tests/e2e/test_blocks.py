"""Pages that keep a visitor out, in a real browser: the record says so, and the URL is done."""

from pathlib import Path

from fixtures.blocks import block_pages
from fixtures.blocks.serve import path_of, serve_blocks
from tests.e2e.farm_process import crawl

PUT_OFF = {429, 503}
"""Statuses by which a site asks for time: such a page is put off, whoever says it."""


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
