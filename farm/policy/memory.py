"""The memory governor's decisions: the band, how many slots may work, and which measures to take.

Bands are shares of the budget. A band is entered at its threshold and left `gap` below it (hysteresis), so that a
reading near a threshold does not switch back and forth; after each measure there is a pause in which its effect
can show. From the mildest to the last:

    grow -> hold -> collect -> stop -> recycle -> shed -> engine -> kill

A slot is admitted only while the memory of one page (a running 90th percentile) is free below `hold`. What always
holds: at least one slot may work, because a budget that a single page exceeds must slow a crawl and not stop it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import ceil

from farm.model.memory import MIB, Measure, MemoryReading, ReclaimAction, RendererUse, over_cap

_REMEMBERED = 256
DoneAt = Mapping[tuple[Measure, str], float]
"""When a measure was last taken, by target; the empty target stands for any."""


class Band(IntEnum):
    """How tight memory is."""

    GROW = 0
    HOLD = 1
    COLLECT = 2
    STOP = 3
    RECYCLE = 4
    SHED = 5
    ENGINE = 6
    KILL = 7


@dataclass(frozen=True, slots=True)
class MemoryParams:
    """Shares of the budget at which bands begin, and the measures' pauses in seconds.

    `renderer_cap_bytes` is the maximum of any renderer in any band. `grow_every_s` is the interval at which
    slots are given back.
    """

    hold: float = 0.76
    collect: float = 0.78
    stop: float = 0.82
    recycle: float = 0.86
    shed: float = 0.90
    engine: float = 0.93
    kill: float = 0.96
    gap: float = 0.03
    page_bytes: int = 64 * MIB
    renderer_cap_bytes: int = 1024 * MIB
    grow_every_s: float = 0.25
    collect_every_s: float = 1.0
    collect_again_s: float = 5.0
    collect_at_once: int = 4
    recycle_every_s: float = 1.0
    recycle_again_s: float = 10.0
    recycle_from: float = 1.25
    """A context may be recycled from so many times the median on, or from twice the memory of a page."""
    recycle_part: int = 6
    """At most one in this many contexts is recycled at once."""
    shed_every_s: float = 1.5
    engine_every_s: float = 60.0
    engine_worn: float = 1.6
    """An engine is replaced when it holds so many times the memory of the smallest one."""
    light_bytes: int = 96 * MIB
    """A light engine with less has little to give back: a fresh one takes half of it with eight pages."""
    kill_again_s: float = 1.0

    def thresholds(self) -> tuple[float, ...]:
        """Where each band begins, in the order of `Band`."""
        return (0.0, self.hold, self.collect, self.stop, self.recycle, self.shed, self.engine, self.kill)


@dataclass(frozen=True, slots=True)
class MemoryState:
    """`limit` slots may work; `actions` are the measures that the pool takes after the last reading.

    `shed` is set where the limit was lowered after it, for the tracker of what each measure frees.
    """

    limit: int
    band: Band = Band.GROW
    page_bytes: float = 0.0
    actions: tuple[ReclaimAction, ...] = ()
    shed: ReclaimAction | None = None
    grown_at: float = float("-inf")
    done_at: Mapping[tuple[Measure, str], float] = field(default_factory=dict)
    """When a measure was last taken, by target; the empty target stands for any."""

    def last(self, measure: Measure, target: str = "") -> float:
        """Return when the measure was last taken."""
        return self.done_at.get((measure, target), float("-inf"))


def step(
    state: MemoryState,
    reading: MemoryReading,
    budget_bytes: int,
    open_slots: int,
    slots: int,
    now: float,
    params: MemoryParams,
) -> MemoryState:
    """Return the next state after a reading; `open_slots` have a context now, `slots` is their maximum."""
    share = max(reading.used_bytes / budget_bytes, reading.limit_share)
    band = _band(state.band, share, params)
    contexts = [one for one in reading.renderers if one.slot]
    page_bytes = _page_bytes(state.page_bytes or params.page_bytes, contexts)
    actions = _plan(state.done_at, reading, budget_bytes, share, band, now, params)
    limit, grown_at, shed = state.limit, state.grown_at, None
    if band is Band.GROW:
        room_bytes = (params.hold - share) * budget_bytes
        wanted = min(slots, max(1, open_slots, len(contexts) + int(room_bytes // page_bytes)))
        if wanted > limit and now - grown_at >= params.grow_every_s:
            limit, grown_at = limit + 1, now
        # The memory of a page is an estimate that moves: a small change must not take a slot away.
        if wanted < limit - slots // 10:
            limit = wanted
    elif band >= Band.SHED and now - state.last(Measure.SHED) >= params.shed_every_s:
        limit = max(1, min(limit, open_slots))
        excess_bytes = (share - params.recycle) * budget_bytes
        slots_taken = min(ceil(excess_bytes / page_bytes), max(1, limit // 4), limit - 1)
        if slots_taken > 0:
            limit -= slots_taken
            shed = ReclaimAction(
                Measure.SHED, "", f"{share:.0%} of the budget", int(slots_taken * page_bytes)
            )
    elif band >= Band.STOP:
        limit = max(1, min(limit, open_slots))
    taken = actions if shed is None else (*actions, shed)
    return MemoryState(limit, band, page_bytes, actions, shed, grown_at, _noted(state.done_at, taken, now))


def _band(before: Band, share: float, params: MemoryParams) -> Band:
    thresholds = params.thresholds()
    reached = max(band for band in Band if share >= thresholds[band])
    kept = max(band for band in Band if band is Band.GROW or share >= thresholds[band] - params.gap)
    return max(reached, min(before, kept))


def _page_bytes(before: float, contexts: list[RendererUse]) -> float:
    """Return the 90th percentile of the contexts' memory, smoothed: one large page must not set it."""
    if not contexts:
        return before
    ordered = sorted(one.used_bytes for one in contexts)
    seen = ordered[(len(ordered) - 1) * 9 // 10]
    return before + (seen - before) * (0.05 if seen > before else 0.02)


def _noted(
    done_at: Mapping[tuple[Measure, str], float], actions: tuple[ReclaimAction, ...], now: float
) -> dict[tuple[Measure, str], float]:
    """Return when each measure was last taken, without the oldest entries."""
    kept = dict(done_at)
    for action in actions:
        target = str(action.pid) if action.measure is Measure.KILL and action.pid else action.target
        kept[action.measure, ""] = kept[action.measure, target] = now
    if len(kept) > _REMEMBERED:
        newest = sorted(kept, key=lambda key: -kept[key])[: _REMEMBERED // 2]
        kept = {key: kept[key] for key in newest}
    return kept


@dataclass(frozen=True, slots=True)
class _Case:
    done_at: DoneAt
    now: float
    why: str
    params: MemoryParams

    def ready(self, measure: Measure, every_s: float, target: str = "") -> bool:
        return self.now - self.done_at.get((measure, target), float("-inf")) >= every_s


def _plan(
    done_at: DoneAt,
    reading: MemoryReading,
    budget_bytes: int,
    share: float,
    band: Band,
    now: float,
    params: MemoryParams,
) -> tuple[ReclaimAction, ...]:
    """Return the measures to take after this reading; the caller takes slots away."""
    case = _Case(done_at, now, f"{share:.0%} of the budget", params)
    largest = sorted(reading.renderers, key=lambda one: -one.used_bytes)
    actions = _kills(case, largest, (share - params.kill) * budget_bytes if band is Band.KILL else -1.0)
    killed = {action.pid for action in actions}
    contexts = [one for one in largest if one.slot and one.pid not in killed]
    if band >= Band.ENGINE:
        actions += _largest_engine(case, reading.engines)
    actions += _of_light(case, reading.light, is_tight=band >= Band.RECYCLE)
    actions += _half_of_cap(case, contexts)
    if band >= Band.RECYCLE:
        actions += _largest_contexts(case, contexts, (share - params.stop) * budget_bytes)
    if band >= Band.COLLECT:
        actions += _collections(case, contexts)
    return tuple(actions)


def _kills(case: _Case, largest: list[RendererUse], excess_bytes: float) -> list[ReclaimAction]:
    """Kill the renderers over the cap, and the largest until the rest is below the band."""
    actions = []
    cap_bytes = case.params.renderer_cap_bytes
    for one in largest:
        is_over = one.used_bytes > cap_bytes
        if not case.ready(Measure.KILL, case.params.kill_again_s, str(one.pid)):
            # A killed renderer is still counted for a moment: no other one must die for it.
            excess_bytes -= one.used_bytes
        elif is_over or (excess_bytes >= 0 and len(largest) > 1):
            # A single page may use all of the budget: killing it over and over would be no crawl.
            reason = over_cap(cap_bytes) if is_over else case.why
            actions.append(ReclaimAction(Measure.KILL, one.slot, reason, one.used_bytes, one.pid))
            excess_bytes -= one.used_bytes
    return actions


def _largest_engine(case: _Case, engines: Mapping[str, int]) -> list[ReclaimAction]:
    if len(engines) < 2 or not case.ready(Measure.ENGINE, case.params.engine_every_s):  # noqa: PLR2004
        return []
    worst = max(engines, key=lambda name: engines[name])
    if engines[worst] < case.params.engine_worn * min(engines.values()):
        return []
    return [ReclaimAction(Measure.ENGINE, worst, case.why, engines[worst])]


def _of_light(case: _Case, light: Mapping[str, int], *, is_tight: bool) -> list[ReclaimAction]:
    """Kill the light engines over the cap; where memory is tight, replace the largest one between its pages.

    None is killed only for its size among others: its slots' pages would be the browser's, and take more.
    """
    params, actions = case.params, list[ReclaimAction]()
    for name, used_bytes in light.items():
        if used_bytes > params.renderer_cap_bytes and case.ready(Measure.KILL, params.kill_again_s, name):
            reason = over_cap(params.renderer_cap_bytes)
            actions.append(ReclaimAction(Measure.KILL, name, reason, used_bytes))
    largest = max(light, key=lambda name: light[name], default="")
    if is_tight and not actions and largest and light[largest] >= params.light_bytes:
        # The one that was asked for last may still serve a page.
        ready = case.ready(Measure.RECYCLE, params.recycle_again_s, largest)
        actions += [ReclaimAction(Measure.RECYCLE, largest, case.why, light[largest])] if ready else []
    return actions


def _half_of_cap(case: _Case, contexts: list[RendererUse]) -> list[ReclaimAction]:
    """In any band recycle contexts at half of the cap: it costs nothing between two pages, a kill one page."""
    params = case.params
    return [
        ReclaimAction(Measure.RECYCLE, one.slot, "half of what a renderer may hold", one.used_bytes, one.pid)
        for one in contexts
        if one.used_bytes > params.renderer_cap_bytes // 2
        and case.ready(Measure.RECYCLE, params.recycle_again_s, one.slot)
    ]


def _largest_contexts(case: _Case, contexts: list[RendererUse], excess_bytes: float) -> list[ReclaimAction]:
    """Recycle the largest contexts until the excess is covered, at most a part of all at once."""
    params = case.params
    if not contexts or not case.ready(Measure.RECYCLE, params.recycle_every_s):
        return []
    least_bytes = params.recycle_from * contexts[len(contexts) // 2].used_bytes
    actions: list[ReclaimAction] = []
    for one in contexts[: max(1, len(contexts) // params.recycle_part)]:
        if excess_bytes > 0 and one.used_bytes >= min(least_bytes, params.page_bytes * 2):
            excess_bytes -= one.used_bytes
            if case.ready(Measure.RECYCLE, params.recycle_again_s, one.slot):
                actions.append(ReclaimAction(Measure.RECYCLE, one.slot, case.why, one.used_bytes, one.pid))
    return actions


def _collections(case: _Case, contexts: list[RendererUse]) -> list[ReclaimAction]:
    if not case.ready(Measure.COLLECT, case.params.collect_every_s):
        return []
    due = [one for one in contexts if case.ready(Measure.COLLECT, case.params.collect_again_s, one.slot)]
    return [
        ReclaimAction(Measure.COLLECT, one.slot, case.why, one.used_bytes, one.pid)
        for one in due[: case.params.collect_at_once]
    ]
