"""A node's Prometheus metrics, made from a snapshot at each scrape.

Names follow Prometheus' conventions: base units (seconds, bytes), counters end in `_total`. The number of label
values is bounded: states, reasons and status classes, never a site or a URL. Counters cover this run of
this node; the help of a metric says if it covers the crawl over all nodes.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from farm.model.crawl import Stats
from farm.model.event import EligibleRead, Phase
from farm.monitor.snapshot import PAGE_BUCKETS_S, Snapshot
from farm.policy.error_bound import most_wrong

STATES = ("running", "paused", "draining", "stopped", "finished")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class SnapshotCollector(Collector):
    """Makes metrics of the snapshot that `source` returns."""

    def __init__(self, source: Callable[[], Snapshot], version: str) -> None:
        self._source = source
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not take a snapshot to know the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of this moment."""
        snapshot = self._source()
        yield _gauge("farm_build_info", "The version, as a label; always 1.", "version", {self._version: 1})
        yield from _visits(snapshot)
        yield from _crawl(snapshot)
        yield from _machine(snapshot)


def exposition(source: Callable[[], Snapshot], version: str) -> Callable[[], bytes]:
    """Return the function that makes the text of a scrape, in the format of `CONTENT_TYPE`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(source, version))
    return lambda: generate_latest(registry)


def _visits(snapshot: Snapshot) -> Iterable[Metric]:
    """Yield the metrics of this node's visits."""
    outcomes = {"done": snapshot.pages_done, "retry": 0, "dead": 0, "released": 0} | dict(snapshot.fates)
    yield _counter("farm_pages", "Visits that ended, by outcome.", "outcome", outcomes)
    classes = {f"{number}xx": 0 for number in range(1, 6)} | dict(snapshot.statuses)
    yield _counter("farm_responses", "Recorded pages by class of status.", "code", classes)
    yield CounterMetricFamily("farm_received_bytes", "Bytes that pages brought.", snapshot.bytes_received)
    total, buckets = 0, []
    for bound, count in zip((*map(str, PAGE_BUCKETS_S), "+Inf"), snapshot.page_buckets, strict=True):
        total += count
        buckets.append((bound, total))
    yield HistogramMetricFamily(
        "farm_page_duration_seconds",
        "Time of a recorded page, from its lease to its record.",
        buckets=buckets,
        sum_value=snapshot.page_s_total,
    )
    yield _counter(
        "farm_recycled",
        "Contexts and engines that were replaced.",
        "unit",
        snapshot.recycled,
        "context",
        "engine",
    )
    yield _counter("farm_reclaimed", "Measures against tight memory.", "measure", snapshot.relieved)
    phases = {str(phase): 0 for phase in Phase} | {
        str(phase): count for phase, count in snapshot.phases.items()
    }
    yield _gauge("farm_contexts", "Contexts by what they do.", "state", phases)
    yield GaugeMetricFamily(
        "farm_contexts_admitted",
        "How many contexts may work at the moment.",
        snapshot.admission.limit,
    )


def _crawl(snapshot: Snapshot) -> Iterable[Metric]:
    """Yield the metrics of the crawl, over all its nodes."""
    stats, ledger = snapshot.stats, snapshot.stats.ledger
    urls = {name: getattr(ledger, name) for name in ("queued", "delayed", "leased", "done", "dead")}
    yield _gauge("farm_queue_urls", "URLs of the crawl by state, over all nodes.", "state", urls)
    if (eligible := snapshot.last(EligibleRead)) is not None:
        text = "URLs of the crawl that could be leased now, without those that wait for their site."
        yield GaugeMetricFamily("farm_eligible_urls", text, eligible.urls)
    yield _gauge("farm_dead_urls", "Dead URLs of the crawl by reason.", "reason", stats.dead_by_reason)
    yield GaugeMetricFamily("farm_sites", "Sites of the crawl.", stats.sites)
    yield from _tiers(stats)
    yield CounterMetricFamily("farm_accepted_urls", "URLs that the crawl accepted.", ledger.accepted)
    yield CounterMetricFamily("farm_duplicate_links", "Links to what was known already.", stats.duplicates)
    yield CounterMetricFamily("farm_expired_leases", "Leases that were not settled in time.", stats.expired)
    yield _counter(
        "farm_skipped_urls", "Different URLs that were skipped, by reason.", "reason", snapshot.skipped
    )
    yield _gauge(
        "farm_crawl_state",
        "1 for the state of the crawl, 0 for the others.",
        "state",
        {state: int(state == stats.state) for state in STATES},
    )
    if snapshot.proxied.used or snapshot.proxied.budget:
        yield CounterMetricFamily("farm_proxy_bytes", "Bytes by proxies, both ways.", snapshot.proxied.used)
        yield GaugeMetricFamily(
            "farm_proxy_budget_bytes", "Their budget, 0 is none.", snapshot.proxied.budget
        )
    yield GaugeMetricFamily("farm_redis_up", "Whether Redis answers.", int(snapshot.away_since is None))
    yield GaugeMetricFamily("farm_sinks_away", "Stores that take no records.", len(snapshot.sinks_away))


def _tiers(stats: Stats) -> Iterable[Metric]:
    """Yield the results of `--render auto`; nothing if it has compared no page."""
    tiers = stats.tiers
    if not (tiers.audits or tiers.compared):
        return
    pages = {
        "browser": max(0, stats.rendered - tiers.cheap),
        **{str(one): n for one, n in tiers.pages.items()},
    }
    yield _gauge("farm_rendered_pages", "Pages of the crawl by what brought them.", "renderer", pages)
    yield CounterMetricFamily("farm_render_audits", "Pages that two renderers brought.", tiers.audits)
    yield CounterMetricFamily("farm_render_differences", "Audits that differed.", tiers.differed)
    yield CounterMetricFamily("farm_render_requeued", "Pages to be visited again.", tiers.requeued)
    wrong = most_wrong(tiers.pages_by_share, tiers.differed)
    yield GaugeMetricFamily("farm_render_wrong_pages_most", "At most so many differ, at 95 %.", wrong)


def _machine(snapshot: Snapshot) -> Iterable[Metric]:
    """Yield the metrics of this node's resources."""
    yield GaugeMetricFamily("farm_memory_bytes", "Memory of all processes.", snapshot.memory.used_bytes)
    yield GaugeMetricFamily("farm_memory_budget_bytes", "The budget of it.", snapshot.memory.budget_bytes)
    yield GaugeMetricFamily("farm_memory_peak_bytes", "The most it was.", snapshot.memory_peak_bytes)
    yield GaugeMetricFamily("farm_processes", "Processes, browsers included.", snapshot.memory.processes)
    yield _gauge(
        "farm_event_loop_lag_seconds",
        "How late the event loop runs what is due: at most since the last reading, and of the run.",
        "quantile",
        {
            "recent": snapshot.loop_lag.recent_s,
            "0.99": snapshot.loop_lag.p99_s,
            "1": snapshot.loop_lag.longest_s,
        },
    )
    yield GaugeMetricFamily("farm_uptime_seconds", "Since the start of the run.", snapshot.elapsed_s)


def _counter(name: str, text: str, label: str, values: Mapping[str, float], *least: str) -> Metric:
    """Return a counter with a label; the values of `least` exist from the start, as rates need them."""
    family = CounterMetricFamily(name, text, labels=[label])
    for value, number in (dict.fromkeys(least, 0.0) | dict(values)).items():
        family.add_metric([value], number)
    return family


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
