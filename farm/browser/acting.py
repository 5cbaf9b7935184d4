"""Actions on a page before it is read: clicks, and scrolling until nothing new is loaded.

Both happen on a settled page, and the page settles again after each. A missing element is neither clicked nor
waited for: settling has already waited for everything that the page announced. If a click navigates, the new
document is used; nothing here outlasts `ends`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from playwright.async_api import Error

from farm.browser.reading import Reading
from farm.browser.tab import Tab
from farm.model.errors import SlotLost

CALL_S = 5.0
STEPS = 100
"""How many windows one scroll to the end covers; the rest of a longer page is skipped, and reported as cut."""
AT_END_PX = 2
LIVE_FRAME_S = 1 / 30
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class ActParams:
    """`clicks` are CSS selectors, in order; each is clicked up to `click_times`, as long as that loads something.

    `scrolls` is how often the page is scrolled to its end, at the most.
    """

    clicks: tuple[str, ...] = ()
    click_times: int = 1
    scrolls: int = 0

    def __bool__(self) -> bool:
        return bool(self.clicks) or self.scrolls > 0


@dataclass(slots=True)
class Acted:
    """The actions: clicks by selector, and scrolls; `cut_short` by the page's deadline or its length."""

    clicked: dict[str, int] = field(default_factory=dict)
    scrolled: int = 0
    cut_short: bool = False


async def act(reading: Reading, params: ActParams, ends: float) -> Acted:
    """Click, then scroll; the page has settled before, and settles after each."""
    loop = asyncio.get_running_loop()
    acted = Acted(clicked=dict.fromkeys(params.clicks, 0))
    for selector in params.clicks:
        for _ in range(params.click_times):
            if loop.time() >= ends:
                acted.cut_short = True
                return acted
            before = await _extent(reading)
            pressed = await reading.act(f"press({orjson.dumps(selector).decode()})", CALL_S)
            if pressed is False:
                break
            acted.clicked[selector] += 1
            await reading.settled()
            if not _grown(before, await _extent(reading)):
                break
    for _ in range(params.scrolls):
        if loop.time() >= ends:
            acted.cut_short = True
            break
        before = await _extent(reading)
        acted.cut_short |= await _scroll_down(reading, before, ends)
        acted.scrolled += 1
        await reading.settled()
        if not _grown(before, await _extent(reading)):
            break
    return acted


async def _extent(reading: Reading) -> dict[str, float]:
    said = await reading.act("extent()", CALL_S)
    given = said if isinstance(said, dict) else {}
    return {name: _number(given.get(name)) or 0 for name in ("elements", "height")}


def _number(said: Any) -> float | None:
    """Return a number; None for anything else, which the page's own process may say."""
    return said if isinstance(said, int | float) else None


def _grown(before: dict[str, float], after: dict[str, float]) -> bool:
    return after["elements"] > before["elements"] or after["height"] > before["height"]


async def _scroll_down(reading: Reading, extent: dict[str, float], ends: float) -> bool:
    """Go down to what was the end when it began, a window at a time; return whether the rest was jumped over.

    A frame is made after each window, so that observers see its content.
    """
    loop = asyncio.get_running_loop()
    steps, is_jump = 0, False
    to_go: float | None = None
    while not is_jump and (steps == 0 or (to_go is not None and to_go > AT_END_PX)):
        is_jump = steps == STEPS or loop.time() >= ends
        await reading.passing(CALL_S)
        said = await reading.act(f"step({extent['height']}, {'true' if is_jump else 'false'})", CALL_S)
        to_go = _number(said)
        await reading.frame()
        steps += 1
    return is_jump


async def attend(tab: Tab, on_lost: Callable[[], None]) -> None:
    """Make frames for the user's code on the page, until cancelled; call `on_lost` when the page is gone.

    Playwright's own actions wait for frames, and an engine with frames on demand makes none by itself. A call that
    waits for the answer of a lost page may never return.
    """
    while not tab.lost:
        if tab.engine.frames_on_demand:
            with contextlib.suppress(Error, SlotLost):
                await tab.frame()
        await asyncio.sleep(LIVE_FRAME_S if tab.engine.frames_on_demand else LOOK_S)
    on_lost()
