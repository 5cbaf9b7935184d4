"""The light engine as the farm runs it: a real engine, confined, behind a real gateway."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from farm.browser.collector import Collector, ReadParams
from farm.egress import AllowedNetwork, Gateway, Guard, SlotProxy
from farm.light.pool import LightPool, LightPoolParams, LightSlot
from farm.light.program import PACKAGE, ProgramParams, find_program
from farm.light.render import LightRenderParams
from farm.light.tab import LightTabParams
from farm.model.clock import SystemClock
from farm.model.event import Event
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask
from farm.model.url import site_of
from farm.policy.recycle import RecycleParams
from fixtures.shop import Shop, serve_shop_in_thread


@dataclass
class Lights:
    """A pool with its gateway, and what it said."""

    pool: LightPool
    gateway: Gateway
    folder: Path
    events: list[Event] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)
    proxies: dict[str, SlotProxy] = field(default_factory=dict)
    slots: dict[str, LightSlot] = field(default_factory=dict)

    async def slot(self, name: str = "01") -> LightSlot:
        """Add a slot with a port of its own."""
        self.proxies[name] = await self.gateway.open(name)
        return self.pool.slot(name, self.proxies[name].proxy_url)


async def visit(slot: LightSlot, url: str, **answered: Any) -> RenderedPage:
    """Have the slot visit the URL."""
    return await slot.render(Lease(UrlTask(url, site_of(url), "0" * 16), "01", 1), **answered)


def params_of(
    program: ProgramParams | None = None,
    read: ReadParams | None = None,
    page_timeout_s: float = 20.0,
    settle_timeout_s: float = 5.0,
    **pool: Any,
) -> LightPoolParams:
    """Return the parameters of a pool of the real engine."""
    collector = Collector(read or ReadParams(), images=True)
    render = LightRenderParams(collector, page_timeout_s, settle_timeout_s)
    return LightPoolParams(
        program or ProgramParams(find_program()),
        LightTabParams(collector.hook, collector.reading),
        lambda _: render,
        lambda _: "",
        **{"recycle": RecycleParams(), **pool},
    )


@asynccontextmanager
async def lighting(
    folder: Path, params: LightPoolParams | None = None, names: Iterable[str] = ("01",)
) -> AsyncIterator[Lights]:
    """Open a pool with its gateway and slots of these names; nothing of it is left afterwards."""
    events: list[Event] = []
    pids: list[int] = []
    freed: list[int] = []
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    pool = LightPool(params or params_of(), folder, pids.append, freed.append, events.append, SystemClock())
    try:
        lights = Lights(pool, gateway, folder, events, pids, freed)
        for name in names:
            lights.slots[name] = await lights.slot(name)
        yield lights
    finally:
        await pool.close()
        await gateway.close()


def lights_of_a_module(params: LightPoolParams | None = None) -> Any:
    """Return a fixture that opens one pool, with one slot, for all tests of a module."""

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LightSlot]:
        async with lighting(tmp_path_factory.mktemp("l"), params) as lights:
            yield lights.slots["01"]

    return opened


@pytest.fixture(scope="package", autouse=True)
def _installed() -> None:
    """Skip all of it where the engine is not there: not every machine has a wheel of it."""
    if find_spec(PACKAGE) is None:
        pytest.skip("the light engine is not installed; `make setup` installs it on Linux on x86-64")


@pytest.fixture(scope="package")
def shop() -> Iterator[Shop]:
    """Open a shop without switches; its fault pages are all there."""
    with serve_shop_in_thread() as opened:
        yield opened
