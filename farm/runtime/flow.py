"""The quantities of Little's law, measured over the last minute: for this node, and for each site that it visits.

They say for how many contexts the crawl's own limits leave work.

The number of visits under way is counted independently, from when slots begin and end them; that it agrees with
the rate and the duration of visits checks the figures. Lives on the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from farm.model.clock import Clock
from farm.model.event import (
    AdmissionSet,
    EligibleRead,
    Emit,
    Event,
    FlowRead,
    MemoryRead,
    PageDone,
    Phase,
    SlotPhase,
    StatsRead,
    VisitFailed,
)
from farm.model.url import site_of
from farm.policy.capacity import CrawlLimits, Flow, steadied, useful_limits

SPAN_S = 60.0
EVERY_S = 2.0
ELIGIBLE_EVERY_S = 10.0
"""The count takes Redis a millisecond or two, and a hundred nodes may request it."""
SITES = 20


class FlowMeter:
    """Folds the events of this node.

    Before there was a minute of visits the figures are of the time since the first one began.
    """

    def __init__(self) -> None:
        self._begun: float | None = None
        self._ended: deque[tuple[float, str, float]] = deque()
        self._busy: dict[str, float] = {}
        self._visiting: dict[str, str] = {}
        self._spans: deque[tuple[float, float]] = deque()
        self.sites = 0
        """How many sites the crawl has."""

    def fold(self, event: Event) -> None:
        """Process one event."""
        match event:
            case SlotPhase(slot=slot, at=at, url=url, phase=phase):
                if self._begun is None and phase is Phase.NAVIGATING:
                    self._begun = at
                if url:
                    self._busy.setdefault(slot, at)
                    self._visiting[slot] = site_of(url)
                elif slot in self._busy:
                    self._spans.append((self._busy.pop(slot), at))
            case PageDone(at=at, url=url, total_ms=took_ms) | VisitFailed(at=at, url=url, total_ms=took_ms):
                self._begun = at - took_ms / 1000 if self._begun is None else self._begun
                self._ended.append((at, site_of(url), took_ms / 1000))
            case StatsRead(stats=stats):
                self.sites = stats.sites
            case _:
                pass

    def overall(self, now: float) -> Flow:
        """Return the flow of this node."""
        span_s = self._forget(now)
        under_way = sum(end - max(begin, now - span_s) for begin, end in self._spans)
        under_way += sum(now - max(begin, now - span_s) for begin in self._busy.values())
        took = [took_s for _, _, took_s in self._ended]
        return _flow(took, span_s, under_way / span_s)

    def visited(self, now: float) -> set[str]:
        """Return the sites that this node has visited in the last minute, those being visited included."""
        self._forget(now)
        return {site for _, site, _ in self._ended} | {self._visiting[slot] for slot in self._busy}

    def by_site(self, now: float, most: int = SITES) -> Mapping[str, Flow]:
        """Return the flows of the sites with the most visits."""
        span_s = self._forget(now)
        sites: dict[str, list[float]] = {}
        for _, site, took_s in self._ended:
            sites.setdefault(site, []).append(took_s)
        ordered = sorted(sites.items(), key=lambda item: -len(item[1]))[:most]
        return {site: _flow(took, span_s, sum(took) / span_s) for site, took in ordered}

    def _forget(self, now: float) -> float:
        span_s = max(1.0, min(SPAN_S, now - (now if self._begun is None else self._begun)))
        while self._ended and self._ended[0][0] < now - span_s:
            self._ended.popleft()
        while self._spans and self._spans[0][1] < now - span_s:
            self._spans.popleft()
        return span_s


def _flow(took: list[float], span_s: float, under_way: float) -> Flow:
    return Flow(len(took) / span_s, sum(took) / len(took) if took else 0.0, under_way)


class ProxyLimits(Protocol):
    """The available proxies of a node."""

    @property
    def working(self) -> int:
        """How many are not banned."""
        ...

    @property
    def limits(self) -> Mapping[str, int]:
        """Limits of contexts by name."""
        ...


class OwnLimits:
    """Returns how many contexts the crawl's own limits can keep busy, by name, as limits of admission."""

    def __init__(
        self, limits: CrawlLimits, meter: FlowMeter, proxies: ProxyLimits | None, clock: Clock
    ) -> None:
        self._limits = limits
        self._meter = meter
        self._proxies = proxies
        self._clock = clock
        self._held: dict[str, int] = {}

    def __call__(self) -> Mapping[str, int]:
        """Return the current limits; those that result from rates are smoothed, since readings fluctuate."""
        now, limits = self._clock.monotonic(), self._limits
        took_s = self._meter.overall(now).took_s
        visited = self._meter.visited(now) if limits.own_rates or limits.own_places else ()
        working = self._proxies.working if self._proxies else 0
        found = dict(self._proxies.limits) if self._proxies else {}
        sites = max(1, self._meter.sites)
        for name, contexts in useful_limits(limits, sites, took_s, working, visited).items():
            limit = contexts
            if name != "places":
                limit = self._held[name] = steadied(contexts, self._held.get(name))
            found[name] = min(found.get(name, limit), limit)
        return found


class FlowStore(Protocol):
    """The store in which nodes publish their flows."""

    async def publish(
        self, node: str, flow: Flow, sites: Mapping[str, Flow], limit: int, binding: str, memory_bytes: int
    ) -> None:
        """Store this node's figures."""
        ...


class FlowReporter:
    """Publishes this node's flow, and which limit binds, for the view and the other nodes."""

    def __init__(self, node: str, meter: FlowMeter, store: FlowStore, emit: Emit, clock: Clock) -> None:
        self._node = node
        self._meter = meter
        self._store = store
        self._emit = emit
        self._clock = clock
        self._admission = AdmissionSet(0.0, 0, "")
        self._memory_bytes = 0

    def fold(self, event: Event) -> None:
        """Take one event in."""
        self._meter.fold(event)
        if isinstance(event, AdmissionSet):
            self._admission = event
        elif isinstance(event, MemoryRead):
            self._memory_bytes = event.used_bytes

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            now = self._clock.monotonic()
            flow, sites = self._meter.overall(now), self._meter.by_site(now)
            self._emit(FlowRead(now, flow.per_s, flow.took_s, flow.under_way))
            limit, binding = self._admission.limit, self._admission.binding
            await self._store.publish(self._node, flow, sites, limit, binding, self._memory_bytes)


class EligibleReporter:
    """Reports how many URLs could be leased now; `eligible` returns it, over all nodes."""

    def __init__(self, eligible: Callable[[], Awaitable[int]], emit: Emit, clock: Clock) -> None:
        self._eligible = eligible
        self._emit = emit
        self._clock = clock

    async def run(self) -> None:
        """Report now and every ten seconds, until cancelled."""
        while True:
            urls = await self._eligible()
            self._emit(EligibleRead(self._clock.monotonic(), urls))
            await asyncio.sleep(ELIGIBLE_EVERY_S)
