"""A slot that uses the cheapest renderer whose results equal the browser's, and audits it by comparisons.

Invariants: the record of a visit that compares is the browser's; a comparison that fails or takes too long
costs no page; one that has shown a difference is a difference, also where it cannot be brought to its end, or
differences would be missed more often than agreements; each further request for the document waits for the site's
pace; large pages are compared off the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from farm.model.errors import RenderError, RendererUnfit, SlotLost
from farm.model.page import Answered, PageSnapshot, RenderedPage, Renderer
from farm.model.task import Lease
from farm.model.tiers import Evidence, TierNote, TierNotes
from farm.policy.page_diff import MOST_VISITS, PageFacts, difference
from farm.policy.retry import THROTTLING
from farm.policy.tiers import RenderPlan
from farm.policy.verdict import SERVER_ERRORS
from farm.runtime.ports import Detect
from farm.runtime.template_book import TemplateBook
from farm.runtime.tiered_slot import TieredSlot

log = logging.getLogger("farm.renderers")
COMPARED_PAGES = 2
"""The time for the comparisons of a visit, as a multiple of the page deadline."""
RENDERINGS = 2 + COMPARED_PAGES
"""The time for the whole visit, likewise: by an unfit renderer, by the browser, and for comparisons."""
INLINE_CHARS = 200_000
"""Of a page: they take a few milliseconds; a thread is for what is more."""
Fields = Callable[[RenderedPage], Awaitable[Any]]
"""Returns what is extracted from a page, in a form that can be compared."""


@dataclass(slots=True)
class _Comparison:
    """What both have shown so far, each visit by itself; `found` is a difference that may still be chance."""

    renderer: Renderer
    browser: list[PageFacts]
    cheap: list[PageFacts] = field(default_factory=list)
    found: str | None = None


class AuditedSlot:
    """Adapter of the port `Slot` around one that can visit by any renderer.

    `compare_s` bounds the comparisons of a visit; `fields` extracts the declared items, None without a
    declaration.
    """

    def __init__(
        self,
        tiered: TieredSlot,
        book: TemplateBook,
        detect: Detect,
        compare_s: float,
        fields: Fields | None = None,
    ) -> None:
        self.name = tiered.name
        self._tiered = tiered
        self._book = book
        self._detect = detect
        self._compare_s = compare_s
        self._fields = fields

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the URL as planned; raises like `Slot.render`.

        The page contains the visit's results for the renderers.
        """
        template, plan = self._book.plan(lease)
        page = await self._tiered.render_by(plan.renderer, lease, answered)
        notes: tuple[TierNote, ...] = ()
        if plan.used is not None and plan.renderer is plan.used:
            notes = self._brought(plan, page)
        elif plan.compared and _is_comparable(page):
            with self._tiered.egress.aside():
                notes = await self._compared(plan, page, lease, answered)
        return replace(page, tiers=TierNotes(template, notes)) if notes else page

    def _brought(self, plan: RenderPlan, page: RenderedPage) -> tuple[TierNote, ...]:
        """Return the note of a visit by the cheap renderer, or by the browser in its place."""
        if page.rendered_by is plan.renderer:
            return (plan.note(plan.renderer, Evidence.TAKEN, self._book.params),)
        if self._tiered.is_innocent:
            return ()
        return (plan.note(plan.renderer, Evidence.UNFIT, self._book.params, self._tiered.unfit),)

    async def _compared(
        self, plan: RenderPlan, page: RenderedPage, lease: Lease, answered: Answered | None
    ) -> tuple[TierNote, ...]:
        notes: list[TierNote] = []
        browser: list[PageFacts] = []
        going_on: _Comparison | None = None
        try:
            async with asyncio.timeout(self._compare_s):
                browser.append(await self._facts(page))
                for renderer in plan.compared:
                    going_on = _Comparison(renderer, browser)
                    note = await self._compare(plan, going_on, lease, answered)
                    notes += [note] if note is not None else []
        except (TimeoutError, RenderError, RendererUnfit, SlotLost) as error:
            # The page is there.
            log.debug("%s: not compared to the end: %r", lease.task.url, error)
            if going_on is not None and going_on.found is not None:
                notes.append(
                    self._differed(plan, going_on, "; it was not visited again to tell that from chance")
                )
        return tuple(notes)

    async def _compare(
        self, plan: RenderPlan, one: _Comparison, lease: Lease, answered: Answered | None
    ) -> TierNote | None:
        """Return what a renderer shows; None if it says nothing. Raises where further visits fail."""
        try:
            page = await self._tiered.compare_by(one.renderer, lease, answered)
        except (RendererUnfit, RenderError, SlotLost) as error:
            if self._tiered.egress.is_put_off or (isinstance(error, RendererUnfit) and error.innocent):
                # It has not visited the page.
                return None
            return plan.note(one.renderer, Evidence.UNFIT, self._book.params, error.detail)
        if not _is_comparable(page):
            return None
        one.cheap.append(await self._facts(page))
        one.found = await _difference(one)
        while one.found is not None and len(one.cheap) < MOST_VISITS:
            if len(one.browser) > 1 and one.browser[0] == one.browser[1]:
                break
            if len(one.cheap) < len(one.browser):
                again = await self._tiered.compare_by(one.renderer, lease, answered)
                into = one.cheap
            else:
                again = await self._tiered.render_again(lease, answered)
                into = one.browser
            if not _is_comparable(again):
                return self._differed(plan, one, f"; its next visit had the status {again.status}")
            into.append(await self._facts(again))
            one.found = await _difference(one)
        if one.found is None:
            return plan.note(one.renderer, Evidence.AGREED, self._book.params)
        log.debug("%s: %s and the browser differ: %s", lease.task.url, one.renderer, one.found)
        return self._differed(plan, one)

    def _differed(self, plan: RenderPlan, one: _Comparison, more: str = "") -> TierNote:
        return plan.note(one.renderer, Evidence.DIFFERED, self._book.params, f"{one.found}{more}")

    async def _facts(self, page: RenderedPage) -> PageFacts:
        fields = await self._fields(page) if self._fields is not None else None
        detection = self._detect(page)
        if len(page.text) < INLINE_CHARS:
            return PageFacts.of(page, detection, fields)
        return await asyncio.to_thread(PageFacts.of, page, detection, fields)

    async def snapshot(self) -> PageSnapshot | None:
        """Return a snapshot of the last visit's page; None if it was not the browser's."""
        return await self._tiered.snapshot()

    def retire(self) -> None:
        """Close everything that is open between visits."""
        self._tiered.retire()

    async def live(self, on_lost: Callable[[], None]) -> Any:
        """Return the browser's page as `TieredSlot.live` does."""
        return await self._tiered.live(on_lost)

    def end_live(self, url: str) -> SlotLost | None:
        """End the use of the live page; return how it was lost meanwhile, None if it was not."""
        return self._tiered.end_live(url)


async def _difference(one: _Comparison) -> str | None:
    if max(facts.size for facts in (*one.browser, *one.cheap)) < INLINE_CHARS:
        return difference(one.browser, one.cheap)
    return await asyncio.to_thread(difference, one.browser, one.cheap)


def _is_comparable(page: RenderedPage) -> bool:
    """Return whether a page is kept: one that is delayed or retried says nothing about its renderer."""
    return page.status not in THROTTLING and page.status not in SERVER_ERRORS and not page.broke_off
