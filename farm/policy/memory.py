"""The memory governor's decisions: which band the farm is in, how many slots may work, what is to be given back.

Bands are shares of the budget. One is entered at its threshold and left `gap` below it, so that a reading which
hovers at a threshold switches nothing on and off; every measure has a pause in which its effect can show. From the
mildest to the last:

    grow -> hold -> collect -> stop -> recycle -> shed -> engine -> kill

A slot is admitted only where what a page costs (a running 90th percentile) is left below `hold`. What always
holds: at least one slot may work, because a budget that a single page exceeds must slow a crawl and not stop it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import ceil

from farm.model.memory import Measure, MemoryReading, ReclaimAction, RendererUse

MIB = 2**20
_REMEMBERED = 256
DoneAt = Mapping[tuple[Measure, str], float]
"""When a measure was last taken, for each target, and under the empty target for any."""


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

    `renderer_cap_bytes` is what no renderer may hold whatever the band. `grow_every_s` is the pace at which slots
    come back after they were taken away.
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
    """A context is worth recycling from so many times the median on, or from twice the cost of a page."""
    recycle_part: int = 6
    """Of all contexts this part is recycled at once at the most."""
    shed_every_s: float = 1.5
    engine_every_s: float = 60.0
    engine_worn: float = 1.6
    """An engine is worn when it holds so many times what the leanest one does."""
    kill_again_s: float = 1.0

    def thresholds(self) -> tuple[float, ...]:
        """Where each band begins, in the order of `Band`."""
        return (0.0, self.hold, self.collect, self.stop, self.recycle, self.shed, self.engine, self.kill)


@dataclass(frozen=True, slots=True)
class MemoryState:
    """`limit` slots may work; `actions` are what the pool is to do on the last reading.

    `shed` says by how much the limit was lowered on it, for those who follow what that brings.
    """

    limit: int
    band: Band = Band.GROW
    page_bytes: float = 0.0
    actions: tuple[ReclaimAction, ...] = ()
    shed: ReclaimAction | None = None
    grown_at: float = float("-inf")
    done_at: Mapping[tuple[Measure, str], float] = field(default_factory=dict)
    """When a measure was last taken, for each target, and under the empty target for any."""

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
        # What a page costs is an estimate that moves: a little of it is no reason to take a slot away.
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
    """Follow the 90th percentile of what the contexts hold, over seconds: one greedy page is no measure of all."""
    if not contexts:
        return before
    ordered = sorted(one.used_bytes for one in contexts)
    seen = ordered[(len(ordered) - 1) * 9 // 10]
    return before + (seen - before) * (0.05 if seen > before else 0.02)


def _noted(
    done_at: Mapping[tuple[Measure, str], float], actions: tuple[ReclaimAction, ...], now: float
) -> dict[tuple[Measure, str], float]:
    """Remember when each measure was taken, and forget what is long ago."""
    kept = dict(done_at)
    for action in actions:
        target = str(action.pid) if action.measure is Measure.KILL else action.target
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
    """Return what is to be done on this reading; slots are taken away by the caller."""
    case = _Case(done_at, now, f"{share:.0%} of the budget", params)
    fattest = sorted(reading.renderers, key=lambda one: -one.used_bytes)
    actions = _killed(case, fattest, (share - params.kill) * budget_bytes if band is Band.KILL else -1.0)
    killed = {action.pid for action in actions}
    contexts = [one for one in fattest if one.slot and one.pid not in killed]
    if band >= Band.ENGINE:
        actions += _worn_engine(case, reading.engines)
    actions += _swollen(case, contexts)
    if band >= Band.RECYCLE:
        actions += _worst_contexts(case, contexts, (share - params.stop) * budget_bytes)
    if band >= Band.COLLECT:
        actions += _collected(case, contexts)
    return tuple(actions)


def _killed(case: _Case, fattest: list[RendererUse], excess_bytes: float) -> list[ReclaimAction]:
    """Kill what is over the cap, and the largest until what is left is below the band."""
    actions = []
    cap_bytes = case.params.renderer_cap_bytes
    for one in fattest:
        over_cap = one.used_bytes > cap_bytes
        if not case.ready(Measure.KILL, case.params.kill_again_s, str(one.pid)):
            # What was just killed is still counted for a moment: it must not cost another page its renderer.
            excess_bytes -= one.used_bytes
        elif over_cap or (excess_bytes >= 0 and len(fattest) > 1):
            # The only page there is may have all of the budget: killing it over and over would be no crawl.
            reason = f"more than {cap_bytes // MIB} MiB in one renderer" if over_cap else case.why
            actions.append(ReclaimAction(Measure.KILL, one.slot, reason, one.used_bytes, one.pid))
            excess_bytes -= one.used_bytes
    return actions


def _worn_engine(case: _Case, engines: Mapping[str, int]) -> list[ReclaimAction]:
    if len(engines) < 2 or not case.ready(Measure.ENGINE, case.params.engine_every_s):  # noqa: PLR2004
        return []
    worst = max(engines, key=lambda name: engines[name])
    if engines[worst] < case.params.engine_worn * min(engines.values()):
        return []
    return [ReclaimAction(Measure.ENGINE, worst, case.why, engines[worst])]


def _swollen(case: _Case, contexts: list[RendererUse]) -> list[ReclaimAction]:
    """In any band recycle what is half-way to its cap: that costs nothing between two pages, a kill costs one."""
    params = case.params
    return [
        ReclaimAction(Measure.RECYCLE, one.slot, "half of what a renderer may hold", one.used_bytes, one.pid)
        for one in contexts
        if one.used_bytes > params.renderer_cap_bytes // 2
        and case.ready(Measure.RECYCLE, params.recycle_again_s, one.slot)
    ]


def _worst_contexts(case: _Case, contexts: list[RendererUse], excess_bytes: float) -> list[ReclaimAction]:
    """Recycle the fattest until what is over has been covered, a part of all at once at the most."""
    params = case.params
    if not contexts or not case.ready(Measure.RECYCLE, params.recycle_every_s):
        return []
    worth_bytes = params.recycle_from * contexts[len(contexts) // 2].used_bytes
    actions: list[ReclaimAction] = []
    for one in contexts[: max(1, len(contexts) // params.recycle_part)]:
        if excess_bytes > 0 and one.used_bytes >= min(worth_bytes, params.page_bytes * 2):
            excess_bytes -= one.used_bytes
            if case.ready(Measure.RECYCLE, params.recycle_again_s, one.slot):
                actions.append(ReclaimAction(Measure.RECYCLE, one.slot, case.why, one.used_bytes, one.pid))
    return actions


def _collected(case: _Case, contexts: list[RendererUse]) -> list[ReclaimAction]:
    if not case.ready(Measure.COLLECT, case.params.collect_every_s):
        return []
    due = [one for one in contexts if case.ready(Measure.COLLECT, case.params.collect_again_s, one.slot)]
    return [
        ReclaimAction(Measure.COLLECT, one.slot, case.why, one.used_bytes, one.pid)
        for one in due[: case.params.collect_at_once]
    ]
