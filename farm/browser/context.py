"""A slot: the place of one browser context in the pool, which replaces its context by itself.

    state      event      next
    empty      opening    opening     no tab; the next visit opens one
    opening    opened     ready
    opening    lost       empty
    ready      visiting   visiting
    ready      lost       empty       recycled, or found dead between visits
    visiting   visited    ready
    visiting   lost       empty       the page, its context or its engine died or hung

What always holds: a slot has at most one tab; a tab serves one site at the most; a tab that was lost is closed
by the pool, never used again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from farm.browser.engine import Engine
from farm.browser.render import RenderParams, visit
from farm.browser.tab import Tab, TabParams
from farm.model.clock import Clock
from farm.model.errors import RenderError, SlotLost
from farm.model.event import Emit, Phase, Recycled, SlotPhase
from farm.model.page import RenderedPage
from farm.model.task import Lease
from farm.policy.recycle import RecycleParams, reason_to_recycle

GARBAGE_EVERY = 5
GARBAGE_S = 3.0


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


class Home(Protocol):
    """What a slot needs of its pool."""

    async def engine(self) -> Engine:
        """Return a living engine with room, waiting for one to be started; raises BrowserUnavailable."""
        ...

    def discard(self, tab: Tab) -> None:
        """Close the tab in the background."""
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
        self, name: str, proxy_url: str, home: Home, params: SlotParams, emit: Emit, clock: Clock
    ) -> None:
        self.name = name
        self.state = SlotState.EMPTY
        self.tab: Tab | None = None
        self._proxy_url = proxy_url
        self._home = home
        self._params = params
        self._emit = emit
        self._clock = clock

    async def render(self, lease: Lease) -> RenderedPage:
        """Visit the leased URL, in a fresh context where the old one may not serve it.

        Raises RenderError, SlotLost (the slot is empty then and good for the next visit), or BrowserUnavailable
        when no browser can be started at all.
        """
        try:
            return await self._visit(lease)
        except SlotLost as error:
            if not error.innocent:
                raise
            # What the page before has done must not be held against this one: the slot is empty now.
            return await self._visit(lease)

    async def _visit(self, lease: Lease) -> RenderedPage:
        task = lease.task
        tab = await self._tab_for(task.site, task.url)
        self._go("visiting")
        survived = False
        try:
            page = await visit(tab, task.url, self._params.render, self._phase(task.url))
            survived = True
        except RenderError:
            # The site failed, not the tab: what shows is an error page, and the next navigation replaces it.
            survived = not tab.lost
            raise
        finally:
            tab.served += 1
            if survived:
                self._go("visited")
            else:
                self._lose("lost")
        await self._collect_garbage(tab)
        return page

    async def _tab_for(self, site: str, url: str) -> Tab:
        if self.tab is not None:
            why = "lost" if self.tab.lost else None
            why = why or reason_to_recycle(self.tab.served, self.tab.site, site, self._params.recycle)
            if why is None:
                self.tab.site = site
                return self.tab
            self._phase(url)(Phase.RECYCLING)
            self._lose(why)
        else:
            self._phase(url)(Phase.STARTING)
        self._go("opening")
        try:
            tab = await Tab.open(await self._home.engine(), self._proxy_url, self._params.tab)
        except BaseException:
            # Also when cancelled: the table must not stay in `opening` with nobody opening.
            self._go("lost")
            raise
        self.tab = tab
        tab.site = site
        self._go("opened")
        return tab

    async def _collect_garbage(self, tab: Tab) -> None:
        """Give a page's garbage back every few pages: it halves the peak, and costs next to nothing."""
        if tab.served % GARBAGE_EVERY == 0 and self.state is SlotState.READY:
            try:
                await tab.send("HeapProfiler.collectGarbage", GARBAGE_S)
            except SlotLost:
                self._lose("hung")

    def retire(self) -> None:
        """Let the context go, between visits: the pool needs its memory, or the farm ends."""
        if self.state is SlotState.READY:
            self._lose("retired")

    def _lose(self, why: str) -> None:
        tab, self.tab = self.tab, None
        self._go("lost")
        if tab is not None:
            self._home.discard(tab)
            self._emit(Recycled(self._clock.monotonic(), "context", self.name, why, 0))

    def _go(self, event: str) -> None:
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise AssertionError(f"{self.name}: `{event}` cannot happen in state `{self.state}`")
        self.state = following

    def _phase(self, url: str) -> Callable[[Phase], None]:
        return lambda phase: self._emit(SlotPhase(self._clock.monotonic(), self.name, phase, url))

    def __repr__(self) -> str:
        """Show what tests assert: the name and the state."""
        return f"<ContextSlot {self.name} {self.state}>"
