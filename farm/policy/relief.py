"""What is to be given back in a band: the mildest measure always, the harder ones the tighter memory is.

Every measure has a pause, for itself and for its target, in which its effect can show in the readings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from farm.model.memory import MemoryReading, Order, Relief, RendererUse
from farm.policy.bands import MIB, Band, MemoryParams

DoneAt = Mapping[tuple[Relief, str], float]
"""When a measure was last taken, for each target, and under the empty target for any."""


@dataclass(frozen=True, slots=True)
class _Case:
    done_at: DoneAt
    now: float
    why: str
    params: MemoryParams

    def ready(self, relief: Relief, every_s: float, target: str = "") -> bool:
        return self.now - self.done_at.get((relief, target), float("-inf")) >= every_s


def plan(
    done_at: DoneAt,
    reading: MemoryReading,
    budget_bytes: int,
    share: float,
    band: Band,
    now: float,
    params: MemoryParams,
) -> tuple[Order, ...]:
    """Return what is to be done on this reading; slots are taken away by the caller."""
    case = _Case(done_at, now, f"{share:.0%} of the budget", params)
    fattest = sorted(reading.renderers, key=lambda one: -one.used_bytes)
    orders = _killed(case, fattest, (share - params.kill) * budget_bytes if band is Band.KILL else -1.0)
    killed = {order.pid for order in orders}
    contexts = [one for one in fattest if one.slot and one.pid not in killed]
    if band >= Band.ENGINE:
        orders += _worn_engine(case, reading.engines)
    orders += _swollen(case, contexts)
    if band >= Band.RECYCLE:
        orders += _worst_contexts(case, contexts, (share - params.stop) * budget_bytes)
    if band >= Band.COLLECT:
        orders += _collected(case, contexts)
    return tuple(orders)


def _killed(case: _Case, fattest: list[RendererUse], excess_bytes: float) -> list[Order]:
    """Kill what is over the cap, and the largest until what is left is below the band."""
    orders = []
    cap_bytes = case.params.renderer_cap_bytes
    for one in fattest:
        over_cap = one.used_bytes > cap_bytes
        if not case.ready(Relief.KILL, case.params.kill_again_s, str(one.pid)):
            # What was just killed is still counted for a moment: it must not cost another page its renderer.
            excess_bytes -= one.used_bytes
        elif over_cap or (excess_bytes >= 0 and len(fattest) > 1):
            # The only page there is may have all of the budget: killing it over and over would be no crawl.
            reason = f"more than {cap_bytes // MIB} MiB in one renderer" if over_cap else case.why
            orders.append(Order(Relief.KILL, one.slot, reason, one.used_bytes, one.pid))
            excess_bytes -= one.used_bytes
    return orders


def _worn_engine(case: _Case, engines: Mapping[str, int]) -> list[Order]:
    if len(engines) < 2 or not case.ready(Relief.ENGINE, case.params.engine_every_s):  # noqa: PLR2004
        return []
    worst = max(engines, key=lambda name: engines[name])
    if engines[worst] < case.params.engine_worn * min(engines.values()):
        return []
    return [Order(Relief.ENGINE, worst, case.why, engines[worst])]


def _swollen(case: _Case, contexts: list[RendererUse]) -> list[Order]:
    """In any band recycle what is half-way to its cap: that costs nothing between two pages, a kill costs one."""
    params = case.params
    return [
        Order(Relief.RECYCLE, one.slot, "half of what a renderer may hold", one.used_bytes, one.pid)
        for one in contexts
        if one.used_bytes > params.renderer_cap_bytes // 2
        and case.ready(Relief.RECYCLE, params.recycle_again_s, one.slot)
    ]


def _worst_contexts(case: _Case, contexts: list[RendererUse], excess_bytes: float) -> list[Order]:
    """Recycle the fattest until what is over has been covered, a part of all at once at the most."""
    params = case.params
    if not contexts or not case.ready(Relief.RECYCLE, params.recycle_every_s):
        return []
    worth_bytes = params.recycle_from * contexts[len(contexts) // 2].used_bytes
    orders: list[Order] = []
    for one in contexts[: max(1, len(contexts) // params.recycle_part)]:
        if excess_bytes > 0 and one.used_bytes >= min(worth_bytes, params.page_bytes * 2):
            excess_bytes -= one.used_bytes
            if case.ready(Relief.RECYCLE, params.recycle_again_s, one.slot):
                orders.append(Order(Relief.RECYCLE, one.slot, case.why, one.used_bytes, one.pid))
    return orders


def _collected(case: _Case, contexts: list[RendererUse]) -> list[Order]:
    if not case.ready(Relief.COLLECT, case.params.collect_every_s):
        return []
    due = [one for one in contexts if case.ready(Relief.COLLECT, case.params.collect_again_s, one.slot)]
    return [
        Order(Relief.COLLECT, one.slot, case.why, one.used_bytes, one.pid)
        for one in due[: case.params.collect_at_once]
    ]
