"""Joins snapshots of several nodes: counts are summed, extremes are the worst, shared values the newest."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from farm.model.egress import ProxyUse
from farm.model.event import (
    AdmissionSet,
    Ending,
    FlowRead,
    LastReading,
    LoopLagRead,
    MemoryRead,
    ProcessorRead,
    ProxiesRead,
    Skipped,
)
from farm.monitor.site_counts import SHOWN_SITES, summed_sites
from farm.monitor.snapshot import SiteView, Snapshot
from farm.monitor.tally import BINS, FAILURES, NOTICES, quantiles
from farm.policy.capacity import Flow, together

_PROXIES = 50


def join(nodes: Mapping[str, Snapshot], now: float, started: float) -> Snapshot:
    """Return the snapshots of several nodes as one; contexts and messages are named by their node."""
    known = list(nodes.values())
    several = len(nodes) > 1
    slots = tuple(
        replace(slot, name=f"{name}/{slot.name}") for name, one in nodes.items() for slot in one.slots
    )
    notices = [
        replace(notice, text=f"{name}: {notice.text}") if several else notice
        for name, one in nodes.items()
        for notice in one.notices
    ]
    failures = sorted((failure for one in known for failure in one.failures), key=lambda one: one.at)
    sites, other = _sites(known)
    return Snapshot(
        now=now,
        started=min((one.started for one in known), default=started),
        slots=slots,
        readings=_readings(known),
        pages_per_s=sum(one.pages_per_s for one in known),
        pages_per_s_overall=sum(one.pages_per_s_overall for one in known),
        history=_history([one.history for one in known]),
        page_quantiles_ms=quantiles(sorted(value for one in known for value in one.page_quantiles_ms)),
        phase_ms=_means(known),
        sites=sites,
        other_sites=other,
        failures=tuple(failures[-FAILURES:]),
        notices=tuple(sorted(notices, key=lambda one: one.at)[-NOTICES:]),
        single_site=sites[0].site if len(sites) == 1 and other is None else None,
        pages_done=sum(one.pages_done for one in known),
        visits_failed=sum(one.visits_failed for one in known),
        bytes_received=sum(one.bytes_received for one in known),
        bytes_per_s=sum(one.bytes_per_s for one in known),
        memory_peak_bytes=sum(one.memory_peak_bytes for one in known),
        relieved_bytes=sum(one.relieved_bytes for one in known),
        codes=_added(one.codes for one in known),
        recycled=_added(one.recycled for one in known),
        relieved=_added(one.relieved for one in known),
    )


def _added(counts: Iterable[Mapping[Any, int]]) -> Counter[Any]:
    total = Counter[Any]()
    for one in counts:
        total.update(one)
    return total


def _history(histories: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the sum, bin by bin: the last one of each is the newest."""
    length = min(BINS, max((len(one) for one in histories), default=0))
    total = [0] * length
    for one in histories:
        for back, count in enumerate(reversed(one[-length:] if length else ()), 1):
            total[-back] += count
    return tuple(total)


def _means(known: Sequence[Snapshot]) -> dict[str, float]:
    """Return the mean time of pages in each phase, weighted by the pages of each node."""
    sums, weights = dict[str, float](), dict[str, float]()
    for one in known:
        weight = max(one.pages_per_s, 0.01)
        for phase, took_ms in one.phase_ms.items():
            sums[phase] = sums.get(phase, 0.0) + weight * took_ms
            weights[phase] = weights.get(phase, 0.0) + weight
    return {phase: sums[phase] / weights[phase] for phase in sums}


def _sites(known: Sequence[Snapshot]) -> tuple[tuple[SiteView, ...], SiteView | None]:
    by_name: dict[str, list[SiteView]] = {}
    for one in known:
        for site in one.sites:
            by_name.setdefault(site.site, []).append(site)
    found = sorted((_site(name, parts) for name, parts in by_name.items()), key=lambda one: -one.per_s)
    rest = [*found[SHOWN_SITES:], *(one.other_sites for one in known if one.other_sites is not None)]
    return tuple(found[:SHOWN_SITES]), summed_sites(rest) if rest else None


def _site(name: str, parts: Sequence[SiteView]) -> SiteView:
    """Return one site over all nodes: its learnt limits are shared, and the last report is the newest."""
    told = [part for part in parts if part.limit] or parts
    best = max(told, key=lambda part: part.per_s)
    return replace(
        summed_sites(parts),
        site=name,
        limit=best.limit,
        rate=best.rate,
        latency_ms=best.latency_ms,
        baseline_ms=best.baseline_ms,
        blocked_until=max(part.blocked_until for part in parts),
        throttled_at=max(part.throttled_at for part in parts),
        verdict=best.verdict,
    )


def _readings(known: Sequence[Snapshot]) -> dict[type[LastReading], LastReading]:
    """Return one reading of each kind over all nodes: joined if there is a rule, else the newest."""
    found = dict[type[LastReading], LastReading]()
    for kind in {kind for one in known for kind in one.readings}:
        parts = [one.readings[kind] for one in known if kind in one.readings]
        joined = _JOINS[kind](parts) if kind in _JOINS else max(parts, key=_at)
        # The crawl ends once every node does.
        if kind is not Ending or len(parts) == len(known):
            found[kind] = joined
    return found


def _at(reading: Any) -> float:
    return float(reading.at)


def _memory(parts: Sequence[Any]) -> MemoryRead:
    return MemoryRead(
        max(map(_at, parts)),
        sum(one.used_bytes for one in parts),
        sum(one.budget_bytes for one in parts),
        sum(one.processes for one in parts),
        sum(one.attributed_bytes for one in parts),
        sum(one.meter_cpu_s for one in parts),
    )


def _flow(parts: Sequence[Any]) -> FlowRead:
    flow = together(Flow(one.per_s, one.took_s, one.under_way) for one in parts)
    return FlowRead(max(map(_at, parts)), flow.per_s, flow.took_s, flow.under_way)


def _admission(parts: Sequence[Any]) -> AdmissionSet:
    binding = next((one.binding for one in parts if one.binding != "contexts"), "contexts")
    return AdmissionSet(max(map(_at, parts)), sum(one.limit for one in parts), binding)


def _lag(parts: Sequence[Any]) -> LoopLagRead:
    worst: LoopLagRead = max(parts, key=lambda one: float(one.recent_s))
    return worst


def _processor(parts: Sequence[Any]) -> ProcessorRead:
    busiest: ProcessorRead = max(parts, key=lambda one: float(one.busy_share))
    return busiest


def _skipped(parts: Sequence[Any]) -> Skipped:
    return Skipped(max(map(_at, parts)), dict(_added(one.counts for one in parts)))


def _proxies(parts: Sequence[Any]) -> ProxiesRead:
    """Return the proxies over all nodes, by label: each is as bad as any node finds it."""
    by_label: dict[str, ProxyUse] = {}
    for one in (proxy for part in parts for proxy in part.proxies):
        known = by_label.get(one.label)
        if known is None:
            by_label[one.label] = one
            continue
        worse = min(known, one, key=lambda each: each.score)
        by_label[one.label] = replace(worse, slots=known.slots + one.slots)
    newest = max(parts, key=_at)
    return ProxiesRead(newest.at, newest.states, tuple(by_label.values())[:_PROXIES])


_JOINS: dict[type[LastReading], Callable[[Sequence[Any]], LastReading]] = {
    MemoryRead: _memory,
    FlowRead: _flow,
    AdmissionSet: _admission,
    LoopLagRead: _lag,
    ProcessorRead: _processor,
    Skipped: _skipped,
    ProxiesRead: _proxies,
}
