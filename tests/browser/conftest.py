"""The farm's own rendering on the demo shop: a real browser, a real slot proxy, a real server."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from farm.browser.chromium import find_browser
from farm.browser.context import ContextSlot, SlotParams
from farm.browser.engine import EngineParams
from farm.browser.intercept import blocked_urls
from farm.browser.pool import Pool, PoolParams
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.egress import AllowedNetwork, Gateway, Guard, SlotProxy
from farm.model.clock import SystemClock
from farm.model.event import Event
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask
from farm.model.url import site_of
from farm.policy.recycle import RecycleParams
from fixtures.shop import Shop, serve_shop_in_thread


@dataclass
class Browsing:
    """A pool with its gateway, and what it said."""

    pool: Pool
    gateway: Gateway
    events: list[Event] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    slot_proxies: dict[str, SlotProxy] = field(default_factory=dict)

    async def slot(self, name: str = "01") -> ContextSlot:
        """Add a slot with a slot proxy of its own."""
        self.slot_proxies[name] = await self.gateway.open(name)
        return self.pool.slot(name, self.slot_proxies[name].proxy_url)

    async def slot_with(self, tab: TabParams) -> ContextSlot:
        """Add a slot whose contexts have these parameters, until the next one; what is the engine's own stays."""
        self.pool._slot_params = replace(self.pool._slot_params, tab=tab)
        return await self.slot(f"with-{len(self.slot_proxies)}")


def lease(url: str) -> Lease:
    """Return a lease of the URL, as the frontier would."""
    return Lease(UrlTask(url, site_of(url), "0" * 16), "01", 1)


async def visit(slot: ContextSlot, url: str) -> RenderedPage:
    """Have the slot visit the URL."""
    return await slot.render(lease(url))


async def seen(browser: Browsing, url: str) -> RenderedPage:
    """Visit with a slot of its own, which is released."""
    slot = await browser.slot(url)
    try:
        return await visit(slot, url)
    finally:
        slot.retire()


@asynccontextmanager
async def browsing(
    folder: Path,
    render: RenderParams | None = None,
    recycle: RecycleParams | None = None,
    tab: TabParams | None = None,
    engines: int = 1,
    open_every_s: float = 0.0,
    ca_file: Path | None = None,
) -> AsyncIterator[Browsing]:
    """Open a pool and its gateway; nothing of it is left afterwards."""
    events: list[Event] = []
    pids: list[int] = []
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    params = tab or TabParams(blocked_urls=blocked_urls(("media", "fonts")), images=False)
    pool = Pool(
        PoolParams(engines, open_every_s=open_every_s),
        EngineParams(
            find_browser(),
            os.geteuid() != 0,
            ca_file,
            images=params.images,
            requests=params.capture.requests,
        ),
        SlotParams(
            params,
            render or RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0),
            recycle or RecycleParams(),
        ),
        folder,
        pids.append,
        lambda _: None,
        events.append,
        SystemClock(),
    )
    try:
        yield Browsing(pool, gateway, events, pids)
    finally:
        await pool.close()
        await gateway.close()


def pool_of_a_module(render: RenderParams, tab: TabParams | None = None) -> Any:
    """Return a fixture that opens one pool for all tests of a module; each of them has a slot of its own in it."""

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browsing]:
        async with browsing(tmp_path_factory.mktemp("pool") / "engines", render, tab=tab) as pool:
            yield pool

    return opened


@pytest.fixture(scope="package")
def shop() -> Iterator[Shop]:
    """Open a shop without switches; its fault pages are all there."""
    with serve_shop_in_thread() as opened:
        yield opened


@pytest.fixture
async def rendering(tmp_path: Path) -> AsyncIterator[Browsing]:
    """Open a pool of one engine."""
    async with browsing(tmp_path / "engines") as opened:
        yield opened
