"""The farm's CPU by kind of process: `python -m bench.profile [OPTIONS]`, `make profile`.

One run of the farm; the CPU of its processes by kind, per page, between the first and the last request, and how
long the phases of a visit took. The CPU of processes that started and ended between two samples is in the total
only (`unseen`). The network service has a row if it is a separate process.
"""

import argparse
import math
import os
import statistics
import sys
from pathlib import Path

from bench.subjects import FARM, farm_records, subjects
from bench.trial import Trial, tried
from bench.workloads import PAGES, WHAT, workload
from farm.browser.chromium import find_browser

OWN = ("python", "node", "redis")
KINDS = (*OWN, "browser", "renderer", "gpu", "network", "utility", "zygote", "bench", "other")


def main(arguments: list[str] | None = None) -> int:
    """Run and print; return 1 if the run failed."""
    options = _options(arguments)
    found = find_browser(options.browser)
    failed = False
    for name in options.workload.split(","):
        with tried(
            subjects((options.subject,))[0],
            workload(name, options.pages),
            options.contexts,
            found.path,
            sandbox=os.geteuid() != 0,
            farm_arguments=tuple(options.farm_arguments.split()),
            memory=False,
        ) as trial:
            figures = trial.figures
            failed = failed or bool(figures.failure)
            print(f"\n{WHAT[name]}; {options.contexts} contexts: {figures.pages_per_s:.1f} pages/s")
            print(cpu_table(trial, until_end=options.until_end))
            if options.subject == FARM:
                print(phase_table(trial))
            if figures.failure:
                print(figures.failure, file=sys.stderr)
    return int(failed)


def cpu_table(trial: Trial, *, until_end: bool = False) -> str:
    """Return the CPU per page by kind of process, up to the last request or until all has ended."""
    pages = max(1, trial.figures.pages)
    last = math.inf if until_end else trial.last
    kinds = trial.ended.watched.cpu_by_kind(trial.first, last)
    total = trial.ended.watched.cpu_s(trial.first, last) * 1000 / pages
    rows = [(kind, kinds[kind] * 1000 / pages) for kind in KINDS if kinds.get(kind)]
    rows.append(("unseen", max(0.0, total - sum(ms for _, ms in rows))))
    lines = [f"{'process':12}{'ms/page':>9}{'share':>8}"]
    lines += [f"{kind:12}{ms:9.1f}{ms / total if total else 0:8.0%}" for kind, ms in rows]
    own = sum(ms for kind, ms in rows if kind in OWN)
    lines += [f"{'total':12}{total:9.1f}", f"{'own share':12}{'':9}{own / total if total else 0:8.0%}"]
    return "\n".join(lines)


def phase_table(trial: Trial) -> str:
    """Return how long the phases of a visit took, by the farm's own records."""
    timings = [record["timings_ms"] for record in farm_records(trial.job)]
    lines = [f"{'phase':12}{'p50 ms':>9}{'p95 ms':>9}"]
    for phase in timings[0] if timings else ():
        values = sorted(one[phase] for one in timings if phase in one)
        high = values[min(len(values) - 1, int(0.95 * len(values)))]
        lines.append(f"{phase:12}{statistics.median(values):9.0f}{high:9.0f}")
    return "\n".join(lines)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="Where the farm's CPU goes.")
    parser.add_argument("--workload", default="one", metavar="NAMES", help=f"of {', '.join(PAGES)} [one]")
    parser.add_argument(
        "--subject", default=FARM, metavar="NAME", help="whose CPU, as the benchmark names it"
    )
    parser.add_argument("--contexts", type=int, default=8, metavar="N")
    parser.add_argument("--pages", type=int, metavar="N")
    parser.add_argument("--browser", type=Path, metavar="FILE")
    parser.add_argument("--until-end", action="store_true", help="count what follows the last request too")
    parser.add_argument("--farm-arguments", default="", metavar="TEXT", help="more options of `farm run`")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
