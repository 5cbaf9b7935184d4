"""A slot that takes the cheapest renderer that is shown to be good, and compares it with the browser."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from farm.model.errors import RenderError, RendererUnfit, SlotLost
from farm.model.outcome import FailureKind
from farm.model.page import Answered, Detection, Finding, Link, RenderedPage, Renderer
from farm.model.task import Lease
from farm.model.tiers import Evidence, TierNote, TierState
from farm.policy.renderers import RendererRules, RenderMode, SiteRenderers
from farm.policy.tiers import TierParams
from farm.runtime.audited_slot import AuditedSlot
from farm.runtime.template_book import TemplateBook
from farm.runtime.tiered_slot import TieredSlot
from tests.runtime.egress_fakes import FakeRepeatedEgress, FakeSlotEgress
from tests.runtime.visit_fakes import FakeSlot, Steps, lease, page

BROWSER, LIGHT, FETCH = Renderer
GOOD = TierState(agreed=220, pooled=220, taken=9, confirmed=4)
TEMPLATE = "a.example/#"
AUTO = RendererRules(RenderMode.AUTO)


@dataclass
class Cheap:
    """Shows the pages in turn, the last one for ever; an exception is raised."""

    shows: list[RenderedPage | Exception]
    rendered: int = 0
    answers: list[int] = field(default_factory=list)

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Show the next page."""
        self.rendered += 1
        shown = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(shown, Exception):
            raise shown
        if answered is not None:
            await answered(shown.final_url, shown.status, shown.headers)
        return shown

    def retire(self) -> None:
        """Forget nothing."""


class Bench:
    """A slot with a browser and plain HTTP; `chances` are those of each URL."""

    def __init__(
        self,
        browser: Sequence[RenderedPage | Exception],
        cheap: Sequence[RenderedPage | Exception],
        known: TierState | None = None,
        chances: tuple[float, float] = (0.5, 0.5),
        compare_s: float = 20.0,
    ) -> None:
        self.book = TemplateBook((FETCH,), TierParams(), AUTO, lambda _: chances)
        if known is not None:
            self.book.heard(TEMPLATE, {FETCH: known})
        self.egress = FakeRepeatedEgress()
        self.browser = FakeSlot(Steps(), FakeSlotEgress(), list(browser))
        self.cheap = Cheap(list(cheap))
        self.answers: list[int] = []

        def detect(shown: RenderedPage) -> Detection | None:
            return Detection(Finding.BLOCK, "vendor", ()) if shown.title == "blocked" else None

        tiered = TieredSlot("01", self.browser, {FETCH: self.cheap}, lambda _: BROWSER, detect, self.egress)
        self.slot = AuditedSlot(tiered, self.book, detect, compare_s)

    async def answered(self, url: str, status: int, headers: object) -> None:
        """Note the answer of a site."""
        self.answers.append(status)

    async def visit(
        self, attempt: int = 1, throttled: int = 0, **task: object
    ) -> tuple[RenderedPage, tuple[TierNote, ...]]:
        """Visit a page; return it and its notes."""
        one = lease(attempt=attempt, throttled=throttled)
        one = replace(one, task=replace(one.task, **task))  # type: ignore[arg-type]
        shown = await self.slot.render(one, self.answered)
        if shown.tiers is None:
            return shown, ()
        assert shown.tiers.template == TEMPLATE
        return shown, shown.tiers.notes


def shown(text: str, by: Renderer = BROWSER, **more: object) -> RenderedPage:
    """Return a page with this text."""
    return page(text=text, rendered_by=by, **more)  # type: ignore[arg-type]


async def test_a_template_is_learnt_with_the_browsers_page() -> None:
    """The record is the browser's; the site is asked once more, at its pace."""
    bench = Bench([shown("a")], [shown("a", FETCH)])
    got, notes = await bench.visit()
    assert (got.rendered_by, notes) == (BROWSER, (TierNote(FETCH, Evidence.AGREED),))
    assert (bench.cheap.rendered, len(bench.browser.rendered), len(bench.egress.again)) == (1, 1, 1)
    assert bench.answers == [200, 200]


async def test_a_renderer_that_is_good_brings_the_page_alone() -> None:
    """No browser is asked; the note says what was known, and with what chance the visit had been an audit."""
    bench = Bench([], [shown("a", FETCH)], GOOD)
    got, notes = await bench.visit()
    assert (got.rendered_by, notes) == (FETCH, (TierNote(FETCH, Evidence.TAKEN, 0, 9, 50),))
    assert (bench.browser.rendered, len(bench.egress.again)) == ([], 0)


async def test_an_audit_confirms_what_was_taken_before() -> None:
    """By chance, with the browser's page."""
    bench = Bench([shown("a")], [shown("a", FETCH)], GOOD, (0.01, 0.5))
    got, notes = await bench.visit()
    assert (got.rendered_by, notes) == (BROWSER, (TierNote(FETCH, Evidence.AGREED, 0, 9, 50),))


async def test_a_difference_that_the_browser_does_not_explain_is_noted() -> None:
    """It visits the page once more; where its two pages are the same, there is no chance in it."""
    bench = Bench([shown("a\nb"), shown("a\nb")], [shown("a", FETCH)])
    _, (note,) = await bench.visit()
    assert (note.evidence, note.example) == (Evidence.DIFFERED, "lines: lacks 1, such as 'b'")
    assert (len(bench.browser.rendered), len(bench.egress.again)) == (2, 2)


@pytest.mark.parametrize(
    ("third", "evidence"), [("a\nx\np", Evidence.AGREED), ("a\nx\nk", Evidence.DIFFERED)]
)
async def test_what_is_another_on_each_visit_of_the_browser_is_no_difference(
    third: str, evidence: Evidence
) -> None:
    """Two visits that have something in common by chance are told by a third."""
    cheap = [shown(f"a\n{lines}", FETCH) for lines in ("z\nq", "w\nr", "v\ns")]
    bench = Bench([shown("a\nx\nk"), shown("a\ny\nk"), shown(third)], cheap)
    _, (note,) = await bench.visit()
    assert note.evidence is evidence
    assert (len(bench.browser.rendered), bench.cheap.rendered) == (
        3,
        3 if evidence is Evidence.DIFFERED else 2,
    )


@pytest.mark.parametrize(
    "failure",
    [
        RendererUnfit(FailureKind.NETWORK, "no HTML"),
        RenderError(FailureKind.NETWORK, "no HTML"),
        SlotLost(FailureKind.CRASH, "no HTML"),
    ],
)
async def test_a_renderer_that_fails_costs_no_page(failure: Exception) -> None:
    """It is noted as unfit, and so is a page that a browser may get past."""
    for cheap in (failure, shown("a", FETCH, title="blocked")):
        bench = Bench([shown("a")], [cheap])
        got, (note,) = await bench.visit()
        assert (got.text, note.evidence) == ("a", Evidence.UNFIT)
        assert note.example in {"no HTML", "block"}


async def test_a_cheap_visit_that_goes_up_to_the_browser_is_noted() -> None:
    """With the reason."""
    bench = Bench([shown("a")], [RendererUnfit(FailureKind.NETWORK, "an empty root")], GOOD)
    got, (note,) = await bench.visit()
    assert (got.rendered_by, note.evidence, note.example) == (BROWSER, Evidence.UNFIT, "an empty root")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_answer_that_puts_off_shows_nothing(status: int) -> None:
    """The site hears no second request for a page that it refuses; a refused comparison is none."""
    bench = Bench([shown("", status=status)], [shown("a", FETCH)])
    assert (await bench.visit())[1] == ()
    assert bench.cheap.rendered == 0
    bench = Bench([shown("a")], [shown("", FETCH, status=status)])
    assert (await bench.visit())[1] == ()
    assert bench.answers == [200, status]


async def test_a_page_that_was_taken_wrongly_is_the_browsers() -> None:
    """However good the renderer is by now."""
    bench = Bench([shown("a")], [], GOOD)
    got, notes = await bench.visit(revision=1)
    assert (got.rendered_by, notes) == (BROWSER, ())


async def test_a_page_is_tried_again_by_the_browser() -> None:
    """The user's code may have failed because something was missing."""
    bench = Bench([shown("a")], [], GOOD)
    got, notes = await bench.visit(attempt=2)
    assert (got.rendered_by, notes) == (BROWSER, ())


async def test_a_template_without_a_place_is_the_browsers(caplog: pytest.LogCaptureFixture) -> None:
    """That is said once."""
    bench = Bench([shown("a")] * 2, [])
    bench.book.heard(TEMPLATE, None)
    bench.book.heard("a.example/x/#", None)
    got, notes = await bench.visit()
    assert (got.rendered_by, notes) == (BROWSER, ())
    assert [one.message.count("too many kinds of page") for one in caplog.records] == [1]


async def test_extracted_fields_are_compared_too() -> None:
    """They may come of what is not visible."""
    bench = Bench([shown("a", html="x")] * 2, [shown("a", FETCH, html="y")])
    fields = AuditedSlot(bench.slot._tiered, bench.book, lambda _: None, 20.0, _html_of)
    got = await fields.render(lease())
    assert got.tiers is not None
    assert got.tiers.notes[0].example == "fields: 'y' in place of 'x'"


async def _html_of(shown: RenderedPage) -> str:
    return shown.html


async def test_what_is_known_of_one_renderer_does_not_replace_the_others() -> None:
    """A visit tells of those alone that it has compared."""
    book = TemplateBook((FETCH, LIGHT), TierParams(), AUTO, lambda _: (0.5, 0.5))
    book.heard(TEMPLATE, {LIGHT: GOOD})
    book.heard(TEMPLATE, {FETCH: TierState(failures=3)})
    _, plan = book.plan(lease())
    assert plan.renderer is LIGHT


async def test_large_pages_are_compared_to_the_end() -> None:
    """In a thread; the links count there as well."""
    many = tuple(Link(f"http://a.example/{number}") for number in range(6_000))
    text = "\n".join(f"line {number}" for number in range(30_000))
    bench = Bench([shown(text, links=many)], [shown(text, FETCH, links=many)])
    _, (note,) = await bench.visit()
    assert note.evidence is Evidence.AGREED


async def test_a_page_with_a_renderer_by_rule_is_not_compared() -> None:
    """Neither with plain HTTP nor with the browser."""
    for mode in (RenderMode.FETCH, RenderMode.BROWSER):
        bench = Bench([shown("a")], [shown("a", FETCH)])
        rules = RendererRules(RenderMode.AUTO, {"a.example": SiteRenderers(mode)})
        bench.slot._book = TemplateBook((FETCH,), TierParams(), rules, lambda _: (0.0, 0.0))
        got, notes = await bench.visit()
        assert (got.rendered_by, notes) == (mode.renderer, ())
        assert bench.cheap.rendered + len(bench.browser.rendered) == 1
