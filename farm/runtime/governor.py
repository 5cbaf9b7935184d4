"""How many slots may work: sample, decide, act.

The ramp, the memory budget and the number of contexts each give a limit; the smallest is admitted. The decisions
are policies' (`ramp`, `memory`, `admission`); here is only the loop around them.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from farm.model.clock import Clock
from farm.model.event import AdmissionSet, Emit, MemoryRead
from farm.policy import memory, ramp
from farm.policy.admission import Admission, admit
from farm.runtime.control import Control

SAMPLE_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class GovernorParams:
    """`budget_bytes` for the whole process tree; the ramp spreads the start of the contexts."""

    contexts: int
    ramp_s: float
    budget_bytes: int
    memory: memory.MemoryParams


class Governor:
    """Sets the control's limit. `sample` returns the bytes used and the number of processes; it may block.

    `others` are limits that somebody else knows of.
    """

    def __init__(
        self,
        params: GovernorParams,
        sample: Callable[[], tuple[int, int]],
        control: Control,
        emit: Emit,
        clock: Clock,
        others: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._params = params
        self._sample = sample
        self._control = control
        self._emit = emit
        self._clock = clock
        self._others = others
        self._memory = memory.MemoryState(params.contexts)
        self._admitted: Admission | None = None
        self._ramp = 1
        self.peak_bytes = 0

    async def run(self) -> None:
        """Follow the ramp and the budget until cancelled."""
        begun = self._clock.monotonic()
        jitters = [random.random() for _ in range(self._params.contexts)]  # noqa: S311
        starts = ramp.start_times(self._params.contexts, self._params.ramp_s, jitters)
        sampling = asyncio.create_task(self._sample_for_ever(), name="memory")
        try:
            for start in starts:
                await asyncio.sleep(max(0.0, begun + start - self._clock.monotonic()))
                self._ramp = sum(1 for other in starts if begun + other <= self._clock.monotonic())
                self._act()
            await sampling
        finally:
            sampling.cancel()

    async def _sample_for_ever(self) -> None:
        while True:
            used, processes = await asyncio.to_thread(self._sample)
            self.peak_bytes = max(self.peak_bytes, used)
            now = self._clock.monotonic()
            self._emit(MemoryRead(now, used, self._params.budget_bytes, processes))
            self._memory = memory.step(
                self._memory,
                used,
                self._params.budget_bytes,
                self._control.limit,
                self._params.contexts,
                self._params.memory,
            )
            self._act()
            await asyncio.sleep(SAMPLE_EVERY_S)

    def _act(self) -> None:
        admission = admit(
            {
                **self._others(),
                "contexts": self._params.contexts,
                "memory": self._memory.limit,
                "ramp": self._ramp,
            }
        )
        if admission != self._admitted:
            self._admitted = admission
            self._control.admit(admission.limit)
            self._emit(AdmissionSet(self._clock.monotonic(), admission.limit, admission.binding))
