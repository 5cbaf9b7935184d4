"""The simulation beside real runs of one, two and four processes on this machine: `python -m bench.scale --check`.

The costs of a page are measured: its processor time in the run itself, since several processes need more for a
page than one, and what it waits for in a run of one context, in which nothing queues. The rates and lease times of
the runs that are predicted are not used. Others on the machine take processor time: the simulation has as many
cores as they left. How long the turns of the farm's event loops are, and how long they wait for a core, is what
Linux counts of their threads in the run.
"""

import os
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import psutil

from bench.sim import Simulation
from bench.sim_terms import Costs, Load, Outcome, Shape
from bench.subjects import FARM, farm_records, subjects
from bench.trial import Trial, tried
from bench.watch import Turns
from bench.workloads import workload
from farm.browser.chromium import find_browser

PROCESSES = (1, 2, 4)
CONTEXTS, ENGINES, PAGES, ALONE_PAGES = 8, 4, 600, 200
LINKS = 40
"""Of a page of the workload."""
MACHINE_CORES = os.cpu_count() or 1
SAMPLE_S = 0.2
RAMP_PAGES = 50
"""Left out of the lease times: the browsers start."""


@dataclass(frozen=True, slots=True)
class Real:
    """A real run; `cores` is what others left of the machine's.

    `page_ms` is the CPU of a page, `turns` what the event loops did, `turns_ms` how long for a page.
    """

    pages_per_s: float
    lease_ms: float
    visit_ms: float
    cores: float
    page_ms: float
    turns: Turns
    turns_ms: float
    failure: str


def check(costs: Costs, rounds: int) -> int:
    """Measure, simulate and print the two beside each other; return 1 where a run failed."""
    alone = real(1, 1, ALONE_PAGES)
    own = alone_costs(costs, alone)
    print(f"a page waits {own.waits_ms:.0f} ms, a lease takes {alone.lease_ms:.1f} ms with one context")
    columns = [
        "loops ms",
        "other ms",
        "turn ms",
        "wake ms",
        "cores",
        "pages/s",
        "simulated",
        "off",
        "lease ms",
        "simulated",
        "off",
    ]
    print(f"{'processes':>9}" + "".join(f"{name:>11}" for name in columns))
    for processes in PROCESSES:
        runs = [real(processes, CONTEXTS, PAGES) for _ in range(rounds)]
        if failure := next((run.failure for run in (alone, *runs) if run.failure), ""):
            print(f"{processes:9} failed: {failure}")
            return 1
        cores = statistics.mean(run.cores for run in runs)
        predicted = run_costs(own, runs)
        told = simulated(predicted, processes, cores)
        rate = statistics.mean(run.pages_per_s for run in runs)
        lease_ms = statistics.mean(run.lease_ms for run in runs)
        print(
            f"{processes:9}{predicted.python_ms:11.1f}{predicted.page_ms:11.1f}"
            f"{predicted.turn_ms:11.2f}{predicted.wake_ms:11.2f}{cores:11.2f}"
            f"{rate:11.1f}{told.pages_per_s:11.1f}{told.pages_per_s / rate - 1:11.0%}"
            f"{lease_ms:11.1f}{told.lease_ms:11.1f}{told.lease_ms / lease_ms - 1:11.0%}",
            flush=True,
        )
    return 0


def alone_costs(costs: Costs, alone: Real) -> Costs:
    """Return costs with what a run of one context has waited for, where no page waits for another.

    Its computing takes longer by as much as others slow the cores down. Of the time of its lease the call in Redis
    and the turn that reads the reply are simulated, and what is left is the way.
    """
    call_ms = costs.pair_ms + LINKS * costs.link_ms + costs.start_ms
    read_ms = alone.turns.ran_ms + alone.turns.waited_ms
    return replace(
        costs,
        waits_ms=max(0.0, alone.visit_ms - alone.page_ms * MACHINE_CORES / alone.cores),
        trip_ms=max(0.0, alone.lease_ms - call_ms - read_ms),
    )


def run_costs(costs: Costs, runs: Sequence[Real]) -> Costs:
    """Return costs with what a page computed, and how the event loops ran, in real runs."""
    turns = sum((run.turns for run in runs), Turns())
    python_ms = statistics.mean(run.turns_ms for run in runs)
    page_ms = statistics.mean(run.page_ms for run in runs) - python_ms
    return replace(costs, python_ms=python_ms, page_ms=page_ms, turn_ms=turns.ran_ms, wake_ms=turns.waited_ms)


def simulated(costs: Costs, processes: int, cores: float) -> Outcome:
    """Return what a run with so many processes, and Redis, on so many cores comes to."""
    shape = Shape(1, CONTEXTS, cores, processes, is_beside=True)
    load = Load(20 * PAGES, 1, skew=0.0, places=CONTEXTS, latency_s=0.0, links=LINKS, varies=True)
    return Simulation(costs, shape, load).run()


def real(processes: int, contexts: int, pages: int) -> Real:
    """Return the figures of a real run."""
    with (
        _Machine() as machine,
        tried(
            subjects((FARM,))[0],
            workload("one", pages),
            contexts,
            find_browser(None).path,
            sandbox=os.geteuid() != 0,
            farm_arguments=("--processes", str(processes), "--engines", str(min(ENGINES, contexts))),
            memory=False,
        ) as trial,
    ):
        span_s = max(0.1, trial.last - trial.first)
        own_s = trial.ended.watched.cpu_s(trial.first, trial.last)
        others_s = machine.busy_s(trial.first, trial.last) - own_s
        return _figures(trial, processes, max(0.1, MACHINE_CORES - others_s / span_s))


class _Machine:
    """Samples the processor time of all processes of the machine, from a thread of its own, until it is left."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def busy_s(self, since: float, until: float) -> float:
        """Return what was used between two moments of the monotonic clock, in seconds."""
        within = [used for moment, used in self._samples if since <= moment <= until]
        return within[-1] - within[0] if within else 0.0

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            times = psutil.cpu_times()
            used = times.user + times.nice + times.system + times.irq + times.softirq
            self._samples.append((time.monotonic(), float(used)))


def _figures(trial: Trial, processes: int, cores: float) -> Real:
    timings = [record["timings_ms"] for record in farm_records(trial.job)][RAMP_PAGES:]
    watched = trial.ended.watched
    # One that watches over the others has no pages, and runs less than they do.
    loops = watched.turns_of("python", trial.first, trial.last)[:processes]
    turns = sum(loops, Turns())
    pages = max(1, trial.figures.pages)
    return Real(
        trial.figures.pages_per_s,
        _mean([one["lease"] for one in timings]),
        _mean([one["total"] for one in timings]),
        cores,
        1000 * sum(watched.cpu_by_kind(trial.first, trial.last).values()) / pages,
        turns,
        1000 * turns.ran_s / pages,
        trial.figures.failure,
    )


def _mean(values: Sequence[float]) -> float:
    return statistics.mean(values) if values else 0.0
