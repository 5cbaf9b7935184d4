"""What a comparison says that could not be brought to its end, and what says nothing of a renderer."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from farm.model.errors import RenderError, RendererUnfit, SlotLost
from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage, Renderer
from farm.model.tiers import Evidence
from farm.policy.renderers import RendererRules, RenderMode
from farm.policy.tiers import TierParams, chances_of
from farm.policy.url_template import template_of
from farm.runtime.template_book import TemplateBook
from tests.runtime.test_audited_slot import GOOD, Bench, shown
from tests.runtime.visit_fakes import lease

BROWSER, FETCH = Renderer.BROWSER, Renderer.FETCH
BUSY = RendererUnfit(FailureKind.CRASH, "no parser was free", innocent=True)


@pytest.mark.parametrize(
    "end",
    [
        SlotLost(FailureKind.CRASH, "gone"),
        RenderError(FailureKind.NETWORK, "reset"),
        shown("", status=503),
    ],
)
async def test_a_difference_that_cannot_be_told_from_chance_counts(end: RenderedPage | Exception) -> None:
    """The browser's second visit fails: what the first one brought is kept, and the difference is noted.

    Left out, differences would be missed more often than agreements, which need one visit, and the bound on wrong
    pages would be too low.
    """
    bench = Bench([shown("a\nb"), end], [shown("a", FETCH)])
    got, (note,) = await bench.visit()
    assert (got.text, note.evidence) == ("a\nb", Evidence.DIFFERED)
    assert note.example.startswith("lines: lacks 1, such as 'b'; it")


async def test_a_renderer_that_is_unfit_on_its_second_visit_costs_no_page() -> None:
    """A site may keep it out then; what it showed first is what counts."""
    cheap: list[RenderedPage | Exception] = [
        shown("a\nz\nw", FETCH),
        RendererUnfit(FailureKind.BLOCKED, "status 403"),
    ]
    bench = Bench([shown("a\nx"), shown("a\ny")], cheap)
    got, (note,) = await bench.visit()
    assert (got.text, note.evidence) == ("a\nx", Evidence.DIFFERED)
    assert bench.cheap.rendered == 2


async def test_a_comparison_that_runs_out_of_time_counts_what_it_has_seen() -> None:
    """The browser hangs at its second visit."""
    bench = Bench([shown("a\nb")], [shown("a", FETCH)], compare_s=0.05)
    steps = bench.browser.steps

    def hang() -> None:
        steps.stop_at = "render" if len(bench.browser.rendered) > 1 else ""

    steps.hooks["render"] = hang
    got, (note,) = await bench.visit()
    assert (got.text, note.evidence) == ("a\nb", Evidence.DIFFERED)


async def test_a_page_that_its_site_puts_off_says_nothing_of_the_renderer() -> None:
    """It was not asked for: five such visits in a row would give the renderer up."""
    bench = Bench([shown("a")], [RenderError(FailureKind.NETWORK, "closed without an answer")])
    bench.egress.is_put_off = True
    assert (await bench.visit())[1] == ()


async def test_what_the_page_did_not_cause_says_nothing() -> None:
    """Neither in a comparison nor where the renderer is in use: the browser brings the page then."""
    assert (await Bench([shown("a")], [BUSY]).visit())[1] == ()
    got, notes = await Bench([shown("a")], [BUSY], GOOD).visit()
    assert (got.rendered_by, notes) == (BROWSER, ())


async def test_comparisons_are_kept_apart_from_the_visit() -> None:
    """What fails or comes in them is not the page's; a visit that goes up to the browser is one visit."""
    bench = Bench([shown("a\nb")] * 2, [shown("a", FETCH)])
    await bench.visit()
    assert bench.egress.again == ["aside", "aside"]
    bench = Bench([shown("a")], [RendererUnfit(FailureKind.NETWORK, "no HTML")], GOOD)
    await bench.visit()
    assert bench.egress.again == ["again"]


async def test_a_page_that_was_put_off_is_the_browsers() -> None:
    """Its site may put off those clients alone that are no browsers."""
    got, notes = await Bench([shown("a")], [], GOOD).visit(throttled=1)
    assert (got.rendered_by, notes) == (BROWSER, ())


@pytest.mark.parametrize(("asked", "by"), [("fetch", FETCH), ("browser", BROWSER), ("auto", BROWSER)])
async def test_a_url_that_asks_for_a_renderer_has_it(asked: str, by: Renderer) -> None:
    """Whatever the settings say of its site; only `auto` compares."""
    bench = Bench([shown("a")], [shown("a", FETCH)])
    bench.slot._book = TemplateBook(
        (FETCH,), TierParams(), RendererRules(RenderMode.BROWSER), lambda _: (0.5, 0.5)
    )
    got, notes = await bench.visit(render=asked)
    assert (got.rendered_by, len(notes)) == (by, int(asked == "auto"))


async def test_one_long_line_is_compared_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of lines says little of what a comparison costs."""
    threads: list[str] = []
    to_thread = asyncio.to_thread

    async def noted(function: Callable[..., Any], *arguments: Any) -> Any:
        threads.append(function.__name__)
        return await to_thread(function, *arguments)

    monkeypatch.setattr(asyncio, "to_thread", noted)
    text = "word " * 60_000
    _, (note,) = await Bench([shown(text)], [shown(text, FETCH)]).visit()
    assert (note.evidence, threads) == (Evidence.AGREED, ["of", "of", "difference"])


def test_a_url_is_audited_on_each_of_its_visits_or_on_none() -> None:
    """Its chances are its own: a visit that is lost with its node does not draw anew."""
    book = TemplateBook((FETCH,), TierParams(), RendererRules(RenderMode.AUTO))
    audits = 0
    for number in range(1_000):
        one = lease()
        url, id_ = f"http://a.example/{number}", f"{(number * 0x9E3779B97F4A7C15) % 2**64:016x}"
        one = replace(one, task=replace(one.task, url=url, fingerprint=id_))
        book.heard(template_of(url), {FETCH: GOOD})
        plans = [book.plan(one)[1].renderer for _ in range(2)]
        assert plans[0] is plans[1]
        audits += plans[0] is BROWSER
    assert 30 <= audits <= 70
    assert chances_of("ffffffff00000000") == (1 - 2**-32, 0.0)


def test_a_long_template_is_known_by_its_hash() -> None:
    """A site makes its addresses as long as it likes, and a node remembers thousands of templates."""
    book = TemplateBook((FETCH,), TierParams(), RendererRules(RenderMode.AUTO), lambda _: (0.5, 0.5))
    url = f"http://a.example/{'x/' * 900}1"
    one = replace(lease(), task=replace(lease().task, url=url))
    book.heard(template_of(url), {FETCH: GOOD})
    assert book.plan(one)[1].renderer is FETCH
    assert max(map(len, book._known)) <= 200
