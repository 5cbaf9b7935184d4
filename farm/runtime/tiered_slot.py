"""A slot that visits each URL with the renderer chosen for it, and with the browser if that one is unfit.

Invariants: a page that a cheaper renderer cannot render is visited by the browser in the same lease, if there is
one, without counting an attempt; each request for the document waits for the site's pace; a slot whose pages need
no browser opens no context.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any, Protocol

from farm.model.errors import RenderError, RendererUnfit, SlotLost
from farm.model.memory import MemoryReading, ReclaimAction
from farm.model.outcome import FailureKind
from farm.model.page import Answered, Finding, PageSnapshot, RenderedPage, Renderer
from farm.model.task import Lease
from farm.runtime.ports import Detect, Slot, SlotPool

log = logging.getLogger("farm.renderers")
UNUSED_VISITS = 40
"""After this many visits without the browser its context is closed: it uses about 40 MiB, and opens quickly."""
_HIDES = frozenset({Finding.BLOCK, Finding.CAPTCHA, Finding.CHALLENGE, Finding.EMPTY_SHELL})
"""Failures that a browser may not have."""


class CheapRenderer(Protocol):
    """A renderer that costs less than the browser; each slot has its own."""

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the URL within the page deadline; `rendered_by` of the page names the renderer.

        Raises RenderError or SlotLost for failures that a browser would have too, and RendererUnfit for those of
        this renderer: it cannot render the page, or it failed.
        """
        ...

    def retire(self) -> None:
        """Forget the site: its cookies, its connections, and everything that is open for it."""
        ...


class RepeatedEgress(Protocol):
    """What a visit that renders its page more than once needs of its slot's port of the gateway."""

    def begin_again(self) -> None:
        """Let the next request for the document wait for the site's pace, as the visit's first has.

        What failed before, and what came, says nothing of the page that comes now.
        """
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Keep what is requested within apart from the visit: its failures and its bytes are not the page's."""
        ...

    @property
    def is_put_off(self) -> bool:
        """Whether the document was not requested, because its site may not be visited now."""
        ...


class LightEngines(Protocol):
    """The engines beside the browser's, for the governor."""

    def reclaim(self, action: ReclaimAction) -> bool:
        """Carry an action out; False where it is for none of these engines."""
        ...


class MissingBrowser:
    """Tells of URLs that ask for a browser in a run without one: of the first in a warning, for the run."""

    def __init__(self) -> None:
        self._is_told = False

    def tell(self, lease: Lease, renderer: Renderer) -> None:
        """Log that the URL of a lease is visited by this renderer."""
        level = logging.INFO if self._is_told else logging.WARNING
        self._is_told = True
        log.log(
            level,
            "%s: visited by %s, because this run has no browser for a page that asks for %s; `farm doctor` says "
            "whether there is one for the next run",
            lease.task.url,
            renderer,
            lease.task.render or "one",
        )


class TieredSlot:
    """Adapter of the port `Slot`. `browser` is None if no browser may be started.

    `choose` returns the renderer of a lease; in place of one that is not there the browser visits, or what is.
    With `only_requested` the browser visits only what is chosen for it, and a live page.
    """

    def __init__(
        self,
        name: str,
        browser: Slot | None,
        cheap: Mapping[Renderer, CheapRenderer],
        choose: Callable[[Lease], Renderer],
        detect: Detect,
        egress: RepeatedEgress,
        missing: MissingBrowser | None = None,
        *,
        only_requested: bool = False,
    ) -> None:
        self.name = name
        self.is_open = False
        """Whether it has anything open for a site."""
        self.egress = egress
        self._browser = browser
        self._goes_up = browser is not None and not only_requested
        """Whether the browser visits what a cheaper renderer is unfit for."""
        self._missing = missing or MissingBrowser()
        self._cheap = cheap
        self._choose = choose
        self._detect = detect
        self._shown: tuple[Lease, Renderer] | None = None
        self._by_browser_last = False
        self._unused = 0
        """Visits since the last one by the browser."""
        self.unfit = ""
        """Why the last visit was the browser's and not its renderer's; empty if it was not."""
        self.is_innocent = False
        """Whether the page of that visit did not cause it."""

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the URL with its renderer, or with the browser if that is unfit; raises like `Slot.render`."""
        return await self.render_by(self._choose(lease), lease, answered)

    async def render_by(
        self, renderer: Renderer, lease: Lease, answered: Answered | None = None
    ) -> RenderedPage:
        """Visit the URL with this renderer, like `render` with the chosen one."""
        self.is_open = True
        self._shown, self._by_browser_last = None, False
        self.unfit, self.is_innocent = "", False
        cheap = self._cheap.get(renderer) or self._in_place_of_browser(lease)
        if cheap is None:
            page = await self._by_browser(lease, answered)
        else:
            page = await self._by_cheap(cheap, lease, answered)
        self._count_unused(page.rendered_by)
        self._shown = lease, page.rendered_by
        return page

    def _in_place_of_browser(self, lease: Lease) -> CheapRenderer | None:
        """Return what visits a page that asks for a browser where there is none; None if there is one."""
        if self._browser is not None:
            return None
        renderer = next(iter(self._cheap))
        self._missing.tell(lease, renderer)
        return self._cheap[renderer]

    def _count_unused(self, renderer: Renderer) -> None:
        self._unused = 0 if renderer is Renderer.BROWSER else self._unused + 1
        if self._unused == UNUSED_VISITS and self._browser is not None:
            self._browser.retire()

    async def compare_by(
        self, renderer: Renderer, lease: Lease, answered: Answered | None = None
    ) -> RenderedPage:
        """Visit a URL once more, with a cheaper renderer; the browser's page stays the visit's page.

        Raises as `CheapRenderer.render` does; RendererUnfit also if the browser would be asked.
        """
        self.egress.begin_again()
        page = await self._cheap[renderer].render(lease, answered)
        why = self._why_unlike(page)
        if why:
            raise RendererUnfit(FailureKind.BLOCKED, why, page)
        return page

    async def render_again(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit a URL once more with the browser; raises like `Slot.render`."""
        self.egress.begin_again()
        return await self._by_browser(lease, answered)

    async def _by_cheap(self, cheap: CheapRenderer, lease: Lease, answered: Answered | None) -> RenderedPage:
        try:
            page = await cheap.render(lease, answered)
        except RendererUnfit as unfit:
            if not self._goes_up:
                if unfit.page is None:
                    raise RenderError(unfit.kind, unfit.detail) from unfit
                return unfit.page
            why, self.is_innocent = unfit.detail, unfit.innocent
        else:
            why = self._why_unlike(page) if self._goes_up else ""
            if not why:
                return page
        self.unfit = why
        log.debug("%s: visited by the browser: %s", lease.task.url, why)
        self.egress.begin_again()
        return await self._by_browser(lease, answered)

    def _why_unlike(self, page: RenderedPage) -> str:
        """Return why a browser may render another page; empty if there is no reason."""
        if page.status == HTTPStatus.FORBIDDEN:
            return "status 403"
        detection = self._detect(page)
        return str(detection.finding) if detection is not None and detection.finding in _HIDES else ""

    async def _by_browser(self, lease: Lease, answered: Answered | None) -> RenderedPage:
        if self._browser is None:
            raise AssertionError(f"{self.name} has no browser for {lease.task.url}")
        self._by_browser_last = True
        return await self._browser.render(lease, answered)

    async def snapshot(self) -> PageSnapshot | None:
        """Return a snapshot of the last visit's page; None if it was not the browser's."""
        return await self._browser.snapshot() if self._browser is not None and self._by_browser_last else None

    def retire(self) -> None:
        """Close everything that is open between visits."""
        self.is_open = False
        self._shown = None
        if self._browser is not None:
            self._browser.retire()
        for one in self._cheap.values():
            one.retire()

    def close(self) -> None:
        """Close the cheaper renderers at the end; the browser's pool closes its own contexts."""
        for one in self._cheap.values():
            one.retire()

    async def live(self, on_lost: Callable[[], None]) -> Any:
        """Return the browser's page; the browser visits a page of a cheaper renderer for it.

        Raises SlotLost if the page is gone meanwhile, and RuntimeError if there is no browser.
        """
        if self._browser is None:
            raise RuntimeError(
                "a live page needs a browser, and this run has found none; `farm doctor` says what to install"
            )
        if self._shown is None:
            raise SlotLost(FailureKind.CRASH, "the page was closed before it was asked for", innocent=True)
        lease, renderer = self._shown
        if renderer is not Renderer.BROWSER:
            self.egress.begin_again()
            await self._browser.render(lease)
            self._shown = lease, Renderer.BROWSER
        return await self._browser.live(on_lost)

    def end_live(self, url: str) -> SlotLost | None:
        """End the use of the live page; return how it was lost meanwhile, None if it was not."""
        return self._browser.end_live(url) if self._browser is not None else None


class TieredPool:
    """The slots and the pool of their engines, if there are any. Adapter of the port `SlotPool`."""

    def __init__(
        self, pool: SlotPool | None, slots: Sequence[TieredSlot], light: LightEngines | None = None
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._light = light

    def open_slots(self) -> int:
        """Return how many slots have a context, or anything else open for a site."""
        contexts = self._pool.open_slots() if self._pool is not None else 0
        return max(contexts, sum(slot.is_open for slot in self._slots))

    def note(self, reading: MemoryReading, *, has_spare_memory: bool) -> None:
        """Pass the reading on to the engines."""
        if self._pool is not None:
            self._pool.note(reading, has_spare_memory=has_spare_memory)

    def reclaim(self, action: ReclaimAction) -> None:
        """Pass the action to the engines: everything else uses too little memory."""
        is_light = self._light is not None and self._light.reclaim(action)
        if not is_light and self._pool is not None:
            self._pool.reclaim(action)
