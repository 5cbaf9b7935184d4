"""What a page hands over is capped as a whole, whatever it is made of; what a cap cut is named."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.reading import ReadParams
from farm.browser.render import RenderParams
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, browsing, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAPS = ReadParams()
MANY = 400
PAGES = {
    "/many": "".join(f'<a href="/{n}/{"x" * 7_000}">{n}</a>' for n in range(MANY)),
    "/data": "".join(f'<a href="data:text/plain;{n},{"x" * 1_000_000}">{n}</a>' for n in range(3)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=PAGES.get(request.path, ""), content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browsing]:
    """Open one pool for all of them."""
    folder: Path = tmp_path_factory.mktemp("caps") / "engines"
    async with browsing(folder, RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0)) as browsers:
        yield browsers


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
