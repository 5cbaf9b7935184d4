"""A slot that chooses for each lease, and goes up to the browser where something cheaper is unfit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from farm.model.errors import RenderError, RendererUnfit, SlotLost
from farm.model.memory import Measure, MemoryReading, ReclaimAction
from farm.model.outcome import FailureKind
from farm.model.page import Answered, Detection, Finding, PageSnapshot, RenderedPage, Renderer
from farm.model.task import Lease
from farm.runtime.tiered_slot import UNUSED_VISITS, MissingBrowser, TieredPool, TieredSlot
from tests.runtime.egress_fakes import FakeRepeatedEgress
from tests.runtime.visit_fakes import lease, page

BROWSER, FETCH = Renderer.BROWSER, Renderer.FETCH
UNFIT = RendererUnfit(FailureKind.NETWORK, "no HTTP")


@dataclass
class Shown:
    """Renders the page, or raises it; notes what is asked of it."""

    by: Renderer
    shows: RenderedPage | Exception
    name: str = "01"
    calls: list[str] = field(default_factory=list)

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Answer, then show."""
        self.calls.append("render")
        if isinstance(self.shows, Exception):
            raise self.shows
        if answered is not None:
            await answered(self.shows.final_url, self.shows.status, self.shows.headers)
        return self.shows

    async def snapshot(self) -> PageSnapshot | None:
        """Show who is asked."""
        return PageSnapshot(html=self.by)

    def retire(self) -> None:
        """Note it."""
        self.calls.append("retire")

    async def live(self, on_lost: Any) -> Any:
        """Give itself."""
        self.calls.append("live")
        return self

    def end_live(self, url: str) -> SlotLost | None:
        """Note it."""
        self.calls.append("end_live")
        return None


def slot(
    shows: RenderedPage | Exception,
    *,
    has_browser: bool = True,
    only_requested: bool = False,
    detected: Mapping[Renderer, Finding] | None = None,
) -> tuple[TieredSlot, Shown, Shown, list[str]]:
    """Return a slot that fetches, its two renderers, and how often the document's pace was waited for again."""
    egress = FakeRepeatedEgress()
    browser = Shown(BROWSER, page(text="by the browser"))
    cheap = Shown(FETCH, shows)

    def detect(shown: RenderedPage) -> Detection | None:
        found = (detected or {}).get(shown.rendered_by)
        return Detection(found, "vendor", ()) if found else None

    made = TieredSlot(
        "01",
        browser if has_browser else None,
        {FETCH: cheap},
        lambda one: BROWSER if one.id == "browser" else FETCH,
        detect,
        egress,
        only_requested=only_requested,
    )
    return made, browser, cheap, egress.again


async def test_each_lease_has_the_renderer_that_is_chosen() -> None:
    """The other one is not asked, and the document is requested once."""
    tiered, browser, cheap, again = slot(page(text="fetched", rendered_by=FETCH))
    assert (await tiered.render(lease("1"))).text == "fetched"
    assert (await tiered.render(lease("browser"))).text == "by the browser"
    assert (browser.calls, cheap.calls, again) == (["render"], ["render"], [])


@pytest.mark.parametrize("unfit", [UNFIT, RendererUnfit(FailureKind.TLS, "chain", page(text="half"))])
async def test_what_is_unfit_is_visited_by_the_browser_in_the_same_lease(unfit: RendererUnfit) -> None:
    """Its document waits for the pace of its site as the first did, and its head is told."""
    tiered, browser, _, again = slot(unfit)
    heads: list[int] = []

    async def answered(url: str, status: int, headers: Mapping[str, str]) -> None:
        heads.append(status)

    shown = await tiered.render(lease("1"), answered)
    assert (shown.text, shown.rendered_by) == ("by the browser", BROWSER)
    assert (browser.calls, again, heads) == (["render"], ["again"], [200])


@pytest.mark.parametrize("finding", [Finding.BLOCK, Finding.CAPTCHA, Finding.CHALLENGE, Finding.EMPTY_SHELL])
async def test_a_page_that_a_browser_may_get_past_is_the_browsers(finding: Finding) -> None:
    """What keeps a client without scripts out may let a browser in."""
    tiered, *_ = slot(page(rendered_by=FETCH), detected={FETCH: finding})
    assert (await tiered.render(lease("1"))).rendered_by is BROWSER


async def test_a_bare_refusal_is_the_browsers_and_a_page_that_is_gone_is_not() -> None:
    """Neither is a page that only says so."""
    for status, by in ((403, BROWSER), (404, FETCH), (429, FETCH), (503, FETCH)):
        tiered, *_ = slot(page(status, rendered_by=FETCH), detected={FETCH: Finding.SOFT_404})
        assert (await tiered.render(lease("1"))).rendered_by is by


@pytest.mark.parametrize(
    "error", [RenderError(FailureKind.NETWORK, "refused"), SlotLost(FailureKind.CRASH, "gone", innocent=True)]
)
async def test_what_a_browser_would_meet_too_fails_the_visit(error: Exception) -> None:
    """It is requested once."""
    tiered, browser, _, again = slot(error)
    with pytest.raises(type(error), match=str(error)):
        await tiered.render(lease("1"))
    assert (browser.calls, again) == ([], [])


async def test_without_a_browser_what_came_is_kept_as_it_is() -> None:
    """Or the visit fails, where nothing came."""
    blocked = page(403, text="half", rendered_by=FETCH)
    tiered, *_ = slot(RendererUnfit(FailureKind.CRASH, "no HTML", blocked), has_browser=False)
    assert await tiered.render(lease("1")) is blocked
    tiered, *_ = slot(blocked, has_browser=False, detected={FETCH: Finding.BLOCK})
    assert await tiered.render(lease("1")) is blocked
    tiered, *_ = slot(UNFIT, has_browser=False)
    with pytest.raises(RenderError) as caught:
        await tiered.render(lease("1"))
    assert (caught.value.kind, caught.value.detail) == (FailureKind.NETWORK, "no HTTP")


async def test_a_live_page_is_the_browsers() -> None:
    """One that was fetched is visited by it for that, once."""
    tiered, browser, _, again = slot(page(rendered_by=FETCH))
    await tiered.render(lease("1"))
    assert await tiered.live(lambda: None) is browser
    assert await tiered.live(lambda: None) is browser
    assert tiered.end_live("http://a.example/1") is None
    assert (browser.calls, again) == (["render", "live", "live", "end_live"], ["again"])


async def test_without_a_browser_there_is_no_live_page() -> None:
    """The sentence says what to give."""
    tiered, *_ = slot(page(rendered_by=FETCH), has_browser=False)
    await tiered.render(lease("1"))
    with pytest.raises(RuntimeError, match="this run has found none; `farm doctor`"):
        await tiered.live(lambda: None)
    assert tiered.end_live("http://a.example/1") is None


async def test_a_slot_that_is_retired_holds_nothing() -> None:
    """Neither of its renderers does, and the page cannot be live any more."""
    tiered, browser, cheap, _ = slot(page(rendered_by=FETCH))
    pool = TieredPool(None, [tiered])
    assert pool.open_slots() == 0
    await tiered.render(lease("1"))
    assert pool.open_slots() == 1
    tiered.retire()
    assert (pool.open_slots(), browser.calls, cheap.calls) == (0, ["retire"], ["render", "retire"])
    with pytest.raises(SlotLost):
        await tiered.live(lambda: None)


class Engines:
    """A pool of three contexts, which notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def open_slots(self) -> int:
        """Three."""
        return 3

    def note(self, reading: MemoryReading, *, has_spare_memory: bool) -> None:
        """Note it."""
        self.asked.append(f"note {has_spare_memory}")

    def reclaim(self, action: ReclaimAction) -> None:
        """Note it."""
        self.asked.append(str(action.measure))


def test_the_engines_give_memory_back() -> None:
    """Where there are any; contexts count as slots do."""
    engines, action = Engines(), ReclaimAction(Measure.COLLECT, "01", "tight", 1)
    for pool in (TieredPool(engines, ()), TieredPool(None, ())):
        pool.note(MemoryReading(1, 1), has_spare_memory=True)
        pool.reclaim(action)
    assert engines.asked == ["note True", "collect"]
    assert TieredPool(engines, ()).open_slots() == 3


class Lights:
    """Light engines of which one is called `light-1`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def reclaim(self, action: ReclaimAction) -> bool:
        """Note it, where it is for that one."""
        self.asked += [action.target] if action.target == "light-1" else []
        return action.target == "light-1"


def test_a_light_engine_gives_its_memory_back_itself() -> None:
    """The browsers are not asked for it, and the other way round."""
    engines, lights = Engines(), Lights()
    pool = TieredPool(engines, (), lights)
    pool.reclaim(ReclaimAction(Measure.RECYCLE, "light-1", "tight", 1))
    pool.reclaim(ReclaimAction(Measure.RECYCLE, "01", "tight", 1, 7))
    assert (engines.asked, lights.asked) == (["recycle"], ["light-1"])


async def test_without_a_browser_a_page_that_asks_for_one_has_what_there_is() -> None:
    """A URL may ask for it in a crawl that starts none."""
    tiered, _, cheap, _ = slot(page(text="fetched", rendered_by=FETCH), has_browser=False)
    assert (await tiered.render(lease("browser"))).text == "fetched"
    assert cheap.calls == ["render"]


async def test_a_browser_that_is_only_for_requests_renders_nothing_else() -> None:
    """What plain HTTP is unfit for is recorded as it is, or failed; a live page is the browser's."""
    shell = page(text="half", rendered_by=FETCH)
    for shows in (shell, RendererUnfit(FailureKind.TLS, "chain", shell)):
        tiered, browser, *_ = slot(shows, only_requested=True, detected={FETCH: Finding.EMPTY_SHELL})
        assert (await tiered.render(lease("1"))).text == "half"
        assert browser.calls == []
        assert await tiered.live(lambda: None) is browser
        assert (await tiered.render(lease("browser"))).text == "by the browser"
    with pytest.raises(RenderError):
        await slot(UNFIT, only_requested=True)[0].render(lease("1"))


def test_a_missing_browser_is_told_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A crawl may have thousands of such URLs; the log has each at its level for details."""
    missing = MissingBrowser()
    with caplog.at_level("INFO", "farm.renderers"):
        for name in ("1", "2", "3"):
            missing.tell(lease(name), FETCH)
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert "http://a.example/1: visited by fetch, because this run has no browser" in caplog.text


async def test_a_snapshot_is_of_what_the_browser_has_shown_last() -> None:
    """After a visit by something cheaper the browser still shows the page before."""
    cheap, _, _, _ = slot(page())
    await cheap.render(lease())
    assert await cheap.snapshot() is None
    failing, _, _, _ = slot(UNFIT)
    await failing.render(lease())
    assert await failing.snapshot() == PageSnapshot(html=BROWSER)
    assert await slot(page(), has_browser=False)[0].snapshot() is None


async def test_a_context_that_is_not_used_is_closed() -> None:
    """After forty visits without the browser, once; a visit by it begins the count anew."""
    made, browser, _, _ = slot(page(text="by plain HTTP", rendered_by=FETCH))
    for _ in range(2 * UNUSED_VISITS):
        await made.render(lease())
    assert browser.calls == ["retire"]
    await made.render(lease("browser"))
    for _ in range(UNUSED_VISITS - 1):
        await made.render(lease())
    assert browser.calls == ["retire", "render"]
    await made.render(lease())
    assert browser.calls == ["retire", "render", "retire"]
