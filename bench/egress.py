"""What the way out costs: `python -m bench.egress [OPTIONS]`, `make bench-egress`.

First the gateway alone (`gatework`). Then the farm, on one workload, in rounds of three runs each: straight, by
ten real proxies, and by ten that ask for credentials; round by round, so that whatever else the machine does is
shared by all. The page cost is the CPU of the farm's own processes per page: the proxies run on the same machine,
so their CPU (told apart, `proxies ms`) lowers the rate, which theirs elsewhere would not.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench import report
from bench.gatework import carried
from bench.subjects import FARM, ROOT, subjects
from bench.trial import Figures, tried
from bench.workloads import PAGES, workload
from farm.browser.find import find_browser
from fixtures.proxies import RealProxy, real_proxies

RESULTS = ROOT / "bench-results"
PROXIES = 10
WAYS = {"straight": None, "proxies": "", "credentials": "somebody:hunter2"}
MOST = 1.08
"""What a page by proxies may cost of what it costs straight."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 where pages are missing."""
    options = _options(arguments)
    machine = report.machine(find_browser(None).path, datetime.now(UTC))
    print(report.machine_line(machine))
    gate = [] if options.only == "farm" else carried()
    for one in gate:
        print(one.line(), flush=True)
    runs: dict[str, list[tuple[Figures, float]]] = defaultdict(list)
    if options.only != "gateway":
        for _ in range(options.rounds):
            for way in WAYS:
                runs[way].append(_run(way, options))
                figures, spent = runs[way][-1]
                print(_line(way, figures, spent), file=sys.stderr, flush=True)
        print(_table(runs))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"egress-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    rows = [
        {"way": way, "proxies_ms": spent, **figures.row()}
        for way, each in runs.items()
        for figures, spent in each
    ]
    kept = [{name: getattr(one, name) for name in one.__slots__} for one in gate]
    path.write_text(json.dumps({"machine": machine, "gateway": kept, "runs": rows}, indent=1))
    print(path)
    return int(
        any(figures.failure or figures.text_recall < 1 for each in runs.values() for figures, _ in each)
    )


def _run(way: str, options: argparse.Namespace) -> tuple[Figures, float]:
    """Run the farm once; return its figures and the proxies' CPU per page."""
    with (
        _arguments(way) as (given, proxies),
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
        return trial.figures, _cpu_s(proxies) * 1000 / max(1, trial.figures.pages)


@contextmanager
def _arguments(way: str) -> Iterator[tuple[tuple[str, ...], list[RealProxy]]]:
    """Give the options of a way, and the proxies that serve it."""
    credentials = WAYS[way]
    if credentials is None:
        yield (), []
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-proxies-")))
        proxies = stack.enter_context(real_proxies(PROXIES, folder, credentials))
        path = folder / "proxies.txt"
        path.write_text("".join(f"{proxy.line}\n" for proxy in proxies))
        yield ("--proxies", str(path)), proxies


def _cpu_s(proxies: list[RealProxy]) -> float:
    """Return the CPU that the proxies have used since they were started."""
    spent = 0.0
    for proxy in proxies:
        first = psutil.Process(proxy.pid)
        for process in (first, *first.children(recursive=True)):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def _line(way: str, figures: Figures, spent: float) -> str:
    return (
        f"{way:12} {figures.pages} pages  {figures.pages_per_s:5.1f}/s  {figures.cpu_ms:6.1f} ms CPU a page"
        f"  p50 {figures.p50_ms or 0:5.0f} ms  proxies {spent:5.1f} ms  {figures.failure}"
    )


def _table(runs: dict[str, list[tuple[Figures, float]]]) -> str:
    """Compare medians, and each round with its own straight run."""
    lines = [f"{'way':12}{'pages/s':>9}{'CPU ms/page':>13}{'cost':>7}{'of its round':>20}{'proxies ms':>12}"]
    straight = [figures.cpu_ms for figures, _ in runs["straight"]]
    for way, each in runs.items():
        cpu = [figures.cpu_ms for figures, _ in each]
        ratios = sorted(mine / other for mine, other in zip(cpu, straight, strict=True))
        lines.append(
            f"{way:12}{statistics.median(figures.pages_per_s for figures, _ in each):9.1f}"
            f"{statistics.median(cpu):13.1f}{statistics.median(cpu) / statistics.median(straight):7.2f}"
            f"{f'{ratios[0]:.2f} .. {ratios[-1]:.2f}':>20}{statistics.median(spent for _, spent in each):12.1f}"
        )
    lines.append(f"cost is of the straight run's; {MOST} is what it may be")
    return "\n".join(lines)


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
