"""The view for a browser, in a browser: wide and on a phone, with hostile texts, without and with the token."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from farm.model.clock import SystemClock
from farm.model.event import Fate, Notice, Phase, SlotPhase, VisitFailed
from farm.monitor.metrics_server import MetricsServer
from farm.monitor.snapshot import Snapshot
from tests.monitor.simulated import simulated

TOKEN = "a-token-of-some-length"
EVIL = "<img src=x onerror=alert(1)>\u202e\x1b[2J</script><script>alert(2)</script>"


class Served:
    """A simulated farm behind a real server, and what was asked of it."""

    def __init__(self) -> None:
        tally = simulated(12, 60, sites=3)
        tally.fold(SlotPhase(159.0, "c3", Phase.NAVIGATING, f"https://shop1.example/{EVIL}"))
        tally.fold(VisitFailed(159.0, "c3", f"https://shop1.example/{EVIL}", "timeout", EVIL, Fate.DEAD))
        tally.fold(Notice(159.0, "warning", EVIL))
        self._snapshot = tally.snapshot(160.0)
        self.asked: list[str] = []
        self.paused = threading.Event()
        self.server = MetricsServer(
            self.snapshot, SystemClock(), "1.2.3", "127.0.0.1", 0, "shops", TOKEN, self.set_state
        )

    def snapshot(self, _: float) -> Snapshot:
        """Return how the farm stands."""
        state = "paused" if self.paused.is_set() else "running"
        return replace(self._snapshot, stats=replace(self._snapshot.stats, state=state))

    async def set_state(self, state: str) -> None:
        """Pause it, or let it go on."""
        self.asked.append(state)
        (self.paused.set if state == "paused" else self.paused.clear)()


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve the page until the test ends."""
    farm = Served()
    with farm.server:
        yield farm


def no_overflow(page: Page) -> bool:
    """Whether nothing sticks out of the page to the right."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_shows_a_farm_and_steers_it(page: Page, served: Served, width: int, height: int) -> None:
    """Numbers at once; names, URLs and the button with the token alone. Texts are texts, whatever is in them."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": height})
    page.goto(served.server.page_url)
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#numbers")).to_contain_text("of 12 at work")
    expect(page.locator("#ledger")).to_contain_text("dead")
    expect(page.locator("#rate polyline")).to_have_count(1)
    assert "example" not in page.content()
    assert page.locator("#sites").is_hidden()
    assert page.locator("#control").is_hidden()
    assert no_overflow(page)

    page.fill("#token", "not the token of this farm")
    page.click("#token-form button")
    expect(page.locator("#token-said")).to_have_text("That is not the token.")
    page.fill("#token", TOKEN)
    page.click("#token-form button")
    expect(page.locator("#sites")).to_contain_text("shop1.example")
    expect(page.locator("#proxies")).to_contain_text("banned")
    expect(page.locator("#contexts")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(page.locator("#events")).to_contain_text("<script>alert(2)</script>")
    expect(page.locator("h1")).to_have_text("farm shops")
    assert page.locator("img").count() == 0
    assert "\u202e" not in page.inner_text("body")
    assert page.locator("#login").is_hidden()
    assert no_overflow(page)

    page.click("text=Pause")
    expect(page.locator("#state")).to_have_text("paused")
    page.click("text=Resume")
    expect(page.locator("#state")).to_have_text("running")
    assert served.asked == ["paused", "running"]
    assert all(url.startswith((served.server.page_url, "data:")) for url in asked)
    assert [text for text in said if "403" not in text] == []
    page.close()
