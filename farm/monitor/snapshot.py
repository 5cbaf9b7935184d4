"""What a farm looks like at one moment: events folded to a snapshot, in bounded memory however long the crawl is.

A snapshot is immutable, so that whoever shows it cannot disturb it. Events come from the event loop and snapshots
are taken by the thread that shows them, so that a terminal that does not take its output (a paused one, a slow
line) never holds up the crawl. Hence the lock.
"""

import re
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from farm.model.crawl import NodeSeen, Stats
from farm.model.egress import ProxyBytes
from farm.model.event import (
    AdmissionSet,
    EligibleRead,
    Ending,
    Event,
    Fate,
    FlowRead,
    LoopLagRead,
    MemoryRead,
    NodesRead,
    Notice,
    PageDone,
    Phase,
    ProxyBytesRead,
    Reclaimed,
    Recycled,
    RedisAway,
    RedisBack,
    SinkAway,
    SinkBack,
    Skipped,
    SlotPhase,
    StatsRead,
    VisitFailed,
)
from farm.model.url import site_of

AT_WORK = frozenset({Phase.LEASING, Phase.NAVIGATING, Phase.SETTLING, Phase.COMMITTING})
"""The phases in which a slot has a page, or is getting one."""

BIN_S = 2
"""The width of one bar of the page rate's history, in seconds."""
_BINS = 120
_RATE_BINS = 10 // BIN_S
_TIMES = 1000
_FAILURES = 50
PAGE_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the classes that pages' times are counted in, in seconds; one more class is above them."""
_NOTICES = 20
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot: its phase and since when, what it works on and since when; `url` is empty where nothing."""

    name: str
    phase: Phase
    since: float
    url: str = ""
    url_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Numbers of this process, and in `stats` those of the whole crawl.

    `history` are pages per bin of `BIN_S` seconds, the newest last and only whole bins; the rates are
    made of them. Of Little's law `visits_per_s` is lambda, `visit_s` W and `under_way` L. `single_site` is
    the site of all pages so far as long as it is only one.
    """

    now: float
    started: float
    slots: tuple[SlotView, ...] = ()
    stats: Stats = field(default_factory=Stats)
    eligible: int | None = None
    """How many URLs of the crawl could be leased now; None where nobody asks for it."""
    pages_done: int = 0
    visits_failed: int = 0
    pages_per_s: float = 0.0
    pages_per_s_overall: float = 0.0
    history: tuple[int, ...] = ()
    page_ms_p50: int = 0
    page_ms_p95: int = 0
    page_buckets: tuple[int, ...] = (0,) * (len(PAGE_BUCKETS_S) + 1)
    page_s_total: float = 0.0
    statuses: Mapping[str, int] = field(default_factory=dict)
    """Pages by class of status, such as `2xx`."""
    fates: Mapping[str, int] = field(default_factory=dict)
    """Visits without a page by what became of their URL."""
    bytes_received: int = 0
    memory_used_bytes: int = 0
    memory_budget_bytes: int = 0
    memory_peak_bytes: int = 0
    processes: int = 0
    recycled: Mapping[str, int] = field(default_factory=dict)
    relieved: Mapping[str, int] = field(default_factory=dict)
    relieved_bytes: int = 0
    visits_per_s: float = 0.0
    visit_s: float = 0.0
    under_way: float = 0.0
    loop_lag: LoopLagRead = field(default_factory=lambda: LoopLagRead(0.0, 0.0, 0.0, 0.0))
    admission_limit: int | None = None
    binding: str = ""
    proxied: ProxyBytes = field(default_factory=ProxyBytes)
    """What the crawl's proxies carried, over all nodes and runs."""
    failures: tuple[VisitFailed, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    away_since: float | None = None
    """Since when Redis has not answered; None while it does."""
    sinks_away: Mapping[str, float] = field(default_factory=dict)
    """Store -> since when visits wait for it; few, as there are few stores."""
    is_ending: bool = False
    """Whether this node was told to end, and finishes what is under way."""
    single_site: str | None = None
    nodes: tuple[NodeSeen, ...] = ()
    """The other nodes of the crawl that are at work, or were lost lately."""

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


class Tally:
    """The numbers of one process; `fold` is an `Emit`."""

    def __init__(self, started: float) -> None:
        self._lock = threading.Lock()
        self._started = started
        self._slots: dict[str, SlotView] = {}
        self._order: tuple[str, ...] = ()
        self._stats = Stats()
        self._bin = 0
        self._in_bin = 0
        self._history: deque[int] = deque(maxlen=_BINS)
        self._page_ms: deque[int] = deque(maxlen=_TIMES)
        self._page_buckets = [0] * (len(PAGE_BUCKETS_S) + 1)
        self._page_ms_total = 0
        self._statuses: Counter[str] = Counter()
        self._fates: Counter[str] = Counter()
        self._pages_done = self._visits_failed = self._bytes_received = 0
        self._memory: MemoryRead | None = None
        self._memory_peak = 0
        self._recycled: Counter[str] = Counter()
        self._relieved: Counter[str] = Counter()
        self._relieved_bytes = 0
        self._admission: AdmissionSet | None = None
        self._eligible: int | None = None
        self._proxied = ProxyBytes()
        self._flow = FlowRead(started, 0.0, 0.0, 0.0)
        self._lag = LoopLagRead(0.0, 0.0, 0.0, 0.0)
        self._failures: deque[VisitFailed] = deque(maxlen=_FAILURES)
        self._skipped: Counter[str] = Counter()
        self._notices: deque[Notice] = deque(maxlen=_NOTICES)
        self._away_since: float | None = None
        self._sinks_away: dict[str, float] = {}
        self._is_ending = False
        self._nodes: tuple[NodeSeen, ...] = ()
        self._site: str | None = None
        self._several_sites = False

    def fold(self, event: Event) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each event
        """Take one event in."""
        with self._lock:
            match event:
                case SlotPhase():
                    self._fold_phase(event)
                case PageDone():
                    self._advance(event.at)
                    self._in_bin += 1
                    self._pages_done += 1
                    self._bytes_received += event.bytes_received
                    self._page_ms.append(event.total_ms)
                    self._page_ms_total += event.total_ms
                    self._page_buckets[bisect_left(PAGE_BUCKETS_S, event.total_ms / 1000)] += 1
                    self._statuses[f"{event.status // 100}xx"] += 1
                case VisitFailed():
                    self._visits_failed += event.fate in {Fate.RETRY, Fate.DEAD}
                    self._fates[event.fate] += 1
                    self._failures.append(event)
                case Skipped():
                    self._skipped = Counter(event.counts)
                case Recycled():
                    self._recycled[event.unit] += 1
                case Reclaimed():
                    self._relieved[event.measure] += 1
                    self._relieved_bytes += event.freed_bytes
                case MemoryRead():
                    self._memory = event
                    self._memory_peak = max(self._memory_peak, event.used_bytes)
                case StatsRead():
                    self._stats = event.stats
                case EligibleRead():
                    self._eligible = event.urls
                case FlowRead():
                    self._flow = event
                case LoopLagRead():
                    self._lag = event
                case NodesRead():
                    self._nodes = event.nodes
                case ProxyBytesRead():
                    self._proxied = event.bytes
                case AdmissionSet():
                    self._admission = event
                case RedisAway():
                    self._away_since = event.since
                    self._notices.append(Notice(event.at, "warning", event.text))
                case RedisBack():
                    self._away_since = None
                    self._notices.append(Notice(event.at, "info", event.text))
                case SinkAway():
                    self._sinks_away[event.store] = event.since
                case SinkBack():
                    self._sinks_away.pop(event.store, None)
                case Ending():
                    self._is_ending = True
                case Notice():
                    self._notices.append(event)

    def snapshot(self, now: float) -> Snapshot:
        """Return how things stand; `now` is of the events' clock."""
        with self._lock:
            self._advance(now)
            times = sorted(self._page_ms)
            elapsed_s = max(now - self._started, 0.001)
            overall = self._pages_done / elapsed_s
            recent = list(self._history)[-_RATE_BINS:]
            memory, admission = self._memory, self._admission
            return Snapshot(
                now=now,
                started=self._started,
                slots=tuple(self._slots[name] for name in self._order),
                stats=self._stats,
                eligible=self._eligible,
                pages_done=self._pages_done,
                visits_failed=self._visits_failed,
                pages_per_s=sum(recent) / (len(recent) * BIN_S) if recent else overall,
                pages_per_s_overall=overall,
                history=tuple(self._history),
                page_ms_p50=_percentile(times, 50),
                page_ms_p95=_percentile(times, 95),
                page_buckets=tuple(self._page_buckets),
                page_s_total=self._page_ms_total / 1000,
                statuses=dict(self._statuses),
                fates=dict(self._fates),
                bytes_received=self._bytes_received,
                memory_used_bytes=memory.used_bytes if memory else 0,
                memory_budget_bytes=memory.budget_bytes if memory else 0,
                memory_peak_bytes=self._memory_peak,
                processes=memory.processes if memory else 0,
                recycled=dict(self._recycled),
                relieved=dict(self._relieved),
                relieved_bytes=self._relieved_bytes,
                visits_per_s=self._flow.per_s,
                visit_s=self._flow.took_s,
                under_way=self._flow.under_way,
                loop_lag=self._lag,
                admission_limit=admission.limit if admission else None,
                binding=admission.binding if admission else "",
                proxied=self._proxied,
                failures=tuple(self._failures),
                skipped=dict(self._skipped.most_common()),
                notices=tuple(self._notices),
                away_since=self._away_since,
                sinks_away=dict(self._sinks_away),
                is_ending=self._is_ending,
                single_site=None if self._several_sites else self._site,
                nodes=self._nodes,
            )

    def _fold_phase(self, event: SlotPhase) -> None:
        before = self._slots.get(event.slot)
        same_url = before is not None and event.url and before.url == event.url
        # A slot that recycles between two attempts at an address starts anew with it.
        url_since = before.url_since if same_url and before is not None else event.at
        if before is not None and before.phase is event.phase and before.url == event.url:
            return
        self._slots[event.slot] = SlotView(event.slot, Phase(event.phase), event.at, event.url, url_since)
        if before is None:
            self._order = tuple(sorted(self._slots, key=_natural))
        if event.url and not self._several_sites:
            site = site_of(event.url)
            self._several_sites = self._site is not None and site != self._site
            self._site = site or self._site

    def _advance(self, now: float) -> None:
        """Close the bins that lie before `now`."""
        number = int((now - self._started) // BIN_S)
        passed = number - self._bin
        if passed > 0:
            self._history.append(self._in_bin)
            self._history.extend([0] * min(passed - 1, _BINS))
            self._bin, self._in_bin = number, 0


def _percentile(ordered: list[int], percent: int) -> int:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0


def _natural(name: str) -> list[tuple[int, str]]:
    """Order `c2` before `c10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]
