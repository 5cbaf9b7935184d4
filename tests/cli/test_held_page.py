"""A page that is held open for a prompt, or for the steps of a login: it is let go, and the steps have an end."""

import asyncio
from collections.abc import Iterator
from threading import Thread
from typing import Any, cast

import pytest

from farm.api import Page
from farm.browser.login import LoginFlow
from farm.cli.login import _by_steps
from farm.cli.shell import HeldPage
from farm.model.errors import LoginFailed
from farm.model.handling import PageHandled, VisitedPage
from farm.model.task import Lease, UrlTask

URL = "https://a.example/"


async def _no_browser() -> None:
    raise AssertionError


VISITED = VisitedPage(Lease(UrlTask(URL, "a.example", ""), "01", 1), None, None, _no_browser)


async def test_a_page_that_comes_after_the_end_is_not_held() -> None:
    """Ctrl-C came while it was rendered: nobody would let it go."""
    held = HeldPage()
    held.end()
    async with asyncio.timeout(30):
        assert await held.handle(VISITED) == PageHandled()


async def test_a_page_is_held_until_the_end() -> None:
    """Which may come from another thread."""
    held = HeldPage()
    held.loop = asyncio.get_running_loop()
    holding = asyncio.create_task(held.handle(VISITED))
    async with asyncio.timeout(30):
        await asyncio.wrap_future(held.shown)
    assert not holding.done()
    await asyncio.to_thread(held.end)
    async with asyncio.timeout(30):
        assert await holding == PageHandled()


class Endless:
    """A page in the browser, and a login on it that never ends."""

    async def live(self) -> None:
        """Return no page: none is looked at."""

    async def run(self, _page: Any) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread of its own, as that of a held page."""
    running = asyncio.new_event_loop()
    thread = Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


def test_steps_that_never_end_meet_their_deadline(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a login of a crawl does."""
    monkeypatch.setattr("farm.cli.login.LOGIN_S", 0.1)
    held = HeldPage()
    held.loop = loop
    held.shown.set_result(cast("Page", Endless()))
    with pytest.raises(LoginFailed, match=r"took more than 0\.1 s"):
        _by_steps(held, cast("LoginFlow", Endless()))
