"""How many slots may work, and which measures free memory: sample, decide, act.

The ramp, the memory budget, the processor and the number of contexts each give a limit; the smallest applies. The
policies (`admission`, `memory`) decide; this module is the loop around them. The same readings show how much each
measure freed, and other shortages: file descriptors, and disk space for the browsers. Each process of a node has a
governor, and a share of the budget.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from farm.model.clock import Clock
from farm.model.event import AdmissionSet, Emit, MemoryRead, Notice, ProcessorRead, Reclaimed
from farm.model.memory import MIB, Measure, MemoryReading, ReclaimAction
from farm.policy import memory
from farm.policy.admission import Admission, CpuParams, CpuState, admit, cpu_step, start_times
from farm.policy.memory import Band, MemoryParams
from farm.runtime.control import Control
from farm.runtime.ports import SlotPool

SAMPLE_EVERY_S = 0.25
TIGHT_EVERY_S = 0.1
WIDE, WIDE_EVERY_S = 0.4, 0.5
"""The interval of readings far below the budget: no page can reach it in between, since each is capped."""
EMPTY_EVERY_S = 2.0
"""The interval without an open context: nothing grows then."""
EMIT_EVERY_S = 1.0
"""The interval of events: readings are more frequent than the view needs."""
OBSERVE_S = {
    Measure.COLLECT: 1.0,
    Measure.RECYCLE: 10.0,
    Measure.SHED: 3.0,
    Measure.ENGINE: 60.0,
    Measure.KILL: 1.0,
}
"""After how many seconds the effect of a measure is reported; earlier if its target is gone."""
FILES_SHARE = 0.8
RECOVERED = 1.25


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
    """Sets the control's limit and makes the pool free memory.

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
        self._budget_bytes = params.budget_bytes
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

    def set_budget(self, budget_bytes: int) -> None:
        """Set the budget from the next reading on: the share of a process changes."""
        self._budget_bytes = budget_bytes

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
            is_wide = reading.used_bytes < WIDE * self._budget_bytes
            slack_s = WIDE_EVERY_S if self._pool.open_slots() else EMPTY_EVERY_S
            pause_s = TIGHT_EVERY_S if is_tight else slack_s if is_wide else SAMPLE_EVERY_S
            await asyncio.sleep(pause_s)
            self._follow_cpu(self._clock.monotonic() - now - pause_s)

    def _govern(self, reading: MemoryReading, now: float) -> None:
        """Decide on one reading and act."""
        budget = self._budget_bytes
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
        self._emit(ProcessorRead(now, busy))
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
        wanted = self._control.wanted
        admission = admit(
            {
                **self._others(),
                **({} if wanted is None else {"keys": wanted}),
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


@dataclass(frozen=True, slots=True)
class _Entry:
    action: ReclaimAction
    at: float
    before_bytes: int


class ReclaimTracker:
    """Follows every action and every reading; emits one `Reclaimed` for each action."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._open: list[_Entry] = []

    def record(self, action: ReclaimAction, reading: MemoryReading, now: float) -> None:
        """Note an action that was taken after this reading."""
        self._open.append(_Entry(action, now, _held(action, reading) or 0))

    def observe(self, reading: MemoryReading, now: float) -> None:
        """Emit the freed bytes of measures whose effect had time to show."""
        kept = []
        for entry in self._open:
            held = _held(entry.action, reading)
            if held is not None and now - entry.at < OBSERVE_S[entry.action.measure]:
                kept.append(entry)
                continue
            freed = max(0, entry.before_bytes - (held or 0))
            action = entry.action
            self._emit(Reclaimed(now, str(action.measure), action.target, action.reason, freed))
        self._open = kept


class ResourceWatch:
    """Warns of shortages of file descriptors and disk space, from the governor's readings.

    A shortage is reported once when it begins, and again only after it has ended.

    `files` is how many descriptors the process may open, 0 if unknown; `wanted` is how many bytes must
    be free, by folder. The extremes are for the summary.
    """

    def __init__(self, files: int, wanted: Mapping[str, int], emit: Emit) -> None:
        self._files = files
        self._wanted = wanted
        self._emit = emit
        self._short: set[str] = set()
        self.peak_files = 0
        self.least_free: dict[str, int] = {}

    def observe(self, reading: MemoryReading, now: float) -> None:
        """Process one reading, and report new shortages."""
        self.peak_files = max(self.peak_files, reading.fds)
        if self._files:
            short_by = reading.fds / (FILES_SHARE * self._files)
            text = f"{reading.fds} of {self._files} files are open; allow more with `ulimit -n`."
            self._judge("files", short_by, text, now)
        for folder, free in reading.free_bytes.items():
            self.least_free[folder] = min(free, self.least_free.get(folder, free))
            text = f"Only {free // MIB:,} MiB are free in {folder}; free some space there."
            self._judge(folder, self._wanted.get(folder, 0) / max(1, free), text, now)

    def summary(self) -> Mapping[str, object]:
        """Return the extremes: the most open files, and the least free bytes by folder."""
        return {
            "files_open": self.peak_files,
            "files_allowed": self._files,
            "least_free_bytes": dict(self.least_free),
        }

    def _judge(self, what: str, short_by: float, text: str, now: float) -> None:
        if short_by >= 1.0 and what not in self._short:
            self._short.add(what)
            self._emit(Notice(now, "warning", text))
        elif short_by * RECOVERED < 1.0:
            self._short.discard(what)


def _held(action: ReclaimAction, reading: MemoryReading) -> int | None:
    """Return the bytes that the target of the action holds; None if it is gone."""
    match action.measure:
        case Measure.SHED:
            return reading.used_bytes
        case Measure.ENGINE:
            return reading.engines.get(action.target)
        case Measure.RECYCLE | Measure.KILL if not action.pid:
            return reading.light.get(action.target)
        case _:
            return next((one.used_bytes for one in reading.renderers if one.pid == action.pid), None)


class MemoryShares:
    """Divides the memory budget among processes by their contexts, after subtracting the supervisor's own use.

    A process is given by the function that sets its budget, and its number of contexts. `own_bytes` returns the
    supervisor's use, its private Redis included; `told` receives it.
    """

    EVERY_S = 2.0
    STEP = 0.01
    """A share is sent again when it has changed by more than this part of the budget."""

    def __init__(
        self,
        budget_bytes: int,
        processes: Sequence[tuple[Callable[[int], None], int]],
        own_bytes: Callable[[], int],
        told: Callable[[int], None],
    ) -> None:
        self._budget_bytes = budget_bytes
        self._processes = processes
        self._own_bytes = own_bytes
        self._told = told
        self._shared_bytes = -budget_bytes

    def share(self) -> None:
        """Measure the supervisor's use, and send each process its share if that has changed."""
        own = self._own_bytes()
        self._told(own)
        left = max(0, self._budget_bytes - own)
        if abs(left - self._shared_bytes) <= self.STEP * self._budget_bytes:
            return
        self._shared_bytes = left
        contexts = sum(number for _, number in self._processes)
        for set_budget, number in self._processes:
            set_budget(left * number // contexts)

    async def run(self) -> None:
        """Share until cancelled."""
        while True:
            self.share()
            await asyncio.sleep(self.EVERY_S)
