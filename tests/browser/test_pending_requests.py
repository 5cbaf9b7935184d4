"""Which requests of a page are pending, by the events of its tab."""

import asyncio
from typing import Any

from farm.browser.events import ARRIVING_S, PageEvents


def opened() -> tuple[PageEvents, Any]:
    """Return the events of a tab, and what tells one of them."""
    events = PageEvents()
    listeners = events.listeners("frame")

    def tell(name: str, request: str) -> None:
        listeners[f"Network.{name}"]({"requestId": request, "type": "Script", "loaderId": "loader"})

    return events, tell


async def test_a_script_that_has_just_come_is_pending_until_it_may_have_run() -> None:
    """An answer from before its end may be looked at after it; it would say that nothing was on its way."""
    events, tell = opened()
    tell("requestWillBeSent", "1")
    for name in ("loadingFinished", "loadingFinished"):
        tell(name, "1")
        assert events.loading == {"1"}
    begun = asyncio.get_running_loop().time()
    async with asyncio.timeout(20):
        await events.loaded()
    # The clock of timers may be early by its resolution.
    assert asyncio.get_running_loop().time() - begun >= 0.9 * ARRIVING_S
    assert not events.loading


async def test_what_was_pending_is_nothing_to_the_next_visit() -> None:
    """Its late end ends nothing that is loaded now, and nothing waits for it."""
    events, tell = opened()
    tell("requestWillBeSent", "1")
    tell("loadingFinished", "1")
    events.forget()
    tell("requestWillBeSent", "2")
    tell("loadingFinished", "3")
    await asyncio.sleep(0)
    assert events.loading == {"2"}
    tell("loadingFinished", "2")
    async with asyncio.timeout(20):
        await events.loaded()
