"""What a page hands over is capped as a whole, whatever it is made of; what a cap cut is named."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.collector import ReadParams
from farm.browser.render import RenderParams
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, browsing, pool_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAPS = ReadParams()
MANY = 400
PAGES = {
    "/many": "".join(f'<a href="/{n}/{"x" * 7_000}">{n}</a>' for n in range(MANY)),
    "/short": "<p>Short</p>" + "<i></i>" * 1_000,
    "/text": f"<p>{'word ' * 1_000}</p>",
    "/data": "".join(f'<a href="data:text/plain;{n},{"x" * 1_000_000}">{n}</a>' for n in range(3)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=PAGES.get(request.path, ""), content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


opened = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0))


async def test_the_links_of_a_page_are_capped_together(opened: Browsing, site: str) -> None:
    """The first ones are there, whole."""
    page = await visit(await opened.slot("many"), f"{site}/many")
    sizes = [len(link.url) for link in page.links]
    assert 0 < len(sizes) < MANY
    assert min(sizes) > 7_000
    assert sum(sizes) <= CAPS.links_cap
    assert page.truncated == ("links",)


async def test_what_is_no_address_of_the_web_is_cut(opened: Browsing, site: str) -> None:
    """Its scheme is all that is asked of it."""
    page = await visit(await opened.slot("data"), f"{site}/data")
    assert [link.url[:17] for link in page.links] == [f"data:text/plain;{n}" for n in range(3)]
    assert {len(link.url) for link in page.links} == {2000}
    assert page.truncated == ()


async def test_html_that_nobody_keeps_is_read_of_short_pages_alone(tmp_path: Path, site: str) -> None:
    """Blocks are recognised by it, and pages without words compared; of others it is not even written out."""
    params = RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0, html_of_text=4_000, html_cap=200)
    async with browsing(tmp_path / "engines", params) as browsers:
        slot = await browsers.slot("html")
        short, long = await visit(slot, f"{site}/short"), await visit(slot, f"{site}/text")
    assert (len(short.html), short.text) == (200, "Short")
    assert (long.html, len(long.text)) == ("", 4_999)
