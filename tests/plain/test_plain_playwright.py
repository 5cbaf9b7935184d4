"""The records against plain Playwright: it sees the same text and links on the same pages.

Kept apart, because pytest-playwright's synchronous `page` keeps an event loop running for the rest of the session.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import crawl

PAGES = 20


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Open a shop without faults."""
    with serve_shop_in_thread() as opened:
        yield opened


@pytest.fixture(scope="module")
def records(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Crawl some pages of each kind."""
    folder = tmp_path_factory.mktemp("plain") / "out"
    finished = crawl(folder, shop.url, contexts="3", limit=str(PAGES)).finish()
    assert len(finished.records) == PAGES, finished.output
    return finished.records


def test_plain_playwright_sees_the_same_text_and_links(
    context: BrowserContext, records: list[dict[str, Any]]
) -> None:
    """Twenty pages, each opened anew and waited for until the network is idle, which takes long: all at once."""
    pages = [context.new_page() for _ in records]
    for page, record in zip(pages, records, strict=True):
        page.goto(record["url"], wait_until="commit")
    for page, record in zip(pages, records, strict=True):
        page.wait_for_load_state("networkidle")
        assert squeezed(record["text"]) == squeezed(page.inner_text("body")), record["url"]
        hrefs = page.eval_on_selector_all("a[href]", "anchors => anchors.map(anchor => anchor.href)")
        wanted = {href.partition("#")[0] for href in hrefs if href.startswith("http")}
        assert {link["url"] for link in record["links"]} == wanted, record["url"]
        assert record["title"] == page.title()


def squeezed(text: str) -> str:
    """Return the text with white space made one: line breaks depend on the moment of the layout."""
    return re.sub(r"\s+", " ", text).strip()
