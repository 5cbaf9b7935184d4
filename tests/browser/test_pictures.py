"""Pictures of pages: whole, true at every height, and never at the cost of the page."""

import asyncio
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser import pictures
from farm.browser.chromium import find_browser
from farm.browser.pictures import PictureParams
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.model.page import RenderedPage
from fixtures.pages import served_by
from tests.browser import conftest
from tests.browser.conftest import Browsing, browsing, pool_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROW_PX = 100
PARAMS = RenderParams(
    page_timeout_s=40.0, settle_timeout_s=5.0, pictures=PictureParams(screenshot=True, pdf=True)
)
# Reads the colour in the middle of every row of a picture with the browser's own decoder.
LOOK = """async (png) => {
  const image = new Image(); image.src = 'data:image/png;base64,' + png; await image.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const found = [];
  for (let at = 50; at < image.height; at += 100) {
    pen.drawImage(image, 600, at, 1, 1, 0, 0, 1, 1);
    found.push(pen.getImageData(0, 0, 1, 1).data[0]);
  }
  return found;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve pages of any height, a row of its own shade every hundred pixels."""

    async def answer(request: web.Request) -> web.Response:
        rows = "".join(
            f'<div style="height: {ROW_PX}px; background: rgb({shade(number)}, 90, 90)">Row {number}</div>'
            for number in range(int(request.match_info["name"]))
        )
        html = f'<!doctype html><link rel="icon" href="data:,"><body style="margin: 0">{rows}'
        return web.Response(text=html, content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


camera = pool_of_a_module(PARAMS, tab=TabParams())


def shade(number: int) -> int:
    """Return a red that differs from the neighbours'."""
    return number * 37 % 256


def content(page: RenderedPage, kind: str) -> bytes:
    """Return the one picture of the kind."""
    [found] = [one.content for one in page.captures if one.kind == kind]
    return found


def size(png: bytes) -> tuple[int, int]:
    """Return width and height, from the picture's head."""
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("rows", [3, 25, 300])
async def test_a_screenshot_has_all_of_the_page(camera: Browsing, site: str, rows: int) -> None:
    """Shorter than the window, longer, and thirty thousand pixels high: every row in its colour."""
    slot = await camera.slot(f"rows {rows}")
    page = await visit(slot, f"{site}/{rows}")
    png = content(page, "screenshot")
    assert size(png) == (1280, max(800, rows * ROW_PX))
    assert page.truncated == ()
    assert slot.tab is not None
    shades = await slot.tab.page.evaluate(LOOK, b64encode(png).decode())
    assert shades[:rows] == [shade(number) for number in range(rows)]
    assert content(page, "pdf").startswith(b"%PDF-")
    assert f"Row {rows - 1}" in page.text
    slot.retire()


async def test_a_page_that_is_too_high_is_cut_and_says_so(
    camera: Browsing, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture has an end, a page need not."""
    monkeypatch.setattr(pictures, "PIXELS", 1280 * 2000)
    slot = await camera.slot("high")
    page = await visit(slot, f"{site}/40")
    assert size(content(page, "screenshot")) == (1280, 2000)
    assert page.truncated == ("screenshot",)
    slot.retire()


async def test_pictures_are_taken_on_many_tabs_of_one_engine(camera: Browsing, site: str) -> None:
    """Their frames take turns, and nobody gets another's pictures."""
    slots = [await camera.slot(f"many {number}") for number in range(6)]
    for _ in range(2):
        pages = await asyncio.gather(
            *(visit(slot, f"{site}/{10 + number}") for number, slot in enumerate(slots))
        )
        heights = [size(content(page, "screenshot"))[1] for page in pages]
        assert heights == [ROW_PX * (10 + number) for number in range(6)]
    for slot in slots:
        slot.retire()


async def test_a_picture_that_does_not_come_costs_the_tab_and_not_the_page(
    camera: Browsing, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is recorded without it, and the next one has a tab that owes nothing."""
    slot = await camera.slot("late")
    whole = await visit(slot, f"{site}/8")
    used = slot.tab
    assert used is not None
    send = used.send

    async def never(method: str, deadline_s: float, **params: object) -> object:
        if method == "Page.captureScreenshot":
            # What a browser that is too busy does, as far as the farm can tell.
            return await used.guard(asyncio.Event().wait(), 0.2, method)
        return await send(method, deadline_s, **params)

    monkeypatch.setattr(used, "send", never)
    page = await visit(slot, f"{site}/9")
    assert "Row 8" in page.text
    assert page.truncated == ("screenshot", "pdf")
    assert page.captures == ()
    again = await visit(slot, f"{site}/10")
    assert slot.tab is not used
    assert again.truncated == ()
    assert size(content(whole, "screenshot")) == (1280, 800)
    slot.retire()


async def test_a_browser_that_makes_frames_by_itself_takes_the_same_picture(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full Chromium has no frames on demand: here the shell is started as it is."""
    shell = find_browser()
    monkeypatch.setattr(conftest, "find_browser", lambda: replace(shell, headless_shell=False))
    async with browsing(tmp_path / "engines", PARAMS, tab=TabParams()) as opened:
        slot = await opened.slot()
        page = await visit(slot, f"{site}/12")
        assert slot.tab is not None
        assert not slot.tab.engine.frames_on_demand
        assert size(content(page, "screenshot")) == (1280, 1200)
        assert page.truncated == ()
