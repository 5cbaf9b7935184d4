"""The figures of a soak: its guarantees, and other measurements."""

import argparse
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from farm.policy.admission import IDLE_LONGEST_S, RETIRE_IDLE_S
from farm.settings.units import parse_duration, parse_memory

if TYPE_CHECKING:
    from bench.soak import Soak

MIB = 2**20
STALL_S = 8.0
"""A gap of four samples."""


def judge(soak: "Soak", options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures, and whether the guarantees were kept."""
    budget_mib = parse_memory(options.memory).of(0) / MIB
    peak = max(sample.pss_mib for sample in soak.samples)
    over = [sample for sample in soak.samples if sample.pss_mib > budget_mib]
    ramp_s = parse_duration(options.ramp_up) + 5.0
    ends = min(parse_duration(options.time), max(soak.pages, default=0.0))
    third = (ends - ramp_s) / 3
    first, last = (_pages_between(soak, begin, begin + third) for begin in (ramp_s, ends - third))
    ledger = soak.summary.get("ledger", {})
    whole = ledger.get("accepted") == ledger.get("done", 0) + ledger.get("dead", 0)
    full_at = next((at for at, limit, _ in soak.limits if limit >= options.contexts), None)
    kept = peak <= 1.05 * budget_mib and len(over) <= 1 and whole and not soak.left and soak.code == 0
    fds = [sample.fds for sample in soak.samples if sample.fds]
    return {
        "verdict": "kept" if kept else "broken",
        "exit code": soak.code,
        "peak PSS, from outside": f"{peak:,.0f} MiB of {budget_mib:,.0f} ({peak / budget_mib:.0%})",
        "peak, by the farm": f"{soak.summary.get('peak_memory_bytes', 0) / MIB:,.0f} MiB",
        "samples over the budget": f"{len(over)} of {len(soak.samples)}",
        "pages/s, first and last third": f"{first:.2f}, {last:.2f} (x {last / first if first else 0:.2f})",
        "pages/s overall": f"{len(soak.pages) / max(1.0, ends):.2f}",
        "ledger": ledger,
        "dead": soak.summary.get("dead"),
        "recycled": soak.summary.get("recycled"),
        "relief": soak.summary.get("relief"),
        "killed by us": soak.kills,
        "contexts, median": statistics.median(sample.renderers for sample in soak.samples),
        "all contexts admitted after": full_at,
        "visits": visits(soak),
        "most arrivals in a second of the ramp": _burst(soak.arrivals, parse_duration(options.ramp_up)),
        "arrivals by second": _histogram(soak.arrivals, parse_duration(options.ramp_up)),
        "the farm's reading to PSS": _reading_error(soak),
        "the meter, of one core": _meter_share(soak),
        "files open, after the ramp, most": f"{next(iter(fds[10:]), 0)}, {max(fds)}",
        "at rest, of one core": _rest(soak),
        "the machine stood still": ", ".join(f"{b - a:.0f} s at {a:.0f} s" for a, b in stalls(soak))
        or "never",
        "left behind": soak.left or "nothing",
        "load of the machine": f"{soak.load[0]:.1f} before, {soak.load[1]:.1f} after",
    }


def _rest(soak: "Soak") -> str:
    """Return the CPU of the paused farm, with its contexts open and after they were closed."""
    begins, ends = soak.rested
    # The first seconds are those of the visits that were under way.
    parts = (
        (begins + 8.0, begins + RETIRE_IDLE_S),
        (begins + RETIRE_IDLE_S + IDLE_LONGEST_S * 1.25 + 5.0, ends),
    )
    return " | then ".join(filter(None, (_share(soak, *part) for part in parts))) or "not tried"


def _share(soak: "Soak", begins: float, ends: float) -> str:
    quiet = [one for one in soak.samples if begins <= one.at <= ends]
    if len(quiet) < 2:  # noqa: PLR2004
        return ""
    first, last = quiet[0], quiet[-1]
    lasted_s = last.at - first.at
    of_kinds = {
        kind: (cpu_s - first.cpu_by_kind.get(kind, 0.0)) / lasted_s
        for kind, cpu_s in last.cpu_by_kind.items()
    }
    parts = ", ".join(f"{kind} {share:.1%}" for kind, share in of_kinds.items() if share >= 0.0005)  # noqa: PLR2004
    renderers = f"{last.renderers} renderers, {lasted_s:.0f} s"
    return f"{(last.cpu_s - first.cpu_s) / lasted_s:.1%} ({parts}; {renderers})"


def compare(calm: "Soak", soak: "Soak", options: argparse.Namespace) -> str:
    """Return the effect of the kills, or of the page beside, on the other pages."""
    (before, before_ms), (after, after_ms) = (
        (_pages_per_s(one, options), _percentile(one.visits_ms, 95)) for one in (calm, soak)
    )
    faster, slower = after / before if before else 0.0, after_ms / before_ms if before_ms else 0.0
    return f"x {faster:.2f} pages/s, x {slower:.2f} p95 of a visit"


def stalls(soak: "Soak") -> list[tuple[float, float]]:
    """Return when nothing was sampled for long: farm, shop and sampler stand still together in a suspended VM."""
    moments = [sample.at for sample in soak.samples]
    return [(one, other) for one, other in pairwise(moments) if other - one > STALL_S]


def _pages_between(soak: "Soak", begins: float, ends: float) -> float:
    """Return the pages a second, of the seconds in which the machine ran."""
    stalled = sum(max(0.0, min(ends, until) - max(begins, since)) for since, until in stalls(soak))
    return sum(begins <= at < ends for at in soak.pages) / max(1.0, ends - begins - stalled)


def _pages_per_s(soak: "Soak", options: argparse.Namespace) -> float:
    """Return the pages a second after the ramp and before the index ends."""
    return _pages_between(soak, parse_duration(options.ramp_up) + 5.0, parse_duration(options.time))


def pace(soak: "Soak", options: argparse.Namespace) -> str:
    """Return the pages a second, as text."""
    return f"{_pages_per_s(soak, options):.2f} pages/s"


def visits(soak: "Soak") -> str:
    """Return how long visits took, as text."""
    return f"p50 {_percentile(soak.visits_ms, 50)} ms, p95 {_percentile(soak.visits_ms, 95)} ms"


def _percentile(values: list[int], percent: int) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0


def _histogram(arrivals: list[float], ramp_s: float) -> str:
    """Return how many pages were requested in each second of the ramp, and of five after it."""
    counts = [0] * (int(ramp_s) + 5)
    for at in arrivals:
        second = int(at - arrivals[0])
        if second < len(counts):
            counts[second] += 1
    return " ".join(map(str, counts))


def _reading_error(soak: "Soak") -> str:
    """Compare the farm's own memory readings with the PSS measured from outside at about the same time."""
    whole, own = [], []
    for sample in soak.samples:
        near = min(soak.readings, key=lambda one: abs(one[0] - sample.at), default=None)
        if near is not None and sample.pss_mib and abs(near[0] - sample.at) <= 1.0:
            whole.append(abs(near[1] / sample.pss_mib - 1))
            own.append(near[2] / sample.renderers_mib if sample.renderers_mib else 1.0)
    if not whole:
        return "not known"
    worst = sorted(whole)[int(0.95 * (len(whole) - 1))]
    return (
        f"off by {statistics.median(whole):.1%} (median), {worst:.1%} (p95); "
        f"{statistics.median(own):.0%} of the renderers' is attributed to contexts"
    )


def _meter_share(soak: "Soak") -> str:
    if len(soak.readings) < 2:  # noqa: PLR2004
        return "not known"
    first, last = soak.readings[0], soak.readings[-1]
    return f"{(last[3] - first[3]) / max(1.0, last[0] - first[0]):.1%}"


def _burst(arrivals: list[float], ramp_s: float) -> str:
    if not arrivals or ramp_s <= 0:
        return "none"
    during = [at for at in arrivals if at <= arrivals[0] + ramp_s]
    most = max(sum(start <= at < start + 1.0 for at in during) for start in during)
    return f"{most} (a share is {len(during) / ramp_s:.1f})"
