"""Events folded to snapshots, in bounded memory however long the crawl is.

Events come from the event loop, and the thread that shows them takes snapshots, so that a terminal that does not
accept its output (a paused one, a slow line) never blocks the crawl. Hence the lock.
"""

import re
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping

from farm.model.crawl import Stats
from farm.model.event import (
    Committed,
    Event,
    Fate,
    LastReading,
    MemoryRead,
    Notice,
    PacesRead,
    PageDone,
    Phase,
    Reclaimed,
    Recycled,
    RedisAway,
    RedisBack,
    SinkAway,
    SinkBack,
    SlotPhase,
    StatsRead,
    VisitFailed,
)
from farm.model.record import Batch
from farm.model.url import site_of
from farm.monitor.progress import ProgressMeter
from farm.monitor.site_counts import SiteCounts
from farm.monitor.snapshot import BIN_S, PAGE_BUCKETS_S, QUANTILES, SlotView, Snapshot

BINS = 240
_RATE_BINS = 10 // BIN_S
_TIMES = 1000
FAILURES = 50
NOTICES = 20
MOST_CODES = 100
"""How many different statuses are counted; a server may send any number of three digits."""
_LATEST = 0.05
"""The weight of a page in the mean of a phase: about the last twenty count."""
_DIGITS = re.compile(r"(\d+)")


class Tally:
    """The numbers of one process; `fold` is an `Emit`. `limit` is how many pages the run may render."""

    def __init__(self, started: float, limit: int | None = None) -> None:
        self._lock = threading.Lock()
        self._started = started
        self._slots: dict[str, SlotView] = {}
        self._order: tuple[str, ...] = ()
        self._stats = Stats()
        self._progress = ProgressMeter(limit)
        self._readings: dict[type[LastReading], LastReading] = {}
        self._bin = 0
        self._in_bin = 0
        self._history: deque[int] = deque(maxlen=BINS)
        self._bytes_lately: deque[int] = deque(maxlen=_RATE_BINS)
        self._bytes_in_bin = 0
        self._page_ms: deque[int] = deque(maxlen=_TIMES)
        self._page_buckets = [0] * (len(PAGE_BUCKETS_S) + 1)
        self._page_ms_total = 0
        self._phase_ms: dict[str, float] = {}
        self._codes: Counter[int] = Counter()
        self._fates: Counter[str] = Counter()
        self._pages_done = self._visits_failed = self._bytes_received = 0
        self._first_page_s = 0.0
        self._memory_peak = 0
        self._recycled: Counter[str] = Counter()
        self._relieved: Counter[str] = Counter()
        self._relieved_bytes = 0
        self._sites = SiteCounts()
        self._failures: deque[VisitFailed] = deque(maxlen=FAILURES)
        self._notices: deque[Notice] = deque(maxlen=NOTICES)
        self._away_since: float | None = None
        self._sinks_away: dict[str, float] = {}
        self._site: str | None = None
        self._several_sites = False

    def fold(self, event: Event) -> None:  # noqa: C901, PLR0912 - one case for each event
        """Process one event."""
        with self._lock:
            if isinstance(event, LastReading):
                self._readings[type(event)] = event
            match event:
                case SlotPhase():
                    self._fold_phase(event)
                case PageDone():
                    self._fold_page(event)
                case Committed(batch=batch):
                    self._fold_batch(batch)
                case VisitFailed():
                    self._visits_failed += event.fate in {Fate.RETRY, Fate.DEAD}
                    self._fates[event.fate] += 1
                    self._failures.append(event)
                    self._sites.failure(event)
                case PacesRead():
                    self._sites.paces(event.at, event.paces)
                case Recycled():
                    self._recycled[event.unit] += 1
                case Reclaimed():
                    self._relieved[event.measure] += 1
                    self._relieved_bytes += event.freed_bytes
                case MemoryRead():
                    self._memory_peak = max(self._memory_peak, event.used_bytes)
                case StatsRead():
                    self._stats = event.stats
                    self._progress.note(event.at, event.stats.ledger)
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
                case Notice():
                    self._notices.append(event)
                case _:
                    pass

    def snapshot(self, now: float) -> Snapshot:
        """Return a snapshot of the current state; `now` is of the events' clock."""
        with self._lock:
            self._advance(now)
            elapsed_s = max(now - self._started, 0.001)
            overall = self._pages_done / elapsed_s
            recent = list(self._history)[-_RATE_BINS:]
            slots = tuple(self._slots[name] for name in self._order)
            sites, other_sites = self._sites.views(now, slots)
            return Snapshot(
                now=now,
                started=self._started,
                slots=slots,
                stats=self._stats,
                progress=self._progress.read(),
                readings=dict(self._readings),
                pages_done=self._pages_done,
                visits_failed=self._visits_failed,
                pages_per_s=sum(recent) / (len(recent) * BIN_S) if recent else overall,
                pages_per_s_overall=overall,
                first_page_s=self._first_page_s,
                history=tuple(self._history),
                page_quantiles_ms=quantiles(sorted(self._page_ms)),
                page_buckets=tuple(self._page_buckets),
                page_s_total=self._page_ms_total / 1000,
                codes=dict(self._codes),
                fates=dict(self._fates),
                phase_ms=dict(self._phase_ms),
                bytes_received=self._bytes_received,
                bytes_per_s=sum(self._bytes_lately) / (max(1, len(self._bytes_lately)) * BIN_S),
                memory_peak_bytes=self._memory_peak,
                recycled=dict(self._recycled),
                relieved=dict(self._relieved),
                relieved_bytes=self._relieved_bytes,
                sites=sites,
                other_sites=other_sites,
                failures=tuple(self._failures),
                notices=tuple(self._notices),
                away_since=self._away_since,
                sinks_away=dict(self._sinks_away),
                single_site=None if self._several_sites else self._site,
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
            self._order = tuple(sorted(self._slots, key=natural))
        if event.url and not self._several_sites:
            site = site_of(event.url)
            self._several_sites = self._site is not None and site != self._site
            self._site = site or self._site

    def _fold_page(self, event: PageDone) -> None:
        self._advance(event.at)
        self._in_bin += 1
        self._first_page_s = self._first_page_s or max(0.001, event.at - self._started)
        self._pages_done += 1
        self._bytes_received += event.bytes_received
        self._bytes_in_bin += event.bytes_received
        self._page_ms.append(event.total_ms)
        self._page_ms_total += event.total_ms
        self._page_buckets[bisect_left(PAGE_BUCKETS_S, event.total_ms / 1000)] += 1
        if event.status in self._codes or len(self._codes) < MOST_CODES:
            self._codes[event.status] += 1
        self._sites.page(event)

    def _fold_batch(self, batch: Batch) -> None:
        """Take what a visit took of each phase: the record knows it, in whichever process it was made."""
        for record in batch.records:
            timings: Mapping[str, int] = record.fields.get("timings_ms") or {}
            for phase, took_ms in timings.items():
                before = self._phase_ms.get(phase, float(took_ms))
                self._phase_ms[phase] = before + _LATEST * (took_ms - before)

    def _advance(self, now: float) -> None:
        """Close the bins that lie before `now`."""
        number = int((now - self._started) // BIN_S)
        passed = number - self._bin
        if passed > 0:
            self._history.append(self._in_bin)
            self._history.extend([0] * min(passed - 1, BINS))
            self._bytes_lately.append(self._bytes_in_bin)
            self._bytes_lately.extend([0] * min(passed - 1, _RATE_BINS))
            self._bin, self._in_bin, self._bytes_in_bin = number, 0, 0


def quantiles(ordered: list[int]) -> tuple[int, ...]:
    """Return the quantiles of values that are in order; empty if there is none."""
    last = len(ordered) - 1
    steps = QUANTILES - 1
    return (
        tuple(ordered[min(last, len(ordered) * step // steps)] for step in range(QUANTILES))
        if ordered
        else ()
    )


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that orders `c2` before `c10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]
