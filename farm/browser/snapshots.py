"""Snapshots of pages whose URLs are given up: a picture of the window and the DOM, without the user's secrets.

Secrets are masked on the page itself and in all its frames before the picture is taken, and once more in the HTML;
of a page that could not be masked as a whole there is no picture. Where the site has a session, the page's cookies
are secrets too, as they are by then. A page that is hung, or is not the one of the visit, has no snapshot;
nor has the browser's own error page, which the headless shell leaves blank.
"""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
from playwright.async_api import Error

from farm.browser.driver import script
from farm.browser.page_frames import Send, frames_below
from farm.browser.pictures import take
from farm.browser.site_params import State, longest_first, secret_values
from farm.browser.tab import Tab
from farm.model.errors import SlotLost
from farm.model.page import PageSnapshot
from farm.model.secret import forms_of, without_secrets

SNAPSHOT_S = 5.0
CALL_S = 2.0
HTML_CHARS = 1_000_000
MOST_MASKED = 200_000
"""Nodes of a page in which secrets are looked for."""
MOST_FRAMES = 50
PICTURE_BYTES = 2**20
QUALITY = 70
WORLD = "farm-snapshot"
SNAPSHOT = script("native.js", "snapshot.js")


async def snapshot(tab: Tab, secrets: Sequence[str], session: State | None = None) -> PageSnapshot | None:
    """Return a snapshot of the tab after a failed visit; None if it does not show the visit's page.

    `session` is the state with which the site's contexts begin.

    Takes no longer than `SNAPSHOT_S`. Raises playwright's Error, SlotLost with the tab, TimeoutError.
    """
    async with asyncio.timeout(SNAPSHOT_S):
        frame = (await tab.send("Page.getFrameTree", CALL_S))["frameTree"]["frame"]
        if "unreachableUrl" in frame or not tab.events.main_documents.has(str(frame.get("loaderId", ""))):
            return None
        if session is not None:
            cookies = (await tab.send("Network.getCookies", CALL_S))["cookies"]
            held = {**session, "cookies": [*session.get("cookies", ()), *cookies]}
            secrets = longest_first({*secrets, *secret_values(held)})
        # First, since it masks what the picture is not to show.
        html, is_masked = await _masked(tab.send, tab.frame_id, secrets)
        if is_masked and any(secrets):
            is_masked = await _are_frames_masked(tab, secrets)
        return PageSnapshot(await _picture(tab) if is_masked else None, html)


async def _are_frames_masked(tab: Tab, secrets: Sequence[str]) -> bool:
    """Mask the secrets in the page's frames; return whether none of them shows any more, as far as is known.

    Raises SlotLost with the tab.
    """

    async def is_masked(send: Send, frame_id: str) -> bool:
        try:
            return (await _masked(send, frame_id, secrets))[1]
        except Error:
            # It went, or another document comes.
            return False
        except SlotLost:
            if tab.lost:
                raise
            return False

    async with AsyncExitStack() as opened:
        frames, is_all = await frames_below(tab, MOST_FRAMES, opened)
        return is_all and all(await asyncio.gather(*(is_masked(*frame) for frame in frames)))


async def _masked(send: Send, frame_id: str, secrets: Sequence[str]) -> tuple[str | None, bool]:
    """Mask the secrets in a frame; return its DOM without them, and whether it shows none of them any more."""
    made = await send("Page.createIsolatedWorld", CALL_S, frameId=frame_id, worldName=WORLD)
    given = sorted({form for secret in secrets for form in forms_of(secret)}, key=len, reverse=True)
    arguments = f"{orjson.dumps(given).decode()}, {HTML_CHARS}, {MOST_MASKED}"
    answer = await send(
        "Runtime.evaluate",
        CALL_S,
        # As a function's body: what a later snapshot of this document declares would be declared twice.
        expression=f"(() => {{ {SNAPSHOT}\nreturn snapshot({arguments}); }})()",
        contextId=made["executionContextId"],
        returnByValue=True,
    )
    found = answer.get("result", {}).get("value")
    if not isinstance(found, dict):
        # The script failed: by what the page has made of its document, perhaps.
        return None, not given
    html = found.get("html")
    shown = without_secrets(html, secrets) if isinstance(html, str) and html else None
    return shown, found.get("masked") is True or not given


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
