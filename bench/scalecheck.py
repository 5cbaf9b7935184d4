"""The simulation beside real runs of one, two and four processes on this machine: `python -m bench.scale --check`.

The costs of a page are measured first: its processor time in a run of one process, and what it waits for in a run
of one context, in which nothing queues. The rates and lease times of the runs that are predicted are not used.
Others on the machine take processor time: the simulation has as many cores as they left.
"""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil

from bench.sim import Costs, Load, Shape, Simulation
from bench.subjects import FARM, farm_records, subjects
from bench.trial import Trial, tried
from bench.workloads import workload
from farm.browser.chromium import find_browser

PROCESSES = (1, 2, 4)
CONTEXTS, ENGINES, PAGES, ALONE_PAGES = 8, 4, 600, 100
RAMP_PAGES = 50
"""Left out of the lease times: the browsers start."""


@dataclass(frozen=True, slots=True)
class Real:
    """A real run; `cores` is what others left of the machine's, `kinds` the CPU of a page by process, in ms."""

    pages_per_s: float
    lease_ms: float
    visit_ms: float
    cores: float
    kinds: dict[str, float]
    failure: str


def check(costs: Costs, rounds: int) -> int:
    """Measure, simulate and print the two beside each other; return 1 where a run failed."""
    alone, base = real(1, 1, ALONE_PAGES), real(1, CONTEXTS, PAGES)
    page_ms = sum(ms for kind, ms in base.kinds.items() if kind != "python")
    own = replace(
        costs,
        python_ms=base.kinds["python"],
        page_ms=page_ms,
        waits_ms=max(0.0, alone.visit_ms - sum(alone.kinds.values())),
        trip_ms=alone.lease_ms,
    )
    print(f"a page: {own.python_ms:.1f} ms Python, {page_ms:.1f} ms other, waits {own.waits_ms:.0f} ms")
    columns = ("cores", "pages/s", "simulated", "off", "lease ms", "simulated", "off")
    print(f"{'processes':>9}" + "".join(f"{name:>11}" for name in columns))
    failed = bool(alone.failure or base.failure)
    for processes in PROCESSES:
        runs = [real(processes, CONTEXTS, PAGES) for _ in range(rounds)]
        failed = failed or any(run.failure for run in runs)
        cores = statistics.mean(run.cores for run in runs)
        told = Simulation(
            own,
            Shape(1, CONTEXTS, cores, processes),
            Load(20 * PAGES, 1, skew=0.0, places=CONTEXTS, latency_s=0.0, links=40),
        ).run()
        rate = statistics.mean(run.pages_per_s for run in runs)
        lease_ms = statistics.mean(run.lease_ms for run in runs)
        print(
            f"{processes:9}{cores:11.2f}{rate:11.1f}{told.pages_per_s:11.1f}{told.pages_per_s / rate - 1:11.0%}"
            f"{lease_ms:11.1f}{told.lease_ms:11.1f}{told.lease_ms / lease_ms - 1:11.0%}",
            flush=True,
        )
    return int(failed)


def real(processes: int, contexts: int, pages: int) -> Real:
    """Return the figures of a real run."""
    engines = min(ENGINES, contexts)
    before = _busy_s()
    with tried(
        subjects((FARM,))[0],
        workload("one", pages),
        contexts,
        find_browser(None).path,
        sandbox=os.geteuid() != 0,
        farm_arguments=("--processes", str(processes), "--engines", str(engines)),
        memory=False,
    ) as trial:
        others_s = _busy_s() - before - trial.ended.watched.samples[-1][1]
        return _figures(trial, max(0.1, (os.cpu_count() or 1) - others_s / trial.ended.wall_s))


def _figures(trial: Trial, cores: float) -> Real:
    timings = [record["timings_ms"] for record in farm_records(trial.job)][RAMP_PAGES:]
    kinds = trial.ended.watched.cpu_by_kind(trial.first, trial.last)
    pages = max(1, trial.figures.pages)
    return Real(
        trial.figures.pages_per_s,
        _mean([one["lease"] for one in timings]),
        _mean([one["total"] for one in timings]),
        cores,
        {kind: 1000 * seconds / pages for kind, seconds in kinds.items()},
        trial.figures.failure,
    )


def _mean(values: Sequence[float]) -> float:
    return statistics.mean(values) if values else 0.0


def _busy_s() -> float:
    """Return the processor time that all processes of the machine have used so far, in seconds."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
