"""The pool: engines that are replaced when they die, and the slots that live on them.

Engines are started when a slot first needs one and spread the slots evenly. A launch that fails is tried again
after a growing pause; a breaker ends that when no browser can live on this machine.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.browser.context import ContextSlot, SlotParams
from farm.browser.engine import Engine, EngineParams
from farm.browser.tab import Tab
from farm.model.clock import Clock
from farm.model.errors import BrowserUnavailable
from farm.model.event import Emit, Recycled
from farm.policy.breaker import Breaker, BreakerParams

CHECK_EVERY_S = 1.0
CHECK_DEADLINE_S = 3.0


@dataclass(frozen=True, slots=True)
class PoolParams:
    """`engines` browsers at the most."""

    engines: int
    breaker: BreakerParams = field(default_factory=BreakerParams)


class Pool:
    """Owns every engine and every tab that is on its way out; `own` is told each process that is started."""

    def __init__(
        self,
        params: PoolParams,
        engine: EngineParams,
        slot: SlotParams,
        folder: Path,
        own: Callable[[int], None],
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._params = params
        self._engine_params = engine
        self._slot_params = slot
        self._folder = folder
        self._own = own
        self._emit = emit
        self._clock = clock
        self._engines: list[Engine] = []
        self._slots: list[ContextSlot] = []
        self._breaker = Breaker()
        self._launching = asyncio.Lock()
        self._started = 0
        self._background: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    def slot(self, name: str, proxy_url: str) -> ContextSlot:
        """Add a slot whose contexts go out through `proxy_url`."""
        slot = ContextSlot(name, proxy_url, self, self._slot_params, self._emit, self._clock)
        self._slots.append(slot)
        return slot

    async def engine(self) -> Engine:
        """Return the living engine with the fewest tabs, after starting one while there may be more."""
        if len(self._living()) < self._wanted():
            async with self._launching:
                # Others may have started it while this one waited for its turn.
                if len(self._living()) < self._wanted():
                    await self._launch()
        tabs = {id(engine): 0 for engine in self._engines}
        for slot in self._slots:
            if slot.tab is not None and id(slot.tab.engine) in tabs:
                tabs[id(slot.tab.engine)] += 1
        living = self._living()
        if not living:
            raise BrowserUnavailable("The browser died as soon as it was started; run `farm doctor`.")
        return min(living, key=lambda engine: tabs[id(engine)])

    def _living(self) -> list[Engine]:
        return [engine for engine in self._engines if not engine.lost.done()]

    def _wanted(self) -> int:
        """Grow with the slots at work: the second engine starts when the first has its share."""
        per_engine = -(-len(self._slots) // self._params.engines)
        busy = 1 + sum(slot.tab is not None for slot in self._slots)
        return min(self._params.engines, -(-busy // max(1, per_engine)))

    async def _launch(self) -> None:
        """Start an engine; raises BrowserUnavailable once the breaker has opened."""
        while True:
            pause_s = self._breaker.pause_s(random.random(), self._params.breaker)  # noqa: S311
            await asyncio.sleep(pause_s)
            begun = self._clock.monotonic()
            self._started += 1
            engine = Engine(self._started, self._engine_params, self._folder, self._own)
            try:
                await engine.start()
            except BrowserUnavailable:
                self._breaker = self._breaker.after(success=False)
                if self._breaker.is_open(self._params.breaker):
                    raise
                continue
            self._breaker = self._breaker.after(success=True)
            self._engines.append(engine)
            if self._watch is None:
                self._watch = asyncio.create_task(self._watch_engines(), name="engine watch")
            took_ms = round((self._clock.monotonic() - begun) * 1000)
            if self._started > self._params.engines:
                self._emit(Recycled(self._clock.monotonic(), "engine", engine.name, "lost", took_ms))
            return

    async def _watch_engines(self) -> None:
        """Notice a dead driver, a dead browser or a hung one, and clear it away."""
        while True:
            await asyncio.gather(*(engine.check(CHECK_DEADLINE_S) for engine in self._living()))
            for engine in [engine for engine in self._engines if engine.lost.done()]:
                self._engines.remove(engine)
                self._spawn(engine.close())
            await asyncio.sleep(CHECK_EVERY_S)

    def discard(self, tab: Tab) -> None:
        """Close the tab in the background, so that its slot can go on at once."""
        self._spawn(tab.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Close every engine, and with it every tab; nothing that was started is left."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(engine.close() for engine in self._engines))
        self._engines.clear()
