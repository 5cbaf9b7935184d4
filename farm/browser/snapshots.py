"""Snapshots of pages whose URLs are given up: a picture of the window and the DOM, without the user's secrets.

Secrets are masked on the page itself, before the picture is taken, and once more in the HTML. A page that is hung,
or is not the one of the visit, has no snapshot; nor has the browser's own error page, which the headless shell
leaves blank.
"""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import orjson
from playwright.async_api import Error

from farm.browser.driver import script
from farm.browser.pictures import take
from farm.browser.tab import Tab
from farm.model.page import PageSnapshot
from farm.model.secret import without_secrets

SNAPSHOT_S = 5.0
CALL_S = 2.0
HTML_CHARS = 1_000_000
PICTURE_BYTES = 2**20
QUALITY = 70
WORLD = "farm-snapshot"
SNAPSHOT = script("snapshot.js")


async def snapshot(tab: Tab, secrets: Sequence[str]) -> PageSnapshot | None:
    """Return a snapshot of the tab after a failed visit; None if it does not show the visit's page.

    Takes no longer than `SNAPSHOT_S`. Raises playwright's Error, SlotLost with the tab, TimeoutError.
    """
    async with asyncio.timeout(SNAPSHOT_S):
        frame = (await tab.send("Page.getFrameTree", CALL_S))["frameTree"]["frame"]
        if "unreachableUrl" in frame or not tab.events.journey.has(str(frame.get("loaderId", ""))):
            return None
        # First, since it masks what the picture is not to show.
        html = await _html(tab, secrets)
        return PageSnapshot(await _picture(tab), html)


async def _html(tab: Tab, secrets: Sequence[str]) -> str | None:
    made = await tab.send("Page.createIsolatedWorld", CALL_S, frameId=tab.frame_id, worldName=WORLD)
    given = orjson.dumps([secret for secret in secrets if secret]).decode()
    answer = await tab.send(
        "Runtime.evaluate",
        CALL_S,
        # As a function's body: what a later snapshot of this document declares would be declared twice.
        expression=f"(() => {{ {SNAPSHOT}\nreturn snapshot({given}, {HTML_CHARS}); }})()",
        contextId=made["executionContextId"],
        returnByValue=True,
    )
    found = answer.get("result", {}).get("value")
    return without_secrets(found, secrets) if isinstance(found, str) and found else None


async def _picture(tab: Tab) -> bytes | None:
    metrics: dict[str, Any] = await tab.send("Page.getLayoutMetrics", CALL_S)
    window = metrics["cssLayoutViewport"]
    clip = {
        "x": int(window["pageX"]),
        "y": int(window["pageY"]),
        "width": max(1, int(window["clientWidth"])),
        "height": max(1, int(window["clientHeight"])),
        "scale": 1,
    }
    with contextlib.suppress(Error):
        shot = await take(tab, clip, CALL_S, format="jpeg", quality=QUALITY)
        picture = b64decode(shot["data"])
        return picture if len(picture) <= PICTURE_BYTES else None
    return None
