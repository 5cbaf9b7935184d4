"""What a simulated farm is given, and what comes of it: costs, machines, a crawl, deaths of nodes."""

import math
from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take, in milliseconds: of a Redis thread, of a process's event loop, of a core.

    `pair_ms` is of an ack with the next lease, `link_ms` of one link of a page, most of them known, `start_ms` of
    the question whether a visit may begin, `tick_ms` of what a process asks of Redis a second beside its visits,
    `trip_ms` of the way there and back. `python_ms` and `page_ms` are the processor's time of a page, by the
    farm's event loops and by all the rest; `waits_ms` is what a page waits for without computing until it has
    settled. An event loop runs for `turn_ms` until it waits for something again; while all cores compute, a
    process that wakes waits `wake_ms` for one. Both are means.
    """

    pair_ms: float
    link_ms: float
    start_ms: float
    idle_ms: float
    tick_ms: float
    trip_ms: float
    python_ms: float
    page_ms: float
    waits_ms: float
    turn_ms: float
    wake_ms: float


@dataclass(frozen=True, slots=True)
class Shape:
    """The machines: `contexts`, `cores` and `processes` are of one node; one master is a standalone Redis.

    With `is_beside` Redis runs on the cores of the node, else on others.
    """

    nodes: int
    contexts: int
    cores: float
    processes: int = 1
    masters: int = 1
    is_beside: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """The crawl: how its URLs spread over its sites (Zipf's exponent), and what each site allows.

    One site in `spaced` wants its visits `spacing_s` apart; 0 is none. With `varies` the processor's times of
    pages are drawn from an exponential distribution: where `latency_s` is 0, nothing else varies.
    """

    urls: int
    sites: int
    skew: float = 0.5
    places: int = 8
    spacing_s: float = 1.0
    spaced: int = 0
    latency_s: float = 0.3
    latency_sigma: float = 0.6
    links: int = 50
    varies: bool = False


@dataclass(frozen=True, slots=True)
class Deaths:
    """A node dies every so often in the mean, 0 for never, and is back after `away_s`."""

    every_s: float = 0.0
    away_s: float = 60.0


@dataclass(slots=True)
class Outcome:
    """What came of it. Rates and shares are of the time from when all slots had begun until nine tenths were done.

    `lasts_s` is when all is done at that rate, `slowest_site_s` when the last site is, by its own limits, where
    some of the crawl was left; 0 else. `busy` is how much of the contexts had a page, `redis` of the busiest
    master, `cores` and `loop` of the busiest node and process; `lease_ms` is from the request to the lease,
    without the wait for work.
    """

    done: int = 0
    repeated: int = 0
    deaths: int = 0
    lasts_s: float = 0.0
    slowest_site_s: float = 0.0
    steady_s: float = 0.0
    pages_per_s: float = 0.0
    busy: float = 0.0
    redis: float = 0.0
    cores: float = 0.0
    loop: float = 0.0
    lease_ms: float = 0.0
    lease_p99_ms: float = 0.0
    visit_s: float = 0.0
    most_at_a_site: int = 0
    history: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, pages a second) over the whole crawl."""


def spread(urls: int, sites: int, skew: float) -> list[int]:
    """Return how many URLs each site has, by Zipf's law; at least one, their sum is `urls`."""
    weights = [1 / (rank + 1) ** skew for rank in range(sites)]
    unit = (urls - sites) / sum(weights)
    counts = [1 + int(unit * weight) for weight in weights]
    for extra in range(urls - sum(counts)):
        counts[extra % sites] += 1
    return counts


def latency_s(load: Load, random: Random) -> float:
    """Return one of the times in which a site answers: they are distributed log-normally."""
    return load.latency_s * math.exp(random.gauss(0.0, load.latency_sigma)) if load.latency_s else 0.0
