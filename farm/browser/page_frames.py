"""The frames of a page, each with the CDP session by which it is reached.

A frame of another site has a process of its own, and so a session of its own, in which the frames below it of its
process are as well. Each look opens these sessions anew, and the caller closes them.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from playwright.async_api import Error, Frame

from farm.browser.engine import CLOSE_S
from farm.browser.tab import Tab
from farm.model.errors import SlotLost

CALL_S = 3.0
Send = Callable[..., Awaitable[dict[str, Any]]]
"""Calls CDP: its arguments are those of `Tab.send`."""


async def frames_below(tab: Tab, most: int, opened: AsyncExitStack) -> tuple[list[tuple[Send, str]], bool]:
    """Return session and id of the frames below the page's own, and whether that is all of them, `most` at most.

    Sessions are closed with `opened`. Raises SlotLost if the tab is lost, or does not answer.
    """
    try:
        tree = (await tab.send("Page.getFrameTree", CALL_S))["frameTree"]
    except Error:
        return [], False
    found: list[tuple[Send, str]] = [(tab.send, str(one["id"])) for one in below(tree)]
    known = Counter(str(one["url"]) for one in below(tree))
    for frame in tab.page.frames[1:]:
        url = frame.url.partition("#")[0]
        if known[url] > 0:
            known[url] -= 1
        elif len(found) < most and (own := await own_session(tab, frame, opened)) is not None:
            send, tree = own
            found += [(send, str(one["id"])) for one in (tree["frame"], *below(tree))]
            known.update(str(one["url"]) for one in below(tree))
    return found[:most], len(tab.page.frames) <= len(found) + 1 <= most + 1


async def own_session(
    tab: Tab, frame: Frame, opened: AsyncExitStack
) -> tuple[Send, Mapping[str, Any]] | None:
    """Return the session of a frame that has a process of its own, and its tree of frames; None if it has none."""
    try:
        session = await tab.guard(tab.page.context.new_cdp_session(frame), CALL_S, "a frame")
    except Error:
        return None

    async def send(method: str, deadline_s: float, **params: Any) -> dict[str, Any]:
        result: dict[str, Any] = await tab.guard(session.send(method, params), deadline_s, method)
        return result

    async def detach() -> None:
        with suppress(Error, SlotLost):
            await tab.guard(session.detach(), CLOSE_S, "a frame")

    opened.push_async_callback(detach)
    try:
        return send, (await send("Page.getFrameTree", CALL_S))["frameTree"]
    except Error:
        return None


def below(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the frames below one, the outer ones first; a page may nest hundreds."""
    waiting = deque(tree.get("childFrames", ()))
    while waiting:
        child = waiting.popleft()
        yield child["frame"]
        waiting.extend(child.get("childFrames", ()))
