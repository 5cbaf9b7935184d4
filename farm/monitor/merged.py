"""Merges the events of a node's processes: slots by process, memory and flow summed.

`fold` processes the events of a process. Used on the event loop.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from farm.model.event import (
    AdmissionSet,
    Emit,
    Event,
    FlowRead,
    LoopLagRead,
    MemoryRead,
    PageDone,
    Phase,
    Recycled,
    SlotPhase,
    VisitFailed,
)
from farm.monitor.outcomes import RunTotals
from farm.policy.capacity import Flow, together

OWN = 0
"""Instead of a process's number: the supervisor itself."""


class MergedEvents:
    """Passes events on to `emit`, as those of a node with this memory budget, in bytes."""

    def __init__(self, emit: Emit, budget_bytes: int, now: Callable[[], float]) -> None:
        self._emit = emit
        self._budget_bytes = budget_bytes
        self._now = now
        self._memory: dict[int, MemoryRead] = {}
        self._flows: dict[int, FlowRead] = {}
        self._lags: dict[int, LoopLagRead] = {}
        self._admissions: dict[int, AdmissionSet] = {}
        self._slots: dict[int, set[str]] = {}
        self._totals = RunTotals()

    def fold(self, process: int, events: Sequence[Event]) -> None:
        """Process the events of a process."""
        for event in events:
            match event:
                case SlotPhase() | PageDone() | VisitFailed():
                    slot = f"{process}/{event.slot}"
                    self._slots.setdefault(process, set()).add(slot)
                    self._emit(replace(event, slot=slot))
                case Recycled():
                    self._emit(replace(event, name=f"{process}/{event.name}"))
                case MemoryRead():
                    self._memory[process] = event
                    self._emit(self._memory_together(event.at))
                case FlowRead():
                    self._flows[process] = event
                    flow = together(
                        Flow(one.per_s, one.took_s, one.under_way) for one in self._flows.values()
                    )
                    self._emit(FlowRead(event.at, flow.per_s, flow.took_s, flow.under_way))
                case LoopLagRead():
                    self._note_lag(process, event)
                case AdmissionSet():
                    self._admissions[process] = event
                    self._emit(self._admitted(event.at))
                case _:
                    self._emit(event)

    def tell_lag(self, event: Event) -> None:
        """Add the delays of the supervisor's own loop."""
        if isinstance(event, LoopLagRead):
            self._note_lag(OWN, event)

    def tell_own_memory(self, used_bytes: int) -> None:
        """Set the memory of the supervisor itself, its private Redis included, in bytes."""
        self._memory[OWN] = MemoryRead(self._now(), used_bytes, self._budget_bytes, 1)

    def ended(self, process: int, totals: Any | None) -> None:
        """Note that a process has ended: its resources are free, and its counts are kept, if it sent them."""
        now = self._now()
        for slot in self._slots.pop(process, ()):
            self._emit(SlotPhase(now, slot, Phase.STOPPED))
        for readings in (self._memory, self._flows, self._lags, self._admissions):
            readings.pop(process, None)
        if isinstance(totals, RunTotals):
            self._totals = summed(self._totals, totals)

    def totals(self) -> RunTotals:
        """Return the counts of the processes that ended normally."""
        return self._totals

    def _memory_together(self, at: float) -> MemoryRead:
        readings = self._memory.values()
        return MemoryRead(
            at,
            sum(one.used_bytes for one in readings),
            self._budget_bytes,
            sum(one.processes for one in readings),
            sum(one.attributed_bytes for one in readings),
            sum(one.meter_cpu_s for one in readings),
        )

    def _note_lag(self, process: int, event: LoopLagRead) -> None:
        self._lags[process] = event
        lags = self._lags.values()
        self._emit(
            LoopLagRead(
                event.at,
                max(one.recent_s for one in lags),
                max(one.p99_s for one in lags),
                max(one.longest_s for one in lags),
            )
        )

    def _admitted(self, at: float) -> AdmissionSet:
        """Return how many slots of all processes may work, and the smallest limit besides their number."""
        admissions = self._admissions.values()
        binding = next((one.binding for one in admissions if one.binding != "contexts"), "contexts")
        return AdmissionSet(at, sum(one.limit for one in admissions), binding)


def summed(one: RunTotals, other: RunTotals) -> RunTotals:
    """Return the sums of two processes' counts; extremes are the worse ones.

    Of the throttling answers of a site each process counts those of the whole crawl.
    """
    return RunTotals(
        _worse(one.resources, other.resources),
        one.duplicate_content + other.duplicate_content,
        dict(Counter(one.throttled) | Counter(other.throttled)),
        {
            site: max(one.unvisited_routes.get(site, 0), other.unvisited_routes.get(site, 0))
            for site in {*one.unvisited_routes, *other.unvisited_routes}
        },
    )


def _worse(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the most open files of any process, and the least free bytes by folder."""
    if not one or not other:
        return one or other
    free = dict(one["least_free_bytes"])
    for folder, least in other["least_free_bytes"].items():
        free[folder] = min(least, free.get(folder, least))
    return {
        "files_open": max(one["files_open"], other["files_open"]),
        "files_allowed": one["files_allowed"],
        "least_free_bytes": free,
    }
