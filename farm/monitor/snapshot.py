"""The state of a farm at one moment. Immutable, so that views cannot change it.

A new reading (a `LastReading` of `model/event.py`) is automatically in each snapshot: `snapshot.last(KIND)`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from farm.model.crawl import NodeSeen, Stats
from farm.model.egress import ProxyBytes
from farm.model.event import (
    AdmissionSet,
    Ending,
    FlowRead,
    LastReading,
    LoopLagRead,
    MemoryRead,
    NodesRead,
    Notice,
    Phase,
    ProcessorRead,
    ProxyBytesRead,
    Skipped,
    VisitFailed,
)
from farm.monitor.progress import Progress

AT_WORK = frozenset({Phase.LEASING, Phase.NAVIGATING, Phase.SETTLING, Phase.COMMITTING})
"""The phases in which a slot has a page, or is getting one."""

BIN_S = 2
"""The width of one bar of the page rate's history, in seconds."""
QUANTILES = 21
"""How many quantiles of pages' times there are: every twentieth, from the shortest to the longest."""
PAGE_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of pages' times, in seconds; one more class is above them."""
R = TypeVar("R", bound=LastReading)


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot: its phase and since when, its URL and since when; `url` is empty without a visit."""

    name: str
    phase: Phase
    since: float
    url: str = ""
    url_since: float = 0.0


@dataclass(frozen=True, slots=True)
class SiteView:
    """One site: `per_s` visits end a second, `in_flight` are under way; the counts are of visits that ended.

    `pages` are recorded ones below 400, `client_errors` and `server_errors` those above (with 5xx that brought
    none), `throttled` were put off by the site, `failed` for another reason. Of its pace `limit`, `rate` (0:
    none), latencies and `verdict` are as `SitePace` has them; `blocked_until`, and `throttled_at` of the last
    visit that was put off, are of the snapshot's clock.
    """

    site: str
    per_s: float = 0.0
    in_flight: int = 0
    pages: int = 0
    client_errors: int = 0
    server_errors: int = 0
    throttled: int = 0
    failed: int = 0
    limit: int = 0
    rate: float = 0.0
    latency_ms: float = 0.0
    baseline_ms: float = 0.0
    blocked_until: float = 0.0
    verdict: str = ""
    throttled_at: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node in a view of the whole crawl; values that it did not report are empty or 0.

    `last_reclaim` is its last measure against tight memory in words, `reclaimed_s` seconds ago.
    """

    name: str
    state: str
    silent_s: float = 0.0
    contexts: int = 0
    at_work: int = 0
    limit: int = 0
    binding: str = ""
    pages_per_s: float = 0.0
    memory_used_bytes: int = 0
    memory_budget_bytes: int = 0
    last_reclaim: str = ""
    reclaimed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Numbers of this process, and in `stats` those of the whole crawl.

    `history` are pages per bin of `BIN_S` seconds, the newest last and only whole bins; the rates are
    made of them. `page_quantiles_ms` are of the last pages, empty if there was none. `single_site` is the
    site of all pages so far as long as it is only one. `node_views` are the nodes of a view of the whole crawl.
    """

    now: float
    started: float
    slots: tuple[SlotView, ...] = ()
    stats: Stats = field(default_factory=Stats)
    progress: Progress = field(default_factory=Progress)
    readings: Mapping[type[LastReading], LastReading] = field(default_factory=dict)
    """The last reading of each kind; `last` returns one."""
    pages_done: int = 0
    visits_failed: int = 0
    pages_per_s: float = 0.0
    pages_per_s_overall: float = 0.0
    first_page_s: float = 0.0
    """How long after the start the first page was there; 0 before."""
    history: tuple[int, ...] = ()
    page_quantiles_ms: tuple[int, ...] = ()
    page_buckets: tuple[int, ...] = (0,) * (len(PAGE_BUCKETS_S) + 1)
    page_s_total: float = 0.0
    codes: Mapping[int, int] = field(default_factory=dict)
    """Pages by status."""
    fates: Mapping[str, int] = field(default_factory=dict)
    """Visits without a page, by the settlement of their URLs."""
    phase_ms: Mapping[str, float] = field(default_factory=dict)
    """The recent mean time of each phase of a page, in milliseconds, as in `timings_ms` of the records."""
    bytes_received: int = 0
    bytes_per_s: float = 0.0
    """Bytes of the pages that were received lately, a second."""
    memory_peak_bytes: int = 0
    recycled: Mapping[str, int] = field(default_factory=dict)
    relieved: Mapping[str, int] = field(default_factory=dict)
    relieved_bytes: int = 0
    sites: tuple[SiteView, ...] = ()
    """The sites that are visited most, the busiest first."""
    other_sites: SiteView | None = None
    """The sum of those that are not among them; None if there is none."""
    failures: tuple[VisitFailed, ...] = ()
    notices: tuple[Notice, ...] = ()
    away_since: float | None = None
    """Since when Redis has not answered; None while it does."""
    sinks_away: Mapping[str, float] = field(default_factory=dict)
    """Store -> since when visits wait for it; few, as there are few stores."""
    single_site: str | None = None
    node_views: tuple[NodeView, ...] = ()

    def last(self, kind: type[R]) -> R | None:
        """Return the last reading of a kind; None if there was none."""
        found = self.readings.get(kind)
        return found if isinstance(found, kind) else None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return max(0.0, self.now - self.started)

    @property
    def at_work(self) -> int:
        """How many slots have a page, or are getting one."""
        return sum(slot.phase in AT_WORK for slot in self.slots)

    @property
    def phases(self) -> dict[Phase, int]:
        """How many slots are in each phase that occurs, in the order of a visit."""
        counts = Counter(slot.phase for slot in self.slots)
        return {phase: counts[phase] for phase in Phase if counts[phase]}

    @property
    def page_ms_p50(self) -> int:
        """The median of the last pages' times."""
        return self.page_quantiles_ms[QUANTILES // 2] if self.page_quantiles_ms else 0

    @property
    def page_ms_p95(self) -> int:
        """The 95th percentile of the last pages' times."""
        return self.page_quantiles_ms[QUANTILES - 2] if self.page_quantiles_ms else 0

    @property
    def statuses(self) -> dict[str, int]:
        """Pages by class of status, such as `2xx`."""
        classes = Counter[str]()
        for code, number in self.codes.items():
            classes[f"{code // 100}xx"] += number
        return dict(classes)

    @property
    def memory(self) -> MemoryRead:
        """The last reading of the memory; zeros before the first."""
        return self.last(MemoryRead) or MemoryRead(self.started, 0, 0, 0)

    @property
    def processor_share(self) -> float | None:
        """How busy the processor is, in [0, 1], of the busiest machine; None before the first reading."""
        read = self.last(ProcessorRead)
        return read.busy_share if read is not None else None

    @property
    def flow(self) -> FlowRead:
        """Of Little's law `per_s` is lambda, `took_s` W and `under_way` L."""
        return self.last(FlowRead) or FlowRead(self.started, 0.0, 0.0, 0.0)

    @property
    def loop_lag(self) -> LoopLagRead:
        """The delays of the event loop."""
        return self.last(LoopLagRead) or LoopLagRead(0.0, 0.0, 0.0, 0.0)

    @property
    def admission(self) -> AdmissionSet:
        """How many slots may work, and the smallest limit; all of them without an event."""
        return self.last(AdmissionSet) or AdmissionSet(self.started, len(self.slots), "")

    @property
    def proxied(self) -> ProxyBytes:
        """The bytes through the crawl's proxies, over all nodes and runs."""
        read = self.last(ProxyBytesRead)
        return read.bytes if read is not None else ProxyBytes()

    @property
    def skipped(self) -> dict[str, int]:
        """How many URLs were skipped by reason, the most first."""
        read = self.last(Skipped)
        return dict(Counter(read.counts).most_common()) if read is not None else {}

    @property
    def nodes(self) -> tuple[NodeSeen, ...]:
        """The other nodes of the crawl that are live, or were lost recently."""
        read = self.last(NodesRead)
        return read.nodes if read is not None else ()

    @property
    def is_ending(self) -> bool:
        """Whether this node is ending, and finishes the visits under way."""
        return self.last(Ending) is not None
