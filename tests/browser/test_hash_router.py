"""Whether a page routes by the fragment, as the browser tells it."""

from dataclasses import replace
from pathlib import Path

import pytest

from farm.browser.render import RenderParams
from farm.model.page import HashRouter
from fixtures.shop import Shop
from fixtures.shop.faults.routed import ROUTED
from tests.browser.conftest import browsing, seen, visit

pytestmark = pytest.mark.browser
RENDER = RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0, find_router=True)


async def test_a_page_that_routes_by_the_fragment_is_known(shop: Shop, tmp_path: Path) -> None:
    """By its listeners and its history, on each of its routes; by its name where anchors are parameters."""
    async with browsing(tmp_path / "engines", RENDER) as opened:
        for name in ROUTED:
            url = shop.at(f"/faults/routed-{name}")
            expected = HashRouter(url, id_is_anchor=name == "docs")
            for address in (url, f"{url}#/guide"):
                assert (await seen(opened, address)).hash_router == expected, address
        bang = shop.at("/faults/routed-bang")
        assert (await seen(opened, bang)).hash_router == HashRouter(bang)


async def test_a_page_that_does_not_route_is_left_alone(shop: Shop, tmp_path: Path) -> None:
    """Nothing listens, it has no such links, or it answers without end: its visit is whole all the same."""
    async with browsing(tmp_path / "engines", RENDER) as opened:
        slot = await opened.slot()
        for name in ("api", "plain", "busy"):
            page = await visit(slot, shop.at(f"/faults/routed-{name}"))
            assert page.hash_router is None
            assert "Start" in page.text
        # The page that was busy holds up nobody.
        assert (
            "There is no such route."
            not in (await visit(slot, shop.at("/faults/routed-listener#/guide"))).text
        )
        assert (await visit(slot, shop.at("/faults/late-hash/50"))).hash_router is None


async def test_nothing_is_asked_where_it_does_not_matter(shop: Shop, tmp_path: Path) -> None:
    """With `--hash-routes on` every such link is a page."""
    async with browsing(tmp_path / "engines", replace(RENDER, find_router=False)) as opened:
        assert (await seen(opened, shop.at("/faults/routed-listener"))).hash_router is None
