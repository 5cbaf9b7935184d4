"""How much one site bears: a controller of its visits in flight and of its rate, fed by what it answers.

Two things are learnt apart. *In flight* follows the latency: its baseline is seen now and then at half the load,
a sustained rise above it holds, more cuts (the gradient of Netflix' concurrency limits). *The rate* is free until
the site says that it is too much (429, 503). The first time the search begins at what the site took before that,
and goes on by doubling. Later the rate is cut below what the site delivered, comes back to there along a cubic
curve, stays a while, and probes beyond faster and faster (after CUBIC, RFC 9438), so that a limit that was doubled
is found again in a minute and one that was not is seldom touched.

What always holds: a burst of refusals cuts once, since a visit granted before a cut says nothing about it;
nothing grows that is not used; visits that a busy machine delayed neither cut nor teach.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farm.policy.throttling import THROTTLING

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


@dataclass(frozen=True, slots=True)
class PaceParams:
    """`first` visits in flight at the start, `most` at any time; a rate of 0 is none.

    `grow`, `hold` and `cut` are latencies as multiples of the baseline: up to the first the limit grows, beyond
    the second it is cut if it stays so, beyond the third at once. A window is closed when it has `window_s` and
    `fewest` visits; every `probe_every` windows in which the limit was used one is spent at half of it, to see the
    latency without the load. `ceiling` is a rate per second that is never exceeded, 0 for none. Below `slowest`
    the refusals themselves and what they ask to wait hold the site down: refusals that have nothing to do with
    the rate would otherwise bring it to a standstill.
    """

    first: int = 8
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
    """What is known of a site. `limit` is in flight, `rate` per second and 0 while it is free.

    `top` is the rate at which it was too much last; 0 while a first one is searched for. `since` is when the
    present rate began to hold: after the last cut, and after what the site asked to wait. `back_to` is the limit
    to return to after a probe. `delivered` are the answers of the last seconds, each with its number; `latencies`
    those of the window. `refused` counts the refusals of the whole crawl. `refused_at` is when the first refused
    visit began, and `taken` how many visits that began before it were answered.
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
    """A site's pace as all nodes know it; `now_s` and `blocked_until_s` are of the crawl's clock.

    `pace` is None where nothing was learnt yet, and `first` is the limit in flight that holds until then.
    `stored` is what was read, by which a write finds out whether another node was faster.
    """

    stored: bytes
    pace: Pace | None
    now_s: float
    in_flight: int
    blocked_until_s: float
    first: int


def start(params: PaceParams) -> Pace:
    """Return the pace of a site of which nothing is known."""
    return Pace(float(params.first))


def step(pace: Pace, samples: Sequence[Sample], in_flight: int, now: float, params: PaceParams) -> Pace:
    """Fold what visits have shown since the last step; `in_flight` is how many are under way now."""
    if not pace.opened:
        begun = min((sample.started_s for sample in samples), default=now)
        pace = replace(pace, opened=begun, since=begun)
    pace = replace(pace, busiest=max(pace.busiest, in_flight))
    # What was answered first: the rate that a site bears is told by what it delivered.
    for sample in samples:
        if sample.status not in THROTTLING:
            pace = _seen(pace, sample)
    for sample in samples:
        if sample.status in THROTTLING:
            pace = _refused(pace, sample, now, params)
    if now - pace.opened >= params.window_s and pace.seen >= params.fewest:
        pace = _judged(pace, now, params)
    return _grown(pace, now, params)


def blocked(pace: Pace, until: float) -> Pace:
    """Start the clock of the rate's growth only when the site may be visited again."""
    return replace(pace, since=max(pace.since, until), grown_at=max(pace.grown_at, until))


def delivered_per_s(pace: Pace, now: float) -> float:
    """Return how many visits a second the site has answered lately."""
    first = max(pace.since, now - _BINS + 1)
    count = sum(n for second, n in pace.delivered if second >= int(first))
    return count / max(1.0, now - int(first))


def _first_rate(pace: Pace, params: PaceParams) -> float:
    """Return where the search for the rate begins: below what the site took before it first refused."""
    return max(params.search_from, params.rate_cut * pace.taken / max(1.0, pace.refused_at - pace.opened))


def _seen(pace: Pace, sample: Sample) -> Pace:
    failed = sample.status == 0 or sample.status >= 500  # noqa: PLR2004
    bins, latencies = dict(pace.delivered), pace.latencies
    if not failed:
        second = int(sample.finished_s)
        bins[second] = bins.get(second, 0) + 1
        # The farm's own slowness is in the latency of a overloaded visit, the load of before in an old one's.
        if not sample.overloaded and sample.started_s >= pace.opened and len(latencies) < _LATENCIES:
            latencies = (*latencies, round(sample.latency_ms))
        if pace.rate and not pace.top and sample.started_s <= pace.refused_at:
            # Begun before the first refusal, shown after it, as the visit of a page is longer than a refusal.
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
        # The site gives less than before: half of it at worst, or a burst would starve it for minutes.
        top = min(pace.rate, max(delivered * 1.05, pace.rate / 2))
        if pace.top and now - pace.since < params.back_after_s:
            top *= 0.95
    elif now - pace.since >= params.window_s:
        top = max(delivered, params.slowest)
    else:
        # Nothing is known but what the site took before it refused, and of that the most is still to come in.
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
        # A probe tells anew what the latency is without the load, also when it has risen for good.
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
    """Move the rate along its curve, for as long as it is used."""
    if not pace.rate or now <= pace.grown_at:
        return pace
    lately = now - pace.since
    if lately > 3 and delivered_per_s(pace, now) < 0.6 * pace.rate:  # noqa: PLR2004 - some whole seconds
        # Not used: time stands still for the curve.
        return replace(pace, since=pace.since + now - pace.grown_at, grown_at=now)
    if not pace.top:
        rate = _first_rate(pace, params) * 2 ** (
            max(0.0, lately - params.search_after_s) / params.search_doubling_s
        )
    else:
        past = lately - params.back_after_s
        back = (1 - params.rate_cut) / params.back_after_s**3
        rate = pace.top * (1 + (back if past < 0 else params.steepness) * past**3)
    if params.ceiling:
        rate = min(rate, params.ceiling)
    return replace(pace, rate=max(pace.rate, rate), grown_at=now)
