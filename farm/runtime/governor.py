"""How many slots may work, and which measures give memory back: sample, decide, act.

The ramp, the memory budget, the processor and the number of contexts each give a limit; the smallest is admitted.
The policies (`admission`, `stagger`, `memory`) decide; here is the loop around them. The reclaim tracker follows
what each measure freed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from farm.model.clock import Clock
from farm.model.event import AdmissionSet, Emit, MemoryRead
from farm.model.memory import MemoryReading
from farm.policy import memory
from farm.policy.admission import Admission, CpuParams, CpuState, admit, cpu_step
from farm.policy.memory import Band, MemoryParams
from farm.policy.stagger import start_times
from farm.runtime.control import Control
from farm.runtime.ports import SlotPool
from farm.runtime.resource_watch import ReclaimTracker, ResourceWatch

SAMPLE_EVERY_S = 0.25
TIGHT_EVERY_S = 0.1
WIDE, WIDE_EVERY_S = 0.4, 0.5
"""Far below the budget no page can reach it between two readings, since each is capped."""
EMPTY_EVERY_S = 2.0
"""Without an open context nothing grows."""
EMIT_EVERY_S = 1.0
"""Readings are more frequent than a view needs."""


@dataclass(frozen=True, slots=True)
class GovernorParams:
    """`budget_bytes` for the whole process tree; the ramp spreads the start of the contexts.

    `fds` is how many files the process may open, `free_bytes` how much must be free in each folder.
    `first_contexts` is where an automatic number starts from.
    """

    contexts: int
    ramp_s: float
    budget_bytes: int
    memory: MemoryParams = field(default_factory=MemoryParams)
    processor: CpuParams = field(default_factory=CpuParams)
    first_contexts: int | None = None
    fds: int = 0
    free_bytes: Mapping[str, int] = field(default_factory=dict)


class Governor:
    """Sets the control's limit and has the pool give memory back.

    `sample` reads the memory, off the event loop; `busy_share` returns how busy the machine's processor was since
    the last call, in [0, 1]; `others` are further limits, by name.
    """

    def __init__(
        self,
        params: GovernorParams,
        sample: Callable[[], Awaitable[MemoryReading]],
        busy_share: Callable[[], float],
        pool: SlotPool,
        control: Control,
        emit: Emit,
        clock: Clock,
        others: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._params = params
        self._sample = sample
        self._busy_share = busy_share
        self._pool = pool
        self._control = control
        self._emit = emit
        self._clock = clock
        self._others = others
        self._memory = memory.MemoryState(params.contexts)
        self._cpu = CpuState(min(params.contexts, params.first_contexts or params.contexts))
        self._tracker = ReclaimTracker(emit)
        self._admitted: Admission | None = None
        self._ramp = 1
        self._emitted_at = float("-inf")
        self.resources = ResourceWatch(params.fds, params.free_bytes, emit)
        self.peak_bytes = 0

    async def run(self) -> None:
        """Follow the ramp, the budget and the processor until cancelled."""
        begun = self._clock.monotonic()
        jitters = [random.random() for _ in range(self._params.contexts)]  # noqa: S311
        starts = start_times(self._params.contexts, self._params.ramp_s, jitters)
        sampling = asyncio.create_task(self._sample_until_cancelled(), name="memory")
        try:
            for started, start in enumerate(starts, 1):
                await asyncio.sleep(max(0.0, begun + start - self._clock.monotonic()))
                due = sum(begun + other <= self._clock.monotonic() for other in starts)
                # By the clock alone, a timer that fires early would never start the last slot.
                self._ramp = max(started, due)
                self._act()
            await sampling
        finally:
            sampling.cancel()

    async def _sample_until_cancelled(self) -> None:
        while True:
            reading = await self._sample()
            now = self._clock.monotonic()
            self._govern(reading, now)
            is_tight = self._memory.band >= Band.COLLECT
            is_wide = reading.used_bytes < WIDE * self._params.budget_bytes
            slack_s = WIDE_EVERY_S if self._pool.open_slots() else EMPTY_EVERY_S
            pause_s = TIGHT_EVERY_S if is_tight else slack_s if is_wide else SAMPLE_EVERY_S
            await asyncio.sleep(pause_s)
            self._follow_cpu(self._clock.monotonic() - now - pause_s)

    def _govern(self, reading: MemoryReading, now: float) -> None:
        """Decide on one reading and act."""
        budget = self._params.budget_bytes
        is_peak = reading.used_bytes > self.peak_bytes
        self.peak_bytes = max(self.peak_bytes, reading.used_bytes)
        if is_peak or now - self._emitted_at >= EMIT_EVERY_S:
            self._emitted_at = now
            self._emit(
                MemoryRead(
                    now,
                    reading.used_bytes,
                    budget,
                    reading.processes,
                    reading.attributed_bytes,
                    reading.cpu_s,
                )
            )
        self._tracker.observe(reading, now)
        self._memory = memory.step(
            self._memory,
            reading,
            budget,
            self._pool.open_slots(),
            self._params.contexts,
            now,
            self._params.memory,
        )
        self._pool.note(reading, has_spare_memory=self._memory.band < Band.STOP)
        for action in self._memory.actions:
            self._tracker.record(action, reading, now)
            self._pool.reclaim(action)
        if self._memory.shed is not None:
            self._tracker.record(self._memory.shed, reading, now)
        self.resources.observe(reading, now)
        self._act()

    def _follow_cpu(self, lag_s: float) -> None:
        now = self._clock.monotonic()
        if now - self._cpu.moved_at < self._params.processor.every_s:
            return
        busy = self._busy_share()
        self._cpu = cpu_step(
            self._cpu,
            busy,
            lag_s,
            self._pool.open_slots(),
            self._params.contexts,
            now,
            self._params.processor,
        )
        self._act()

    def _act(self) -> None:
        admission = admit(
            {
                **self._others(),
                "contexts": self._params.contexts,
                "memory": self._memory.limit,
                "ramp": self._ramp,
                "cpu": self._cpu.limit,
            }
        )
        if admission != self._admitted:
            self._admitted = admission
            self._control.admit(admission.limit)
            self._emit(AdmissionSet(self._clock.monotonic(), admission.limit, admission.binding))
