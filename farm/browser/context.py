"""A slot: the place of one browser context in the pool, which replaces its context by itself.

    state      event      next
    empty      opening    opening     no tab; the next visit opens one
    opening    opened     ready
    opening    lost       empty
    ready      visiting   visiting
    ready      lost       empty       recycled, or found dead between visits
    visiting   visited    ready
    visiting   lost       empty       the page, its context or its engine died or hung

A context that is soon to go has its successor opened beside it: before its last page, or on the evidence of its
wear. What always holds: a slot has at most one tab and one successor; a tab serves one site at the most; a tab
that was lost is closed by the pool, never used again; nothing that was opened is forgotten, also when the slot is
cancelled while it waits.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from playwright.async_api import Error

from farm.browser.render import Answered, RenderParams, visit
from farm.browser.tab import Tab, TabParams
from farm.model.clock import Clock
from farm.model.errors import RenderError, SlotLost
from farm.model.event import Emit, Phase, Recycled, SlotPhase
from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage
from farm.model.task import Lease
from farm.policy.recycle import ContextUsage, RecycleParams, reason_to_recycle, reason_to_replace

GARBAGE_EVERY = 5
GARBAGE_S = 4.5
OPENING_S = 20.0
"""How long a slot waits for a tab; then its URL is given back, as it is not to blame."""


class SlotState(StrEnum):
    """Where a slot is in its table."""

    EMPTY = "empty"
    OPENING = "opening"
    READY = "ready"
    VISITING = "visiting"


TRANSITIONS: dict[tuple[SlotState, str], SlotState] = {
    (SlotState.EMPTY, "opening"): SlotState.OPENING,
    (SlotState.OPENING, "opened"): SlotState.READY,
    (SlotState.OPENING, "lost"): SlotState.EMPTY,
    (SlotState.READY, "visiting"): SlotState.VISITING,
    (SlotState.READY, "lost"): SlotState.EMPTY,
    (SlotState.VISITING, "visited"): SlotState.READY,
    (SlotState.VISITING, "lost"): SlotState.EMPTY,
}


class TabSource(Protocol):
    """What a slot needs of its pool."""

    @property
    def has_spare_memory(self) -> bool:
        """Whether there is memory for a context more than there are slots."""
        ...

    def open(self, proxy_url: str, *, paced: bool) -> asyncio.Task[Tab]:
        """Open a tab on a living engine, in turn with others where `paced`; the task raises what opening does."""
        ...

    def discard(self, tab: Tab) -> None:
        """Close the tab in the background."""
        ...

    def excuse_crash(self, url: str) -> bool:
        """Whether an engine's death under this URL is not yet held against it; counts it."""
        ...

    def paces_ms(self) -> Sequence[float]:
        """How fast the slots' contexts have navigated lately."""
        ...


@dataclass(frozen=True, slots=True)
class SlotParams:
    """What all slots of a pool have in common."""

    tab: TabParams
    render: RenderParams
    recycle: RecycleParams


class ContextSlot:
    """One URL at a time; satisfies the runtime's `Slot`."""

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
        self.since = 0.0
        """When the visit under way began."""
        self.is_deprioritized = False
        self._due: str | None = None
        self._successor: asyncio.Task[Tab] | None = None

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the leased URL, in a fresh context where the old one may not serve it.

        Raises RenderError, SlotLost (the slot is empty then and good for the next visit), or BrowserUnavailable
        when no browser can be started at all. `answered` is told the head of the document's answer.
        """
        tab = await self._tab_for(lease.task.site, lease.task.url)
        try:
            return await self._visit(tab, lease, answered)
        except SlotLost as error:
            if tab.engine.lost.done():
                # Any of the pages on it may have killed the engine: the first times it is nobody's fault.
                innocent = self._tabs.excuse_crash(lease.task.url)
                raise SlotLost(error.kind, error.detail, innocent=innocent) from error
            if not error.innocent:
                raise
        # What the page before has done must not be held against this one: the slot is empty now.
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
            page = await visit(tab, url, self._params.render, self._phase(url), answered)
            survived, navigate_ms = True, page.timings_ms.get("navigate")
            tab.engine.showed_page()
        except RenderError:
            # The site failed, not the tab: what shows is an error page, and the next navigation replaces it.
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
        self._phase(url)(Phase.STARTING if self.tab is None else Phase.RECYCLING)
        begun = self._clock.monotonic()
        self._detach(why)
        self._transition("opening")
        try:
            self.tab = await self._opened(paced=why not in {"site", "url"})
        except BaseException:
            # Also when cancelled: the table must not stay in `opening` with nobody opening.
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
        # On evidence alone a context goes when its successor is up, or when there is no memory for both.
        return why or (self._due if is_up or not self._tabs.has_spare_memory else None)

    async def _opened(self, *, paced: bool) -> Tab:
        """Take the successor if it is any good, or open a tab; gives up without blame when that takes too long."""
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
        """After a visit: open the successor of a context that is soon to go, so that nobody waits for it."""
        params = self._params.recycle
        if tab.engine.retiring:
            self._due = "engine"
        self._due = self._due or reason_to_replace(
            self.usage, self._clock.monotonic(), self._tabs.paces_ms(), params
        )
        is_last = tab.served == params.pages - 1 and not params.per_url
        if self._successor is None and (self._due or is_last) and self._tabs.has_spare_memory:
            self._successor = self._tabs.open(self._proxy_url, paced=True)

    async def collect_garbage(self) -> None:
        """Give a page's garbage back every few pages: it halves the peak, and costs next to nothing."""
        tab = self.tab
        if tab is None or tab.lost:
            return
        try:
            await tab.send("HeapProfiler.collectGarbage", GARBAGE_S)
        except SlotLost:
            if self.state is SlotState.READY and self.tab is tab:
                self._drop("hung")
        except Error:
            # It is closing.
            return

    def recycle(self, why: str) -> None:
        """Replace the context: at once between visits, else after the one under way."""
        if self.state is SlotState.READY:
            self._drop(why)
        elif self.state is SlotState.VISITING:
            self._due = why

    def measured(self, used_bytes: int) -> None:
        """Note what the context's renderer holds."""
        self.usage = self.usage.measured(used_bytes)

    def mark_deprioritized(self) -> None:
        """Note that the context's renderer has lost its priority: another one takes its place after the visit."""
        self.is_deprioritized = True
        self.recycle("cpu")

    def retire(self) -> None:
        """Let the context go, between visits: the pool needs its memory, or the farm ends."""
        if self.state is SlotState.READY:
            self._drop("retired")

    def _drop(self, why: str) -> None:
        if self.tab is not None:
            self._emit_recycled(why, self._clock.monotonic())
        self._detach(why)

    def _detach(self, why: str) -> None:
        """Let the tab go, and its successor with it where nobody waits for that."""
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

    def _phase(self, url: str) -> Callable[[Phase], None]:
        return lambda phase: self._emit(SlotPhase(self._clock.monotonic(), self.name, phase, url))

    def __repr__(self) -> str:
        """Show what tests assert: the name and the state."""
        return f"<ContextSlot {self.name} {self.state}>"
