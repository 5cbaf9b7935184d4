"""A slot of the pool: it holds one browser context at a time, and replaces it when needed (`slot_state`).

The successor of a context is opened before the context's last page, or when the context is worn. Invariants: a
slot has at most one tab and one successor; a tab serves one site only; the pool closes a lost tab, which is never
used again; a tab whose slot was cancelled while it opened is closed, not leaked.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from playwright.async_api import Error, Page

from farm.browser.acting import attend
from farm.browser.render import RenderParams, visit
from farm.browser.slot_state import TRANSITIONS, SlotState
from farm.browser.snapshots import snapshot
from farm.browser.tab import Tab, TabParams
from farm.model.clock import Clock
from farm.model.errors import RenderError, SlotLost
from farm.model.event import Emit, Phase, Recycled, SlotPhases
from farm.model.outcome import FailureKind
from farm.model.page import Answered, PageSnapshot, RenderedPage
from farm.model.task import Lease
from farm.model.url import site_of
from farm.policy.recycle import ContextUsage, RecycleParams, reason_to_recycle, reason_to_replace

log = logging.getLogger("farm.context")
GARBAGE_EVERY = 5
GARBAGE_S = 4.5
OPENING_S = 20.0
"""How long a slot waits for a tab. Then its URL is released without counting an attempt."""


class TabSource(Protocol):
    """The pool, as its slots use it."""

    @property
    def has_spare_memory(self) -> bool:
        """Whether memory allows another context beside those of the slots."""
        ...

    def open(self, proxy_url: str, *, paced: bool) -> asyncio.Task[Tab]:
        """Open a tab on a live engine, spaced from others if `paced`. The task raises what `open_tab` raises."""
        ...

    def discard(self, tab: Tab) -> None:
        """Close the tab in the background."""
        ...

    def excuse_crash(self, url: str) -> bool:
        """Count the death of an engine during a visit to this URL; return True if the URL is still excused."""
        ...

    def paces_ms(self) -> Sequence[float]:
        """Return the median navigation time of each slot's context, in ms."""
        ...


@dataclass(frozen=True, slots=True)
class SlotParams:
    """The parameters of all slots of a pool."""

    tab: TabParams
    render: RenderParams
    recycle: RecycleParams
    render_for: Callable[[str], RenderParams] | None = None
    """Returns the parameters of a URL, if they differ between URLs."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts that are masked in snapshots of pages."""


class ContextSlot:
    """Visits one URL at a time. Adapter of the port `Slot`."""

    def __init__(
        self, name: str, proxy_url: str, tabs: TabSource, params: SlotParams, emit: Emit, clock: Clock
    ) -> None:
        self.name = name
        self.state = SlotState.EMPTY
        self.tab: Tab | None = None
        self.usage = ContextUsage()
        self._proxy_url = proxy_url
        self._tabs = tabs
        self._params = params
        self._emit = emit
        self._clock = clock
        self._phases = SlotPhases(name, emit, clock)
        self.since = 0.0
        """When the current visit began, by the clock."""
        self.is_deprioritized = False
        self._due: str | None = None
        self._successor: asyncio.Task[Tab] | None = None
        self._frames: asyncio.Task[None] | None = None

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the leased URL, in a new context if the current one must not serve it.

        Raises RenderError, SlotLost (the slot is empty then and ready for the next visit), or BrowserUnavailable
        if no browser can be started. `answered` is called with the head of the document's response.
        """
        tab = await self._tab_for(lease.task.site, lease.task.url)
        try:
            return await self._visit(tab, lease, answered)
        except SlotLost as error:
            if tab.engine.lost.done():
                # Any page on the engine may have killed it: the first deaths are not counted against the URL.
                innocent = self._tabs.excuse_crash(lease.task.url)
                raise SlotLost(error.kind, error.detail, innocent=innocent) from error
            if not error.innocent:
                raise
        # The previous page caused this, so visit once more: the slot is empty now.
        tab = await self._tab_for(lease.task.site, lease.task.url)
        try:
            return await self._visit(tab, lease, answered)
        except SlotLost as error:
            raise SlotLost(error.kind, error.detail) from error

    async def _visit(self, tab: Tab, lease: Lease, answered: Answered | None) -> RenderedPage:
        self._transition("visiting")
        self.since = self._clock.monotonic()
        survived, navigate_ms = False, None
        try:
            url = lease.task.url
            params, own = self._params.render, self._params.render_for
            page = await visit(tab, url, own(url) if own else params, self._phases, answered)
            survived, navigate_ms = True, page.timings_ms.get("navigate")
            tab.engine.showed_page()
        except RenderError:
            # The site failed, not the tab: it shows an error page, which the next navigation replaces.
            survived = not tab.lost
            raise
        finally:
            tab.served += 1
            self.usage = self.usage.after(navigate_ms)
            if survived:
                self._transition("visited")
                self._prepare_successor(tab)
            else:
                self._drop("lost")
        if tab.served % GARBAGE_EVERY == 0:
            await self.collect_garbage()
        return page

    async def _tab_for(self, site: str, url: str) -> Tab:
        why = self._why_to_replace(self.tab, site) if self.tab is not None else "start"
        if self.tab is not None and why is None:
            self.tab.site = site
            return self.tab
        why = why or "start"
        self._phases.enter(Phase.STARTING if self.tab is None else Phase.RECYCLING, url)
        begun = self._clock.monotonic()
        self._detach(why)
        self._transition("opening")
        try:
            self.tab = await self._opened(paced=why not in {"site", "url"})
        except BaseException:
            # Also when cancelled: the state must not stay `opening` while nothing opens.
            self._transition("lost")
            raise
        self.tab.site = site
        self.is_deprioritized = False
        self.usage = ContextUsage(self._clock.monotonic())
        self._transition("opened")
        if why != "start":
            self._emit_recycled(why, begun)
        return self.tab

    def _why_to_replace(self, tab: Tab, site: str) -> str | None:
        if tab.lost:
            return "lost"
        why = reason_to_recycle(tab.served, tab.site, site, self._params.recycle)
        is_up = self._successor is not None and self._successor.done()
        # A worn context is replaced when its successor is open, or at once if there is no memory for both.
        return why or (self._due if is_up or not self._tabs.has_spare_memory else None)

    async def _opened(self, *, paced: bool) -> Tab:
        """Return the successor if it is usable, else a new tab. Raises an innocent SlotLost after `OPENING_S`."""
        opening, self._successor = self._successor, None
        lost = SlotLost(FailureKind.CRASH, "the engine died", innocent=True)
        for _ in range(2):
            opening = opening or self._tabs.open(self._proxy_url, paced=paced)
            try:
                async with asyncio.timeout(OPENING_S):
                    tab = await asyncio.shield(opening)
            except TimeoutError as error:
                opening.add_done_callback(self._discard_opened)
                detail = f"no context within {OPENING_S:g} s"
                raise SlotLost(FailureKind.TIMEOUT, detail, innocent=True) from error
            except asyncio.CancelledError:
                opening.add_done_callback(self._discard_opened)
                raise
            except SlotLost as error:
                lost = SlotLost(error.kind, error.detail, innocent=True)
            else:
                if not tab.lost:
                    return tab
            opening = None
        raise lost

    def _prepare_successor(self, tab: Tab) -> None:
        """After a visit, open the successor of a context that is replaced soon: no visit waits for it."""
        params = self._params.recycle
        if tab.engine.retiring:
            self._due = "engine"
        self._due = self._due or reason_to_replace(
            self.usage, self._clock.monotonic(), self._tabs.paces_ms(), params
        )
        is_last = tab.served == params.pages - 1 and not params.per_url
        if self._successor is None and (self._due or is_last) and self._tabs.has_spare_memory:
            self._successor = self._tabs.open(self._proxy_url, paced=True)

    async def live(self, on_lost: Callable[[], None]) -> Page:
        """Return the page in its state after the visit: it stays open until `end_live`, and its frames are made.

        `on_lost` is called if it is lost before.

        Raises SlotLost if the page is already lost: that is not the URL's fault.
        """
        tab = self.tab
        if self.state is not SlotState.READY or tab is None or tab.lost:
            raise SlotLost(FailureKind.CRASH, "the page was closed before it was asked for", innocent=True)
        self._transition("visiting")
        self._frames = asyncio.create_task(attend(tab, on_lost))
        return tab.page

    async def snapshot(self) -> PageSnapshot | None:
        """Return a snapshot of the visit's page after a failure; None if it is gone, hung, or never existed."""
        tab = self.tab
        if self.state is not SlotState.READY or tab is None or tab.lost:
            return None
        try:
            state_for = self._params.tab.state_for
            session = state_for(f"https://{tab.site}/") if state_for is not None else None
            return await snapshot(tab, self._params.secrets, session)
        except (SlotLost, TimeoutError):
            # The late answer would come during the next visit.
            if self.tab is tab:
                self._drop("hung")
        except Error:
            log.debug("%s: the page went on while its snapshot was taken", self.name)
        return None

    def end_live(self, url: str) -> SlotLost | None:
        """End the use of the live page; return how it was lost meanwhile, None if it was not.

        A context that was navigated to another site is replaced.
        """
        if self._frames is not None:
            self._frames.cancel()
            self._frames = None
        tab = self.tab
        if self.state is not SlotState.VISITING or tab is None:
            return None
        self._transition("visited")
        if tab.lost:
            died = tab.engine.lost.done()
            self._drop("lost")
            why = f"{tab.engine.name}: {tab.engine.lost.result()}" if died else "the page crashed"
            return SlotLost(
                FailureKind.CRASH,
                f"{why} while its handler had it",
                innocent=died and self._tabs.excuse_crash(url),
            )
        if site_of(tab.page.url) not in {tab.site, ""}:
            self._drop("site")
        return None

    async def collect_garbage(self) -> None:
        """Collect the page's garbage: done every few pages, this halves the memory peak at little cost."""
        tab = self.tab
        if tab is None or tab.lost:
            return
        try:
            await tab.send("HeapProfiler.collectGarbage", GARBAGE_S)
        except SlotLost:
            if self.state is SlotState.READY and self.tab is tab:
                self._drop("hung")
        except Error:
            # The context is closing.
            return

    def recycle(self, why: str) -> None:
        """Replace the context: at once between visits, else after the current visit."""
        if self.state is SlotState.READY:
            self._drop(why)
        elif self.state is SlotState.VISITING:
            self._due = why

    def measured(self, used_bytes: int) -> None:
        """Record the memory of the context's renderer."""
        self.usage = self.usage.measured(used_bytes)
        if self.tab is not None:
            self.tab.used_bytes = used_bytes

    def mark_deprioritized(self) -> None:
        """Record that the renderer's priority was lowered: the context is replaced after the visit."""
        self.is_deprioritized = True
        self.recycle("cpu")

    def retire(self) -> None:
        """Close the context between visits: the pool needs its memory, or the farm ends."""
        if self.state is SlotState.READY:
            self._drop("retired")

    def _drop(self, why: str) -> None:
        if self.tab is not None:
            self._emit_recycled(why, self._clock.monotonic())
        self._detach(why)

    def _detach(self, why: str) -> None:
        """Discard the tab, and the successor too unless the next visit needs it."""
        tab, self.tab = self.tab, None
        if tab is None:
            return
        self._due = None
        self._transition("lost")
        self._tabs.discard(tab)
        if self._successor is not None and why in {"lost", "retired", "hung"}:
            self._successor.add_done_callback(self._discard_opened)
            self._successor = None

    def _discard_opened(self, opening: asyncio.Task[Tab]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._tabs.discard(opening.result())

    def _emit_recycled(self, why: str, begun: float) -> None:
        now = self._clock.monotonic()
        took_ms = round((now - begun) * 1000)
        self._emit(Recycled(now, "context", self.name, why, took_ms, self.usage.used_bytes))

    def _transition(self, event: str) -> None:
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise AssertionError(f"{self.name}: `{event}` cannot happen in state `{self.state}`")
        self.state = following

    def __repr__(self) -> str:
        """Return the name and the state."""
        return f"<ContextSlot {self.name} {self.state}>"
