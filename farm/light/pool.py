"""The light engines and the slots that they serve.

Engines start when a slot first needs one, each for a few slots; they may connect to the gateway's ports alone.
Invariants: an engine that has died is removed with all that it left; one that has rendered its number of
pages, or has grown, gets no new slot and ends with its last one, or `RETIRE_S` later; closing ends all of them.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.light.engine import LightEngine
from farm.light.program import ProgramParams
from farm.light.render import LightRenderParams, visit_lightly
from farm.light.tab import LightTab, LightTabParams, open_light_tab
from farm.model.clock import Clock
from farm.model.errors import BrowserUnavailable, FarmError, RendererUnfit, SlotLost
from farm.model.event import Emit, Phase, Recycled, SlotPhases
from farm.model.memory import Measure, ReclaimAction
from farm.model.outcome import FailureKind
from farm.model.page import Answered, RenderedPage
from farm.model.task import Lease
from farm.model.url import endpoint_of
from farm.policy.recycle import RecycleParams, reason_to_recycle

log = logging.getLogger("farm.light")
CHECK_EVERY_S = 1.0
RETIRE_S = 60.0
"""How long a retiring engine waits for its last slots."""
FAILED_STARTS = 3
"""So many starts in a row that fail end the run: no page would be brought as it was asked for."""


@dataclass(frozen=True, slots=True)
class LightPoolParams:
    """`slots` are served by one engine; it is replaced after `pages`, or with more than `most_bytes`.

    `render_for` says how a URL is rendered, `why_unfit` why its page cannot be this engine's, empty if it can.
    """

    program: ProgramParams
    tab: LightTabParams
    render_for: Callable[[str], LightRenderParams]
    why_unfit: Callable[[str], str]
    recycle: RecycleParams = field(default_factory=RecycleParams)
    is_required: bool = True
    """Whether a run ends where no engine starts; else every page is a browser's then."""
    slots: int = 8
    pages: int = 5_000
    most_bytes: int = 512 * 2**20


class LightPool:
    """Owns the engines. `own` is called with each process that is started, `free` when it has ended."""

    def __init__(
        self,
        params: LightPoolParams,
        folder: Path,
        own: Callable[[int], None],
        free: Callable[[int], None],
        emit: Emit,
        clock: Clock,
    ) -> None:
        self.params = params
        self._folder = folder
        self._own = own
        self._free = free
        self._emit = emit
        self._clock = clock
        self._engines: list[LightEngine] = []
        self._ports: set[int] = set()
        self._starting = asyncio.Lock()
        self._number = self._failed = 0
        self.failure = ""
        """Why no engine is started any more, where none is required."""
        self._watch: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[Any]] = set()

    def slot(self, name: str, proxy_url: str) -> "LightSlot":
        """Add a slot that goes out by this port of the gateway."""
        endpoint = endpoint_of(proxy_url)
        self._ports.add(endpoint[2] if endpoint is not None else 0)
        return LightSlot(name, proxy_url, self, self._emit, self._clock)

    async def engine_for(self, slot: str) -> LightEngine:
        """Return an engine with room for this slot, which has it until `leave`.

        Raises BrowserUnavailable if none starts.
        """
        async with self._starting:
            for engine in list(self._engines):
                engine.check()
                if engine.lost.done():
                    self._remove(engine)
                is_open = not engine.lost.done() and not engine.is_retiring
                if is_open and len(engine.slots) < self.params.slots:
                    engine.slots.add(slot)
                    return engine
            engine = await self._start()
            engine.slots.add(slot)
            return engine

    async def _start(self) -> LightEngine:
        self._number += 1
        engine = LightEngine(self._number, self.params.program, self._folder, self._own, self._free)
        try:
            await engine.start(self._ports)
        except BrowserUnavailable as error:
            self._failed += 1
            if not self.params.is_required:
                self.failure = str(error) if self._failed >= FAILED_STARTS else ""
                log.warning("%s", error)
                raise SlotLost(FailureKind.CRASH, str(error), innocent=True) from error
            if self._failed < FAILED_STARTS and self._number > self._failed:
                raise SlotLost(FailureKind.CRASH, str(error), innocent=True) from error
            raise
        self._failed = 0
        self._engines.append(engine)
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_engines(), name="light engines")
        return engine

    # What the governor asks for.

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes of the engines, by their names."""
        return {engine.name: engine.pid for engine in self._engines}

    def reclaim(self, action: ReclaimAction) -> bool:
        """Replace the engine that an action names, between its pages or at once; False where it is another."""
        engine = next((one for one in self._engines if one.name == action.target), None)
        if engine is None:
            return False
        if action.measure is Measure.KILL:
            engine.is_explained = True
            engine.mark_lost(f"killed: {action.reason}")
        elif not engine.is_retiring:
            self._retire(engine)
        return True

    def _retire(self, engine: LightEngine) -> None:
        engine.is_retiring, engine.retiring_since = True, self._clock.monotonic()

    def leave(self, slot: str, engine: LightEngine) -> None:
        """Give the room back."""
        engine.slots.discard(slot)

    async def _watch_engines(self) -> None:
        """Look after the engines: remove the dead, and retire the worn."""
        while True:
            now = self._clock.monotonic()
            for engine in list(self._engines):
                engine.check()
                is_worn = engine.pages >= self.params.pages or engine.used_bytes > self.params.most_bytes
                if is_worn and not engine.is_retiring:
                    self._retire(engine)
                if engine.is_retiring and (not engine.slots or now - engine.retiring_since >= RETIRE_S):
                    engine.is_explained = True
                    engine.mark_lost("pages" if engine.pages >= self.params.pages else "memory")
                if engine.lost.done():
                    self._remove(engine)
            await asyncio.sleep(CHECK_EVERY_S)

    def _remove(self, engine: LightEngine) -> None:
        self._engines.remove(engine)
        now = self._clock.monotonic()
        reason = engine.lost.result()
        self._emit(Recycled(now, "engine", engine.name, reason, engine.took_ms, engine.used_bytes))
        self._spawn(engine.close())

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a light engine was not closed: %s", error, exc_info=error)

    async def idle(self) -> None:
        """Return when what is being closed is closed, at most after the deadlines of that."""
        await asyncio.gather(*self._background, return_exceptions=True)

    async def close(self) -> None:
        """End every engine; no process that was started is left."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        engines, self._engines = self._engines, []
        await asyncio.gather(*(engine.close() for engine in engines), return_exceptions=True)
        await self.idle()


class LightSlot:
    """Visits one URL at a time, in a tab that serves one site. Adapter of the port `CheapRenderer`."""

    def __init__(self, name: str, proxy_url: str, pool: LightPool, emit: Emit, clock: Clock) -> None:
        self.name = name
        self.tab: LightTab | None = None
        self._proxy_url = proxy_url
        self._pool = pool
        self._phases = SlotPhases(name, emit, clock)

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the leased URL; raises RenderError for what the site failed at, RendererUnfit for all else.

        Raises BrowserUnavailable if no engine starts.
        """
        task, params = lease.task, self._pool.params
        if self._pool.failure:
            raise RendererUnfit(FailureKind.CRASH, self._pool.failure, innocent=True)
        why = params.why_unfit(task.url)
        if why:
            raise RendererUnfit(FailureKind.CRASH, why)
        try:
            tab = await self._tab_for(task.site, task.url)
        except SlotLost as error:
            # Nothing of the page has been asked for.
            raise RendererUnfit(error.kind, error.detail, innocent=True) from error
        is_whole = False
        try:
            tab.served += 1
            tab.engine.pages += 1
            page = await visit_lightly(tab, task.url, params.render_for(task.url), self._phases, answered)
            # One that still goes on, to other documents say, would go on in the next visit.
            is_whole = page.settled
        except SlotLost as error:
            # What this engine fails at, and what ends it, says nothing about the page in a browser.
            tab.engine.check()
            innocent = tab.engine.lost.done() and tab.engine.excuse_page()
            raise RendererUnfit(error.kind, error.detail, innocent=innocent) from error
        except FarmError:
            is_whole = self.tab is not None and not self.tab.is_lost
            raise
        finally:
            if not is_whole:
                self.retire()
        return page

    async def _tab_for(self, site: str, url: str) -> LightTab:
        tab = self.tab
        if tab is not None:
            is_worn = reason_to_recycle(tab.served, tab.site, site, self._pool.params.recycle) is not None
            if not is_worn and not tab.is_lost and not tab.engine.is_retiring:
                tab.site = site
                return tab
            self.retire()
        self._phases.enter(Phase.STARTING, url)
        engine = await self._pool.engine_for(self.name)
        try:
            self.tab = await open_light_tab(engine, self._proxy_url, self._pool.params.tab, url)
        finally:
            if self.tab is None:
                self._pool.leave(self.name, engine)
        self.tab.site = site
        return self.tab

    def retire(self) -> None:
        """Close the tab: the next visit opens a new one."""
        tab, self.tab = self.tab, None
        if tab is not None:
            tab.close()
            self._pool.leave(self.name, tab.engine)
