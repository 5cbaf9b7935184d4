"""A page that does not come: its context is given up, and the others of the engine do not pay for it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from farm.browser import engine as engines
from farm.browser import tab as tabs
from farm.browser.context import ContextSlot
from farm.browser.engine import Engine
from farm.browser.tab import Tab
from farm.model.errors import SlotLost
from fixtures.shop import Shop
from tests.browser.conftest import Browsing, visit
from tests.processes import command_of


@contextmanager
def barren(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Freeze the processes that renderers are born of, and have nobody wait long for one."""
    browser = psutil.Process(engine.pids[1])
    frozen = [child for child in browser.children(recursive=True) if "--type=zygote" in command_of(child)]
    assert frozen
    monkeypatch.setattr(tabs, "OPEN_S", 0.5)
    for process in frozen:
        process.suspend()
    try:
        yield
    finally:
        monkeypatch.undo()
        for process in frozen:
            process.resume()


async def in_use(rendering: Browsing, shop: Shop) -> tuple[ContextSlot, Engine]:
    """Return a slot that has visited the shop, and its engine."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    assert slot.tab is not None
    return slot, slot.tab.engine


async def an_opening(browsing: Browsing) -> Tab:
    """Open a tab as a slot does."""
    slot_proxy = next(iter(browsing.slot_proxies.values()))
    return await browsing.pool.open(slot_proxy.proxy_url, paced=False)


async def test_a_page_that_does_not_come_costs_its_context_alone(
    rendering: Browsing, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine, and the contexts that it has, go on."""
    slot, engine = await in_use(rendering, shop)
    with barren(engine, monkeypatch), pytest.raises(SlotLost, match="no page within"):
        await an_opening(rendering)
    assert not engine.lost.done()
    assert (await visit(slot, shop.at("/about"))).status == 200
    tab = await an_opening(rendering)
    assert tab.engine is engine
    await tab.close()


async def test_an_engine_that_opens_no_page_any_more_is_lost(
    rendering: Browsing, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers all the same, so nothing else would notice."""
    slot, engine = await in_use(rendering, shop)
    with barren(engine, monkeypatch):
        for _ in range(engines.OVERDUE):
            with pytest.raises(SlotLost, match="no page within"):
                await an_opening(rendering)
        async with asyncio.timeout(30):
            assert "times in a row" in await engine.lost
    assert (await visit(slot, shop.at("/about"))).status == 200


@pytest.mark.parametrize("late_s", [0.5, 600.0])
async def test_a_frozen_engine_that_does_not_let_a_context_go_is_lost(
    rendering: Browsing, shop: Shop, monkeypatch: pytest.MonkeyPatch, late_s: float
) -> None:
    """Its contexts would pile up; once it is lost for another reason nobody waits for them."""
    _, engine = await in_use(rendering, shop)
    tab = await an_opening(rendering)
    monkeypatch.setattr(tabs, "LATE_S", late_s)
    browser = psutil.Process(engine.pids[1])
    browser.suspend()
    try:
        closing = asyncio.create_task(tab.close())
        done, _ = await asyncio.wait({closing}, timeout=0.2)
        assert not done
        if late_s > 1:
            engine.mark_lost("a process of the engine died")
        async with asyncio.timeout(20):
            await closing
    finally:
        browser.resume()
    assert engine.lost.result() == (
        "a process of the engine died" if late_s > 1 else "a context did not close within 0.5 s"
    )
