"""The pool: the slots, and the engines that they run on, replaced when they die or wear out.

Engines start when a slot first needs one; tabs are spread evenly over them. A failed launch, or an engine that
dies before it has rendered a page, lengthens the pause before the next launch; a circuit breaker stops the
launches if no browser can run on this machine.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Error

from farm.browser.context import ContextSlot, SlotParams
from farm.browser.engine import Engine, EngineParams
from farm.browser.pictures import glance
from farm.browser.reclaim import CpuDeprioritizer, carry_out
from farm.browser.tab import Tab, open_tab
from farm.model.clock import Clock
from farm.model.errors import BrowserUnavailable, FarmError, SlotLost
from farm.model.event import Emit, Recycled
from farm.model.memory import MemoryReading, ReclaimAction
from farm.policy.admission import LaunchSpacing, reserve
from farm.policy.retry import Breaker, BreakerParams
from farm.resources.memory import ProcessInventory

log = logging.getLogger("farm.browser")
CHECK_EVERY_S = 1.0
CHECK_DEADLINE_S = 3.0
RETIRE_S = 120.0
"""How long a retiring engine waits for its last contexts."""
GLANCE_DEADLINE_S = 3.5
"""The frames of a picture may wait for those of another."""
EXCUSED_CRASHES = 2
EXCUSED_URLS = 1000


@dataclass(frozen=True, slots=True)
class PoolParams:
    """At most `engines` browsers run; tabs that were lost together reopen `open_every_s` apart.

    An engine is replaced after `engine_age_s`, because some memory is freed only by its end.
    """

    engines: int
    breaker: BreakerParams = field(default_factory=BreakerParams)
    open_every_s: float = 0.0
    cap_bytes: int = 0
    engine_age_s: float = 6 * 3600.0


class Pool:
    """Owns the engines, and the tabs that are being closed.

    `own` is called with each process that is started, `free` with each that has ended.
    """

    def __init__(
        self,
        params: PoolParams,
        engine: EngineParams,
        slot: SlotParams,
        folder: Path,
        own: Callable[[int], None],
        free: Callable[[int], None],
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._params = params
        self._engine_params = engine
        self._slot_params = slot
        self._folder = folder
        self._own = own
        self._free = free
        self._emit = emit
        self._clock = clock
        self._engines: list[Engine] = []
        self._slots: dict[str, ContextSlot] = {}
        self._breaker = Breaker()
        self._launching = asyncio.Lock()
        self._started = 0
        self._user_agent = ""
        self._opening = 0
        self._pace = LaunchSpacing()
        self._deprioritizer = CpuDeprioritizer()
        self._crashes: OrderedDict[str, int] = OrderedDict()
        self._background: set[asyncio.Task[Any]] = set()
        self._openings: set[asyncio.Task[Tab]] = set()
        self._watch: asyncio.Task[None] | None = None
        self.has_spare_memory = True

    @property
    def user_agent(self) -> str:
        """The user agent of the engines without what contexts add to it; empty until one has been started."""
        return self._user_agent

    def slot(self, name: str, proxy_url: str) -> ContextSlot:
        """Add a slot whose contexts use the proxy `proxy_url`."""
        slot = ContextSlot(name, proxy_url, self, self._slot_params, self._emit, self._clock)
        self._slots[name] = slot
        return slot

    async def glance(self, name: str) -> bytes | None:
        """Return a picture of what a slot shows at this moment, as JPEG; None if it shows none in time."""
        slot = self._slots.get(name)
        tab = slot.tab if slot is not None else None
        if tab is None or tab.lost:
            return None
        try:
            async with asyncio.timeout(GLANCE_DEADLINE_S):
                return await glance(tab)
        except (Error, SlotLost, TimeoutError) as error:
            log.debug("%s: no picture of what it shows: %s", name, error)
            return None

    # Called by slots.

    def open(self, proxy_url: str, *, paced: bool) -> asyncio.Task[Tab]:
        """Open a tab on a live engine, spaced from others if `paced`."""
        opening = self._spawn(self._open(proxy_url, paced=paced))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)
        return opening

    async def _open(self, proxy_url: str, *, paced: bool) -> Tab:
        engine = await self.engine()
        if paced:
            # Only now: slots that waited for the same engine must not all open at once when it is up.
            jitter = random.random()  # noqa: S311
            now = self._clock.monotonic()
            self._pace, wait_s = reserve(self._pace, now, self._params.open_every_s, jitter)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                engine = await self.engine()
        self._opening += 1
        try:
            with engine.opens_tab():
                return await open_tab(engine, proxy_url, self._slot_params.tab, self._params.cap_bytes)
        finally:
            self._opening -= 1

    def discard(self, tab: Tab) -> None:
        """Close the tab in the background, so that its slot can continue at once."""
        self._spawn(tab.close())

    def excuse_crash(self, url: str) -> bool:
        """Count the death of an engine during a visit to this URL; return True if the URL is still excused."""
        times = self._crashes.pop(url, 0) + 1
        self._crashes[url] = times
        if len(self._crashes) > EXCUSED_URLS:
            self._crashes.popitem(last=False)
        return times <= EXCUSED_CRASHES

    def paces_ms(self) -> Sequence[float]:
        """Return the median navigation time of each slot's context, in ms."""
        return [pace for slot in self._slots.values() if (pace := slot.usage.pace_ms) is not None]

    # What the governor asks for.

    def open_slots(self) -> int:
        """Return the number of contexts, including those that are being opened."""
        return sum(slot.tab is not None for slot in self._slots.values()) + self._opening

    def inventory(self) -> ProcessInventory:
        """Return the processes of the engines, and which tab each renderer has."""
        tabs = {slot.tab.pid: slot.name for slot in self._slots.values() if slot.tab and slot.tab.pid}
        return ProcessInventory({engine.name: engine.pids for engine in self._engines}, tabs)

    def note(self, reading: MemoryReading, *, has_spare_memory: bool) -> None:
        """Pass a reading on to the slots and engines."""
        self.has_spare_memory = has_spare_memory
        for engine in self._engines:
            engine.measured(reading.engines.get(engine.name, engine.used_bytes))
        for one in reading.renderers:
            if one.slot in self._slots:
                self._slots[one.slot].measured(one.used_bytes)

    def reclaim(self, action: ReclaimAction) -> None:
        """Carry the action out in the background."""
        self._spawn(carry_out(action, self._slots, self._engines, self._clock.monotonic()))

    # Engines.

    async def engine(self) -> Engine:
        """Return the live engine with the fewest tabs; start engines while more are wanted."""
        while len(self._living()) < self._wanted():
            async with self._launching:
                # Another task may have started it while this one waited for the lock.
                if len(self._living()) < self._wanted():
                    await self._launch()
            if self._living():
                break
            # It died at once: the watch counts that, and the breaker ends the loop.
            await asyncio.sleep(CHECK_EVERY_S)
        living = self._living()
        return min(living, key=lambda engine: self._tabs_on(engine) + engine.opening)

    def _tabs_on(self, engine: Engine) -> int:
        return sum(slot.tab is not None and slot.tab.engine is engine for slot in self._slots.values())

    def _living(self) -> list[Engine]:
        return [engine for engine in self._engines if not engine.lost.done() and not engine.retiring]

    def _wanted(self) -> int:
        """Return how many engines the busy slots need: the second starts when the first has its share."""
        per_engine = -(-len(self._slots) // self._params.engines)
        busy = 1 + sum(slot.tab is not None for slot in self._slots.values()) + self._opening
        return min(self._params.engines, -(-busy // max(1, per_engine)))

    async def _launch(self) -> None:
        """Start an engine; raises BrowserUnavailable when the breaker is open."""
        while True:
            self._check_breaker()
            pause_s = self._breaker.pause_s(random.random(), self._params.breaker)  # noqa: S311
            await asyncio.sleep(pause_s)
            begun = self._clock.monotonic()
            self._started += 1
            engine = Engine(self._started, self._engine_params, self._folder, self._own, self._free)
            try:
                await engine.start()
            except BrowserUnavailable:
                self._breaker = self._breaker.after(success=False)
                if self._breaker.is_open(self._params.breaker):
                    raise
                continue
            engine.started(begun, self._clock.monotonic())
            self._engines.append(engine)
            self._user_agent = engine.user_agent
            if self._watch is None:
                self._watch = asyncio.create_task(self._watch_engines(), name="engine watch")
            return

    def _check_breaker(self) -> None:
        if self._breaker.is_open(self._params.breaker):
            raise BrowserUnavailable(
                f"The browser does not stay up: {self._breaker.failed} starts in a row failed; "
                "run `farm doctor`."
            )

    async def _watch_engines(self) -> None:
        """Check the engines: remove dead and hung ones, and retire old ones."""
        while True:
            await asyncio.gather(*(engine.check(CHECK_DEADLINE_S) for engine in self._engines))
            now = self._clock.monotonic()
            self._deprioritizer.check(self._slots.values(), now)
            if any(engine.proven for engine in self._living()):
                self._breaker = self._breaker.after(success=True)
            for engine in list(self._engines):
                if now - engine.started_at >= self._params.engine_age_s and not engine.retiring:
                    engine.retire(now)
                if engine.retiring and (
                    self._tabs_on(engine) + engine.opening == 0 or now - engine.retiring_since >= RETIRE_S
                ):
                    engine.mark_lost("replaced")
                if engine.lost.done():
                    self._remove(engine)
            await asyncio.sleep(CHECK_EVERY_S)

    def _remove(self, engine: Engine) -> None:
        """Remove a dead engine; if it died before its first page, it counts as a failed launch."""
        self._engines.remove(engine)
        now = self._clock.monotonic()
        self._emit(
            Recycled(now, "engine", engine.name, engine.lost.result(), engine.took_ms, engine.used_bytes)
        )
        self._spawn(engine.close())
        if not engine.proven and not engine.retiring:
            self._breaker = self._breaker.after(success=False)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if task.cancelled():
            return
        # A waiting slot gets the failure; an opening that no slot waits for any more needs no report.
        error = task.exception()
        if error is not None and not isinstance(error, FarmError):
            log.error("a background task of the pool failed: %s", error, exc_info=error)

    async def close(self) -> None:
        """Close every engine and tab; no process that was started is left."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for opening in self._openings:
            opening.cancel()
        for engine in self._engines:
            # So that nothing waits for its contexts to close.
            engine.mark_lost("closed")
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(engine.close() for engine in self._engines))
        self._engines.clear()
