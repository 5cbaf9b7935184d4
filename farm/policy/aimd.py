"""The pace of one site: a controller of its concurrency and of its rate, fed by the site's answers.

The two are learnt separately. *Concurrency* follows the latency: its baseline is measured now and then at half the
load, a sustained rise above it stops the growth, a larger one cuts (the gradient of Netflix' concurrency limits).
*The rate* is unlimited until the site throttles (429, 503). The first search for it begins at what the site served
before, and doubles. Later the rate is cut below what the site delivered, returns to that along a cubic curve,
stays there, and probes beyond it faster and faster (after CUBIC, RFC 9438): a limit that was doubled is found in a
minute, and one that was not is seldom reached.

Invariants: a burst of throttling answers cuts once, since a visit that began before a cut says nothing
about it; a limit that is not used does not grow; visits that an overloaded machine delayed change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farm.policy.retry import THROTTLING

_BINS = 6
_LATENCIES = 48


@dataclass(frozen=True, slots=True)
class Sample:
    """One settled visit. `status` is 0 where the site gave no answer.

    `started_s` and `finished_s` are of the crawl's clock; `overloaded` says that the farm itself was slow.
    """

    started_s: float
    finished_s: float
    status: int
    latency_ms: float
    overloaded: bool = False


FIRST_IN_FLIGHT = 8
"""The concurrency of a site of which nothing is known."""


@dataclass(frozen=True, slots=True)
class PaceParams:
    """The concurrency is `first` at the start and `most` at the maximum; a rate of 0 is no limit.

    `grow`, `hold` and `cut` are latencies as multiples of the baseline: up to the first the limit grows, beyond
    the second it is cut if it stays so, beyond the third at once. A window is closed when it has `window_s` and
    `fewest` visits; every `probe_every` windows in which the limit was used one is spent at half of it, to see the
    latency without the load. `ceiling` is a rate per second that is never exceeded, 0 for none. The rate is not
    cut below `slowest` either: throttling that has nothing to do with the rate would otherwise stop the site.
    """

    first: int = FIRST_IN_FLIGHT
    most: int = 64
    ceiling: float = 0.0
    window_s: float = 3.0
    fewest: int = 8
    grow: float = 1.1
    hold: float = 1.2
    cut: float = 1.5
    probe_first: int = 4
    probe_every: int = 20
    failure_cut: float = 0.7
    failures: float = 0.2
    slowest: float = 1.0
    search_from: float = 2.0
    search_after_s: float = 5.0
    search_doubling_s: float = 4.0
    rate_cut: float = 0.92
    steepness: float = 2e-5
    back_after_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The learnt limits of a site. `limit` is its concurrency, `rate` is per second and 0 while unlimited.

    `top` is the rate at which the site throttled last; 0 during the first search. `since` is when the
    present rate began to hold: after the last cut, and after the site's Retry-After. `back_to` is the limit
    to return to after a probe. `delivered` counts the answers of the last seconds, by second; `latencies`
    those of the window. `refused` counts the throttling answers of the whole crawl. `refused_at` is when the first
    throttled visit began, and `taken` how many visits that began before it were answered.
    """

    limit: float
    rate: float = 0.0
    top: float = 0.0
    since: float = 0.0
    grown_at: float = 0.0
    baseline_ms: float = 0.0
    opened: float = 0.0
    windows: int = 0
    back_to: float = 0.0
    was_slow: bool = False
    seen: int = 0
    failed: int = 0
    busiest: int = 0
    latencies: tuple[int, ...] = ()
    delivered: tuple[tuple[int, int], ...] = ()
    refused: int = 0
    refused_at: float = 0.0
    taken: int = 0
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class PaceSnapshot:
    """A site's pace, shared by all nodes; `now_s` and `blocked_until_s` are of the crawl's clock.

    `pace` is None if nothing was learnt yet, and `first` is the limit in flight that holds until then.
    `stored` is the text that was read, by which a write detects that another node wrote first.
    """

    stored: bytes
    pace: Pace | None
    now_s: float
    in_flight: int
    blocked_until_s: float
    first: int


def start(params: PaceParams) -> Pace:
    """Return the initial pace of a site."""
    return Pace(float(params.first))


def step(pace: Pace, samples: Sequence[Sample], in_flight: int, now: float, params: PaceParams) -> Pace:
    """Return the pace after the visits since the last step; `in_flight` is how many are under way now."""
    if not pace.opened:
        begun = min((sample.started_s for sample in samples), default=now)
        pace = replace(pace, opened=begun, since=begun)
    pace = replace(pace, busiest=max(pace.busiest, in_flight))
    # Answers first: a cut of the rate depends on what the site delivered.
    for sample in samples:
        if sample.status not in THROTTLING:
            pace = _seen(pace, sample)
    for sample in samples:
        if sample.status in THROTTLING:
            pace = _refused(pace, sample, now, params)
    if now - pace.opened >= params.window_s and pace.seen >= params.fewest:
        pace = _judged(pace, now, params)
    pace = _grown(pace, now, params)
    # A cut, the search for the rate and `slowest` use what the site can take, not what the user allows.
    return replace(pace, rate=min(pace.rate, params.ceiling)) if params.ceiling else pace


def blocked(pace: Pace, until: float) -> Pace:
    """Return the pace with the growth of its rate delayed until the site may be visited again."""
    return replace(pace, since=max(pace.since, until), grown_at=max(pace.grown_at, until))


def delivered_per_s(pace: Pace, now: float) -> float:
    """Return how many visits a second the site answered in the last seconds."""
    first = max(pace.since, now - _BINS + 1)
    count = sum(n for second, n in pace.delivered if second >= int(first))
    return count / max(1.0, now - int(first))


def _first_rate(pace: Pace, params: PaceParams) -> float:
    """Return where the search for the rate begins: below what the site served before it first throttled."""
    return max(params.search_from, params.rate_cut * pace.taken / max(1.0, pace.refused_at - pace.opened))


def _seen(pace: Pace, sample: Sample) -> Pace:
    failed = sample.status == 0 or sample.status >= 500  # noqa: PLR2004
    bins, latencies = dict(pace.delivered), pace.latencies
    if not failed:
        second = int(sample.finished_s)
        bins[second] = bins.get(second, 0) + 1
        # The latency of a visit on an overloaded machine is the machine's, that of an old visit the old load's.
        if not sample.overloaded and sample.started_s >= pace.opened and len(latencies) < _LATENCIES:
            latencies = (*latencies, round(sample.latency_ms))
        if pace.rate and not pace.top and sample.started_s <= pace.refused_at:
            # The visit began before the first throttling answer and ended after it: a page takes longer.
            pace = replace(pace, taken=pace.taken + 1)
    return replace(
        pace,
        seen=pace.seen + 1,
        failed=pace.failed + (failed and not sample.overloaded),
        latencies=latencies,
        delivered=tuple(sorted(bins.items())[-_BINS:]),
    )


def _refused(pace: Pace, sample: Sample, now: float, params: PaceParams) -> Pace:
    pace = replace(pace, refused=pace.refused + 1)
    if sample.started_s < pace.since:
        return pace
    delivered = delivered_per_s(pace, now)
    if pace.rate:
        # The site serves less than before: half of it at worst, or a burst would slow it for minutes.
        top = min(pace.rate, max(delivered * 1.05, pace.rate / 2))
        if pace.top and now - pace.since < params.back_after_s:
            top *= 0.95
    elif now - pace.since >= params.window_s:
        top = max(delivered, params.slowest)
    else:
        # Only what the site served before it throttled is known, and most of those visits have not ended.
        taken = sum(number for _, number in pace.delivered)
        pace = replace(
            pace, refused_at=sample.started_s, taken=taken, since=now, grown_at=now, verdict="refused"
        )
        return replace(pace, rate=_first_rate(pace, params))
    rate = max(params.slowest, top * params.rate_cut)
    return replace(pace, rate=rate, top=top, since=now, grown_at=now, verdict="refused")


def _judged(pace: Pace, now: float, params: PaceParams) -> Pace:
    """Close a window: move the limit in flight by the latency and by the visits that failed."""
    limit, baseline, verdict, back_to = pace.limit, pace.baseline_ms, "", 0.0
    taught = len(pace.latencies) * 2 >= min(pace.seen, _LATENCIES)
    median = float(sorted(pace.latencies)[len(pace.latencies) // 2]) if taught else 0.0
    if median and (pace.back_to or not baseline or median < baseline):
        # A probe measures the latency without load again, also after a permanent rise.
        baseline = median
    used = pace.busiest + 1 >= limit
    rise = median / baseline if median and baseline else 0.0
    if pace.back_to:
        limit = pace.back_to
    elif pace.failed > params.failures * pace.seen:
        limit, verdict = limit * params.failure_cut, "failing"
    elif rise > params.cut or (rise > params.hold and pace.was_slow):
        limit, verdict = limit * max(0.5, params.grow / rise), "slow"
    elif rise > params.hold:
        verdict = "held"
    elif 0 < rise <= params.grow and used:
        limit += 1.0
    limit = min(float(params.most), max(1.0, limit))
    windows = pace.windows + used
    if used and not pace.back_to and limit > 1 and windows % params.probe_every == params.probe_first:
        back_to, limit = limit, max(1.0, limit / 2)
    return replace(
        pace,
        limit=limit,
        back_to=back_to,
        baseline_ms=baseline,
        opened=now,
        windows=windows,
        was_slow=rise > params.hold and not pace.back_to,
        seen=0,
        failed=0,
        busiest=0,
        latencies=(),
        verdict=verdict or ("refused" if pace.rate else ""),
    )


def _grown(pace: Pace, now: float, params: PaceParams) -> Pace:
    """Move the rate along its curve while it is used."""
    if not pace.rate or now <= pace.grown_at:
        return pace
    lately = now - pace.since
    if lately > 3 and delivered_per_s(pace, now) < 0.6 * pace.rate:  # noqa: PLR2004 - some whole seconds
        # The rate is not used: the curve does not advance.
        return replace(pace, since=pace.since + now - pace.grown_at, grown_at=now)
    if not pace.top:
        rate = _first_rate(pace, params) * 2 ** (
            max(0.0, lately - params.search_after_s) / params.search_doubling_s
        )
    else:
        past = lately - params.back_after_s
        back = (1 - params.rate_cut) / params.back_after_s**3
        rate = pace.top * (1 + (back if past < 0 else params.steepness) * past**3)
    return replace(pace, rate=max(pace.rate, rate), grown_at=now)
