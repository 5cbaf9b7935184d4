"""Full-page screenshots, PDFs, and glances at what a page shows meanwhile.

If frames are made on demand, frames are requested until the browser has taken its screenshot. Invariants: an
engine makes one frame at a time, also during a screenshot, and no frame is cancelled; if a picture is not ready in
time, the picture and the tab are lost, not the page.
"""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Error

from farm.browser.reading import Reading
from farm.browser.tab import Tab
from farm.model.errors import SlotLost
from farm.model.page import Capture

PIXELS = 40_000_000
"""The largest screenshot in pixels: about 31,000 high at a width of 1280."""
PDF_BYTES = 64 * 2**20
BETWEEN_FRAMES_S = 0.005
CALL_S = 5.0
FRAME_S = 10.0
"""A frame of the full page may cost a hundred times that of the viewport."""
GLANCE_S = 2.5
GLANCE_BYTES = 2**20
GLANCE_QUALITY = 40


@dataclass(frozen=True, slots=True)
class PictureParams:
    """Which pictures to take."""

    screenshot: bool = False
    pdf: bool = False

    def __bool__(self) -> bool:
        return self.screenshot or self.pdf


async def pictures(reading: Reading, params: PictureParams) -> tuple[list[Capture], list[str]]:
    """Return the pictures, and the names of those that are missing or truncated."""
    taken: list[Capture] = []
    short: list[str] = []
    wanted = [("screenshot", _screenshot)] if params.screenshot else []
    wanted += [("pdf", _pdf)] if params.pdf else []
    for name, take in wanted:
        try:
            capture, is_whole = await take(reading)
        except (Error, SlotLost) as error:
            if isinstance(error, SlotLost):
                # The late response would arrive during the next visit.
                reading.tab.mark_doomed(f"no {name}: {error.detail}")
            short.append(name)
            continue
        if capture is not None:
            taken.append(capture)
        if not is_whole:
            short.append(name)
    return taken, short


async def _screenshot(reading: Reading) -> tuple[Capture | None, bool]:
    tab = reading.tab
    await reading.act("backToTop()", CALL_S)
    metrics = await tab.send("Page.getLayoutMetrics", min(CALL_S, reading.left_s))
    content, window = metrics["cssContentSize"], metrics["cssLayoutViewport"]
    width = max(1, min(int(content["width"]), 2 * int(window["clientWidth"])))
    height = max(1, int(content["height"]), int(window["clientHeight"]))
    most = PIXELS // width
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, most), "scale": 1}
    png = b64decode((await take(tab, clip, reading.left_s, format="png"))["data"])
    return Capture("screenshot", "png", png), height <= most


async def glance(tab: Tab) -> bytes | None:
    """Return what the window shows at this moment, as JPEG of low quality; its visit goes on as before.

    None if it would be too large. Raises playwright's Error, SlotLost where nothing answers in time.
    """
    # Without a part to be cut out: for that the page would be laid out otherwise meanwhile.
    shot = await _taken(tab, GLANCE_S, {"format": "jpeg", "quality": GLANCE_QUALITY})
    picture = b64decode(shot["data"])
    return picture if len(picture) <= GLANCE_BYTES else None


async def take(tab: Tab, clip: dict[str, int], deadline_s: float, **form: Any) -> dict[str, Any]:
    """Return CDP's answer with a picture of a part of the page, in the format `form`.

    Raises playwright's Error, SlotLost with the tab.
    """
    return await _taken(tab, deadline_s, {"captureBeyondViewport": True, "clip": clip, **form})


async def _taken(tab: Tab, deadline_s: float, params: Mapping[str, Any]) -> dict[str, Any]:
    taking = asyncio.ensure_future(_take(tab, deadline_s, params))
    taking.add_done_callback(lambda taken: taken.cancelled() or taken.exception())
    # Not cancelled with the caller: a frame under way must be completed.
    return await asyncio.shield(taking)


async def _take(tab: Tab, deadline_s: float, params: Mapping[str, Any]) -> dict[str, Any]:
    call = tab.send("Page.captureScreenshot", deadline_s, **params)
    if not tab.engine.frames_on_demand:
        return await call
    async with tab.engine.frames:
        shot = asyncio.ensure_future(call)
        shot.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        while not shot.done():
            with contextlib.suppress(Error):
                await tab.send("HeadlessExperimental.beginFrame", min(FRAME_S, deadline_s))
            await asyncio.wait({shot}, timeout=BETWEEN_FRAMES_S)
        return shot.result()


async def _pdf(reading: Reading) -> tuple[Capture | None, bool]:
    tab = reading.tab
    printed = await tab.send(
        "Page.printToPDF",
        reading.left_s,
        printBackground=True,
        preferCSSPageSize=True,
        transferMode="ReturnAsStream",
    )
    content = await tab.read_stream(printed["stream"], PDF_BYTES, reading.left_s)
    return (Capture("pdf", "pdf", content), True) if content is not None else (None, False)
