"""Pages that flood the browser with events: they end alone, and their neighbour on the engine does not notice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from farm.browser.render import RenderParams
from farm.model.errors import SlotLost
from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, browsing, visit

PAGE_S = 15.0
FLOOD_S = 60.0
"""How long a flood may take to be one: on a machine under load it takes its time."""
ROUND = "const f = () => { for (let i = 0; i < %d; i += 1) { %s } setTimeout(f, 0); }; f();"
SCRIPT = (
    "const e = document.createElement('script'); e.src = 'data:text/javascript,//' + Math.random();"
    "document.head.append(e);"
)
QUIETED = {
    "push": "for (let n = 0; n < 200000; n += 1) history.pushState(null, '', '/p/' + n);",
    "hash": ROUND % (500, "location.hash = Math.random();"),
    "console": ROUND % (5_000, "console.log('x'.repeat(100));"),
    "errors": ROUND % (3_000, "Promise.reject(new Error('x'));"),
    "dialogs": "for (let n = 0; n < 1000; n += 1) alert('x'.repeat(100000));",
    "downloads": ROUND
    % (100, "const a = document.createElement('a'); a.href = 'data:,x'; a.download = 'x'; a.click();"),
    "windows": ROUND % (50, "window.open('about:blank');"),
    "title": "document.title = 'x'.repeat(50 * 2 ** 20);",
}
"""What is held back where it begins: the page is read as any other, or fails by itself."""
ENDED = {
    "scripts": ROUND % (300, SCRIPT),
    "sockets": ROUND % (500, "try { new WebSocket('ws://' + location.host + '/ws'); } catch {}"),
    "requests": ROUND % (1_000, "fetch('data:,x').catch(() => 0);"),
}
"""What cannot be: the driver counts it and ends the page."""


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """Serve the attacks by name, and a page that is well for every other path."""

    async def answer(request: web.Request) -> web.Response:
        script = {**QUIETED, **ENDED}.get(request.path.strip("/"), "")
        text = f"<!doctype html><title>A</title><body><p>Content.<script>{script}</script>"
        return web.Response(text=text, content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Browsing]:
    """Open a pool of one engine, so that attacker and neighbour share it."""
    async with browsing(
        tmp_path / "engines", RenderParams(page_timeout_s=PAGE_S, settle_timeout_s=2.0)
    ) as opened:
        yield opened


@pytest.fixture
async def patient_pages(tmp_path: Path) -> AsyncIterator[Browsing]:
    """Open the same pool, which waits for as long as a flood may take."""
    params = RenderParams(page_timeout_s=2 * FLOOD_S, settle_timeout_s=FLOOD_S)
    async with browsing(tmp_path / "engines", params) as opened:
        yield opened


async def attacked(pages: Browsing, site: str, name: str) -> RenderedPage | SlotLost:
    """Visit the attacker while its neighbour goes on; what it came to, once the neighbour has been looked at."""
    attacker, neighbour = await pages.slot("01"), await pages.slot("02")
    for slot in (attacker, neighbour):
        await visit(slot, f"{site}/well")
    assert attacker.tab is not None
    assert neighbour.tab is not None
    tab, engine = neighbour.tab, neighbour.tab.engine
    assert attacker.tab.engine is engine
    attack = asyncio.create_task(visit(attacker, f"{site}/{name}"))
    while True:
        page = await visit(neighbour, f"{site}/well")
        assert page.text == "Content."
        if attack.done():
            break
    assert neighbour.tab is tab
    assert not engine.lost.done()
    error = attack.exception()
    if error is None:
        return attack.result()
    assert isinstance(error, SlotLost)
    # Its slot has another context at once.
    assert (await visit(attacker, f"{site}/well")).text == "Content."
    return error


@pytest.mark.parametrize("name", QUIETED)
async def test_a_flood_that_is_held_back_harms_nobody(pages: Browsing, site: str, name: str) -> None:
    """The neighbour's context and the engine live; the page comes to something within its time."""
    found = await attacked(pages, site, name)
    assert isinstance(found, RenderedPage | SlotLost)


@pytest.mark.parametrize("name", ENDED)
async def test_a_flood_is_ended_alone(patient_pages: Browsing, site: str, name: str) -> None:
    """With a class and a reason; the neighbour's context and the engine live."""
    found = await attacked(patient_pages, site, name)
    assert isinstance(found, SlotLost)
    assert found.kind is FailureKind.CRASH
    assert "flooded the browser" in found.detail


async def test_a_page_that_says_much_is_read_as_any_other(pages: Browsing, site: str) -> None:
    """What it says to its console beyond a thousand lines is dropped, and nothing else changes for it."""
    slot = await pages.slot("01")
    page = await visit(slot, f"{site}/console")
    assert page.text == "Content."
