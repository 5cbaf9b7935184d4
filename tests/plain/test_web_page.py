"""The view for a browser, in a browser: wide and on a phone, with hostile texts, without and with the token."""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from farm.model.clock import SystemClock
from farm.model.crawl import NodeSeen
from farm.model.event import Fate, NodesRead, Notice, Phase, ProcessorRead, SlotPhase, VisitFailed
from farm.monitor.metrics_server import MetricsServer
from farm.monitor.snapshot import Snapshot
from tests.monitor.simulated import simulated

TOKEN = "a-token-of-some-length"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
"""What would move, turn or hide text; the page's own lines and cells end in newlines and tabs."""
EVIL = "<img src=x onerror=alert(1)>\u202e\x1b[2J</script><script>alert(2)</script>"
HOSTILE_SLOT = "<b>\u202e\x1b[31m\u2066n</b>/01"


class Served:
    """A simulated farm behind a real server, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        tally = simulated(12, 60, sites=3)
        tally.fold(SlotPhase(159.0, "c3", Phase.NAVIGATING, f"https://shop1.example/{EVIL}"))
        tally.fold(VisitFailed(159.0, "c3", f"https://shop1.example/{EVIL}", "timeout", EVIL, Fate.DEAD))
        tally.fold(Notice(159.0, "warning", EVIL))
        tally.fold(ProcessorRead(159.0, 0.5))
        # A node may be called anything that is no space.
        tally.fold(SlotPhase(159.0, HOSTILE_SLOT, Phase.SETTLING, f"https://shop1.example/{EVIL}"))
        tally.fold(NodesRead(159.0, (NodeSeen(HOSTILE_SLOT, "running", 2, 0.0),)))
        self._snapshot = tally.snapshot(160.0)
        self.asked: list[str] = []
        self.paused = threading.Event()
        self.server = MetricsServer(
            self.snapshot,
            SystemClock(),
            "1.2.3",
            "127.0.0.1",
            0,
            "shops",
            TOKEN,
            self.set_state,
            letters=self.letters,
            folder=folder,
        )

    def snapshot(self, _: float) -> Snapshot:
        """Return how the farm stands."""
        state = "paused" if self.paused.is_set() else "running"
        return replace(self._snapshot, stats=replace(self._snapshot.stats, state=state))

    async def letters(self, which: Mapping[str, str], start: int, size: int) -> Mapping[str, Any]:
        """Return three pages of letters, of one reason one."""
        total = 3 if which else 2 * size + 3
        return {
            "letters": [_letter(number) for number in range(start, min(total, start + size))],
            "total": total,
        }

    async def set_state(self, state: str) -> None:
        """Pause it, or let it go on."""
        self.asked.append(state)
        (self.paused.set if state == "paused" else self.paused.clear)()


def _letter(number: int) -> dict[str, Any]:
    """Return a letter with hostile texts."""
    return {
        "id": f"{number:016x}" if number else f"{EVIL}\n",
        "reason": "network",
        "at": "2026-03-01T12:00:00.123Z",
        "detail": EVIL,
        "attempts": 4,
        "task": {"url": f"https://shop1.example/{number}/{EVIL}"},
    }


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Serve the page until the test ends."""
    farm = Served(tmp_path)
    with farm.server:
        yield farm


def no_overflow(page: Page) -> bool:
    """Whether nothing sticks out of the page to the right."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_dead_are_shown_with_their_pictures(
    page: Page, served: Served, tmp_path: Path, width: int, height: int
) -> None:
    """With the token alone, some at a time; a picture that is gone leaves nothing behind."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.set_viewport_size({"width": width, "height": height})
    (tmp_path / "snapshots").mkdir()
    page.screenshot(type="jpeg", path=tmp_path / "snapshots" / f"{1:016x}.jpg")
    (tmp_path / "snapshots" / f"{2:016x}.jpg").write_bytes(b"no picture at all")
    page.goto(served.server.page_url)
    expect(page.locator("#numbers")).to_contain_text("of 13 at work")
    assert page.locator("#dead-letters").is_hidden()
    page.fill("#token", TOKEN)
    page.click("#token-form button")
    expect(page.locator("#letters-said")).to_have_text("1 to 50 of 103")
    letters = page.locator("#letters li")
    expect(letters.first).to_contain_text("network, 4 tries, 2026-03-01T12:00:00.123Z")
    expect(letters.first).to_contain_text("<img src=x onerror=alert(1)>")
    # The id of one that cannot be read is whatever stands in Redis.
    shown = "<img src=x onerror=alert(1)>  [2J</script><script>alert(2)</script>"
    expect(letters.first.locator("p").last).to_have_text(shown)
    assert not CONTROLS.search(page.inner_text("#dead-letters"))
    letters.nth(2).scroll_into_view_if_needed()
    expect(page.locator("#letters img")).to_have_count(1)
    expect(page.locator("#letters img")).to_have_js_property("complete", True)
    assert page.locator("#letters img").evaluate("image => image.naturalWidth") == width
    assert letters.nth(1).locator("a").get_attribute("href") == f"/snapshots/{1:016x}.jpg"
    assert no_overflow(page)
    page.click("#letters-after")
    expect(page.locator("#letters-said")).to_have_text("51 to 100 of 103")
    page.select_option("#letters-reason", "network")
    expect(page.locator("#letters-said")).to_have_text("1 to 3 of 3")
    expect(page.locator("#letters-after")).to_be_disabled()
    expect(page.locator("#letters-before")).to_be_disabled()
    assert said == []
    page.close()


def test_what_a_context_shows_is_shown_while_it_is_chosen(page: Page, served: Served) -> None:
    """Again and again; one that shows nothing is said to."""
    picture = page.screenshot(type="jpeg")
    asked: list[str] = []

    async def glance(name: str) -> bytes | None:
        asked.append(name)
        return picture if name == "c1" else None

    served.server.page.glance = glance
    page.goto(served.server.page_url)
    page.fill("#token", TOKEN)
    page.click("#token-form button")
    assert page.locator("#glance").is_hidden()
    page.locator("#contexts button", has_text="c1").first.click()
    expect(page.locator("#glance img")).to_have_js_property("complete", True)
    expect(page.locator("#glance-said")).to_have_text("What context c1 shows")
    before = page.locator("#glance img").get_attribute("src") or ""
    expect(page.locator("#glance img")).not_to_have_attribute("src", before, timeout=30_000)
    assert asked.count("c1") > 1
    hostile = page.locator("#contexts button", has_text="n</b>/01")
    hostile.click()
    expect(page.locator("#glance-said")).to_have_text(
        "Context <b>  [31m n</b>/01 shows no page at the moment"
    )
    assert page.locator("#glance b").count() == 0
    assert not CONTROLS.search(page.inner_text("body"))
    page.get_by_role("button", name="c2", exact=True).press("Enter")
    expect(page.locator("#glance-said")).to_have_text("Context c2 shows no page at the moment")
    expect(page.locator("#glance img")).to_have_count(0)
    assert no_overflow(page)
    page.get_by_role("button", name="c2", exact=True).click()
    expect(page.locator("#glance")).to_be_hidden()
    page.close()


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
    expect(page.locator("#numbers")).to_contain_text("of 13 at work")
    expect(page.locator("#ledger")).to_contain_text("dead")
    for curve in ("rate", "memory", "received", "processor"):
        expect(page.locator(f"#{curve} polyline")).to_have_count(1)
    expect(page.locator("#received")).to_contain_text("/s now")
    expect(page.locator("#processor")).to_contain_text("50 % busy")
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
    assert not CONTROLS.search(page.inner_text("body"))
    assert page.locator("#nodes b, #contexts b").count() == 0
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
