"""The cost of egress: `python -m bench.egress [OPTIONS]`, `make bench-egress`.

First the gateway alone (`gateway_load`). Then the farm, on one workload, in rounds of three runs each: direct,
through ten real proxies, and through ten that require credentials; round by round, so that other load on the
machine affects all alike. The page cost is the CPU of the farm's own processes per page, relative to the direct
run of the same round; of several rounds the median counts. `python ms` is the process with the gateway. The
proxies run on the same machine: their CPU (`proxies ms`) lowers the rate.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench import report
from bench.gateway_load import measure_gateway
from bench.subjects import FARM, ROOT, subjects
from bench.trial import Figures, tried
from bench.workloads import PAGES, workload
from farm.browser.chromium import find_browser
from fixtures.proxies import RealProxy, real_proxies

RESULTS = ROOT / "bench-results"
PROXIES = 10
WAYS = {"straight": None, "proxies": "", "credentials": "somebody:hunter2"}
MOST = 1.08
"""The most CPU of a page through proxies, as a multiple of a direct one."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 1 if pages are missing."""
    options = _options(arguments)
    machine = report.machine(find_browser(None).path, datetime.now(UTC))
    print(report.machine_line(machine))
    gateway_loads = [] if options.only == "farm" else measure_gateway()
    for one in gateway_loads:
        print(one.line(), flush=True)
    runs: dict[str, list[Run]] = defaultdict(list)
    if options.only != "gateway":
        ways = list(WAYS)
        for _ in range(options.rounds):
            for way in ways:
                runs[way].append(_run(way, options))
                print(_line(way, runs[way][-1]), file=sys.stderr, flush=True)
            ways = [*ways[1:], ways[0]]  # none is always the last of its round
        print(_table(runs))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"egress-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    rows = [
        {"way": way, "proxies_ms": run.proxies_ms, "python_ms": run.python_ms, **run.figures.row()}
        for way, each in runs.items()
        for run in each
    ]
    kept = [{name: getattr(one, name) for name in one.__slots__} for one in gateway_loads]
    path.write_text(json.dumps({"machine": machine, "gateway": kept, "runs": rows}, indent=1))
    print(path)
    every = [run.figures for each in runs.values() for run in each]
    return int(any(figures.failure or figures.text_recall < 1 for figures in every))


@dataclass(frozen=True, slots=True)
class Run:
    """A run's figures, and the CPU per page of the farm's Python and of the proxies."""

    figures: Figures
    python_ms: float
    proxies_ms: float


def _run(way: str, options: argparse.Namespace) -> Run:
    """Run the farm once."""
    with (
        _arguments(way) as (given, proxies, idle_s),
        tried(
            subjects((FARM,))[0],
            workload(options.workload, options.pages),
            options.contexts,
            find_browser(None).path,
            sandbox=os.geteuid() != 0,
            farm_arguments=given,
            memory=False,
        ) as trial,
    ):
        pages = max(1, trial.figures.pages)
        python_s = trial.ended.watched.cpu_by_kind(trial.first, trial.last).get("python", 0.0)
        return Run(trial.figures, python_s * 1000 / pages, (_cpu_s(proxies) - idle_s) * 1000 / pages)


@contextmanager
def _arguments(way: str) -> Iterator[tuple[tuple[str, ...], list[RealProxy], float]]:
    """Yield the options of a run, its proxies, and the CPU that their start took."""
    credentials = WAYS[way]
    if credentials is None:
        yield (), [], 0.0
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-proxies-")))
        proxies = stack.enter_context(real_proxies(PROXIES, folder, credentials))
        path = folder / "proxies.txt"
        path.write_text("".join(f"{proxy.line}\n" for proxy in proxies))
        yield ("--proxies", str(path)), proxies, _cpu_s(proxies)


def _cpu_s(proxies: list[RealProxy]) -> float:
    """Return the CPU that the proxies have used since they were started."""
    spent = 0.0
    for proxy in proxies:
        first = psutil.Process(proxy.pid)
        for process in (first, *first.children(recursive=True)):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def _line(way: str, run: Run) -> str:
    figures = run.figures
    return (
        f"{way:12} {figures.pages} pages  {figures.pages_per_s:5.1f}/s  {figures.cpu_ms:6.1f} ms CPU a page"
        f"  python {run.python_ms:5.1f} ms  p50 {figures.p50_ms or 0:5.0f} ms  proxies {run.proxies_ms:5.1f} ms"
        f"  load before {figures.load_before:.1f}  {figures.failure}"
    )


def _table(runs: dict[str, list[Run]]) -> str:
    """Compare each run with the direct one of its round, and print the medians."""
    head = f"{'way':12}{'pages/s':>9}{'CPU ms/page':>13}{'cost':>7}{'of each round':>22}"
    lines = [f"{head}{'python ms':>11}{'proxies ms':>12}"]
    for way in WAYS:
        each = runs[way]
        pairs = zip(each, runs["straight"], strict=True)
        ratios = [mine.figures.cpu_ms / other.figures.cpu_ms for mine, other in pairs]
        lines.append(
            f"{way:12}{_median(run.figures.pages_per_s for run in each):9.1f}"
            f"{_median(run.figures.cpu_ms for run in each):13.1f}{statistics.median(ratios):7.2f}"
            f"{' '.join(f'{ratio:.2f}' for ratio in ratios):>22}"
            f"{_median(run.python_ms for run in each):11.1f}{_median(run.proxies_ms for run in each):12.1f}"
        )
    lines.append(f"cost is of the straight run's; {MOST} is what it may be")
    return "\n".join(lines)


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.egress", description="What the way out costs.")
    parser.add_argument("--only", choices=("gateway", "farm"), help="one of the two parts")
    parser.add_argument("--workload", choices=tuple(PAGES), default="forty")
    parser.add_argument("--contexts", type=int, default=40, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is run [3]")
    parser.add_argument("--pages", type=int, metavar="N")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
