"""The farm's own CPU a page with one, two and four processes at equal contexts: `python -m bench.processes`.

Each round runs every number of processes once, in an order that turns round with every round, with the same number
of contexts and of engines in all. It counts the pages, and the CPU of Python, Node and Redis, while all of these
are at work: from the first record of the process that begins last to the last record of the one that ends first.
The start of a process is paid once in a crawl of any length.
"""

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.against import summary
from bench.profile import OWN
from bench.subjects import FARM, farm_records, subjects
from bench.trial import Trial, tried
from bench.workloads import PAGES, workload
from farm.browser.chromium import find_browser


@dataclass(frozen=True, slots=True)
class Shared:
    """One run: the own CPU a page, pages a second, and the smallest share that a process has of the pages."""

    own_ms: float
    pages_per_s: float
    least_share: float
    pages: int
    failure: str


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 1 if a run failed."""
    options = _options(arguments)
    browser = find_browser(options.browser).path
    numbers = [int(number) for number in options.processes.split(",")]
    found: dict[int, list[Shared]] = {number: [] for number in numbers}
    print(f"{'processes':>9}{'pages/s':>9}{'own ms':>8}{'least share':>13}{'pages':>7}")
    for one in range(options.rounds):
        turn = one % len(numbers)
        for number in numbers[turn:] + numbers[:turn]:
            with tried(
                subjects((FARM,))[0],
                workload(options.workload, options.pages),
                options.contexts,
                browser,
                sandbox=os.geteuid() != 0,
                farm_arguments=("--processes", str(number), "--engines", str(max(numbers))),
                memory=False,
            ) as trial:
                run = shared(trial, number)
            found[number].append(run)
            print(row(number, run), flush=True)
    base = found[numbers[0]]
    for number in numbers[1:]:
        ratios = [now.own_ms / before.own_ms for now, before in zip(found[number], base, strict=True)]
        print(summary(ratios, f"own CPU a page, {number} processes / {numbers[0]}"))
        rates = [
            now.pages_per_s / before.pages_per_s for now, before in zip(found[number], base, strict=True)
        ]
        least = min(run.least_share for run in found[number])
        print(
            f"  pages a second: {statistics.median(rates):.2f} times as many; least share of a process {least:.0%}"
        )
    return int(any(run.failure for runs in found.values() for run in runs))


def row(processes: int, run: Shared) -> str:
    """Return a run as a line of the table."""
    figures = f"{processes:9}{run.pages_per_s:9.1f}{run.own_ms:8.2f}{run.least_share:13.0%}{run.pages:7}"
    return f"{figures} {run.failure}".rstrip()


def shared(trial: Trial, processes: int) -> Shared:
    """Return the figures of a run, while all of its processes were at work."""
    to_monotonic = time.monotonic() - time.time()
    times: dict[str, list[float]] = {}
    for record in farm_records(trial.job):
        at = datetime.fromisoformat(record["fetched_at"]).timestamp() + to_monotonic
        times.setdefault(record["node"], []).append(at)
    if len(times) != processes:
        failure = trial.figures.failure or f"{len(times)} processes of {processes} had pages"
        return Shared(1.0, 1.0, 0.0, trial.figures.pages, failure)
    begun, over = max(map(min, times.values())), min(map(max, times.values()))
    pages = sum(begun < at <= over for each in times.values() for at in each)
    kinds = trial.ended.watched.cpu_by_kind(begun, over)
    own_ms = sum(kinds.get(kind, 0.0) for kind in OWN) * 1000 / max(1, pages)
    counts = Counter({node: len(each) for node, each in times.items()})
    return Shared(
        max(0.001, own_ms),
        pages / max(0.001, over - begun),
        min(counts.values()) / counts.total(),
        counts.total(),
        trial.figures.failure,
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.processes", description="What more processes cost."
    )
    parser.add_argument("--processes", default="1,2,4", metavar="LIST", help="numbers of processes [1,2,4]")
    parser.add_argument("--contexts", type=int, default=8, metavar="N", help="contexts of all of them [8]")
    parser.add_argument("--pages", type=int, default=1200, metavar="N", help="pages a run [1200]")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="runs of each [4]")
    parser.add_argument("--workload", default="one", metavar="NAME", help=f"of {', '.join(PAGES)} [one]")
    parser.add_argument("--browser", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
