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
from math import ceil

from farm.model.memory import MemoryReading, Order, Relief, RendererUse
from farm.policy import relief
from farm.policy.bands import Band, MemoryParams

_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class MemoryState:
    """`limit` slots may work; `orders` are what the last reading asked for."""

    limit: int
    band: Band = Band.GROW
    page_bytes: float = 0.0
    orders: tuple[Order, ...] = ()
    grown_at: float = float("-inf")
    done_at: Mapping[tuple[Relief, str], float] = field(default_factory=dict)
    """When a measure was last taken, for each target, and under the empty target for any."""

    def last(self, relief: Relief, target: str = "") -> float:
        """Return when the measure was last taken."""
        return self.done_at.get((relief, target), float("-inf"))


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
    orders = relief.plan(state.done_at, reading, budget_bytes, share, band, now, params)
    limit, grown_at = state.limit, state.grown_at
    if band is Band.GROW:
        room_bytes = (params.hold - share) * budget_bytes
        wanted = min(slots, max(1, open_slots, len(contexts) + int(room_bytes // page_bytes)))
        if wanted > limit and now - grown_at >= params.grow_every_s:
            limit, grown_at = limit + 1, now
        # What a page costs is an estimate that moves: a little of it is no reason to take a slot away.
        if wanted < limit - slots // 10:
            limit = wanted
    elif band >= Band.SHED and now - state.last(Relief.SHED) >= params.shed_every_s:
        limit = max(1, min(limit, open_slots))
        excess_bytes = (share - params.recycle) * budget_bytes
        taken = min(ceil(excess_bytes / page_bytes), max(1, limit // 4), limit - 1)
        if taken > 0:
            limit -= taken
            orders = (*orders, Order(Relief.SHED, "", f"{share:.0%} of the budget", int(taken * page_bytes)))
    elif band >= Band.STOP:
        limit = max(1, min(limit, open_slots))
    return MemoryState(limit, band, page_bytes, orders, grown_at, _noted(state.done_at, orders, now))


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
    done_at: Mapping[tuple[Relief, str], float], orders: tuple[Order, ...], now: float
) -> dict[tuple[Relief, str], float]:
    """Remember when each measure was taken, and forget what is long ago."""
    kept = dict(done_at)
    for order in orders:
        target = str(order.pid) if order.relief is Relief.KILL else order.target
        kept[order.relief, ""] = kept[order.relief, target] = now
    if len(kept) > _REMEMBERED:
        newest = sorted(kept, key=lambda key: -kept[key])[: _REMEMBERED // 2]
        kept = {key: kept[key] for key in newest}
    return kept
