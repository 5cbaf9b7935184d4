"""Compare the farm with its peers and with the floor: `python -m bench [OPTIONS]`, `make bench`.

Every round runs every subject once, one after the other, so that other load on the machine affects all alike; the
table has medians. JSON and a chart are written to `bench-results/`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench import chart, report
from bench.environments import NotInstallable
from bench.subjects import FARM, FLOOR, PEER_NAMES, ROOT, Subject, subjects
from bench.trial import Figures, tried
from bench.workloads import PAGES, workload
from farm.browser.chromium import find_browser

RESULTS = ROOT / "bench-results"
BUSY = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return 1 if a subject failed or returned incomplete pages."""
    options = _options(arguments)
    browser = find_browser(options.browser)
    measured = _subjects(options.peers)
    if psutil.getloadavg()[0] > BUSY:
        print(
            f"note: the machine is busy (load {psutil.getloadavg()[0]:.1f}); ratios suffer less than figures"
        )
    figures: list[Figures] = []
    for name in options.workload:
        # One workload shows the scaling with workers; the others differ in their pages.
        for workers in options.contexts if name == options.workload[0] else options.contexts[-1:]:
            for number in range(options.rounds):
                for subject in measured:
                    with tried(
                        subject,
                        workload(name, options.pages),
                        workers,
                        browser.path,
                        sandbox=os.geteuid() != 0,
                        farm_arguments=tuple(options.farm_arguments.split()),
                    ) as trial:
                        figures.append(trial.figures)
                        print(report.line(trial.figures, number + 1), file=sys.stderr, flush=True)
    summary = report.summarise(figures, {subject.name: subject.version for subject in measured})
    print(report.table(summary))
    RESULTS.mkdir(exist_ok=True)
    when = datetime.now(UTC)
    machine = report.machine(browser.path, when)
    path = RESULTS / f"bench-{when:%Y%m%d-%H%M%S}.json"
    rows = [one.row() for one in figures]
    results = {"machine": machine, "versions": summary.versions, "runs": rows, "medians": summary.rows()}
    path.write_text(json.dumps(results, indent=1))
    drawing = path.with_suffix(".svg")
    drawing.write_text(chart.draw(summary, machine))
    print(f"\n{report.machine_line(machine)}\n{path}\n{drawing}")
    return 1 if any(one.failure or min(one.link_recall, one.text_recall) < 1 for one in figures) else 0


def _subjects(names: tuple[str, ...]) -> list[Subject]:
    found = []
    for name in names:
        try:
            found += subjects((name,))
        except NotInstallable as error:
            print(f"note: {error}", file=sys.stderr)
    return found


def _options(arguments: list[str] | None) -> argparse.Namespace:
    everybody = (FARM, FLOOR, *PEER_NAMES)
    parser = argparse.ArgumentParser(prog="python -m bench", description="Compare the farm with its peers.")
    parser.add_argument("--workload", type=_names(tuple(PAGES)), default=tuple(PAGES), metavar="NAMES")
    parser.add_argument(
        "--contexts",
        type=_numbers,
        default=(4, 8),
        metavar="N,N",
        help="workers, the last of them for all workloads but the first [4,8]",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is run [3]")
    parser.add_argument(
        "--peers", type=_names(everybody), default=everybody, metavar="NAMES", help="who [all]"
    )
    parser.add_argument("--pages", type=int, metavar="N", help=f"pages of a run {PAGES}")
    parser.add_argument("--browser", type=Path, metavar="FILE", help="browser of all [the farm's choice]")
    parser.add_argument("--farm-arguments", default="", metavar="TEXT", help="more options of `farm run`")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        given = tuple(text.split(","))
        unknown = [name for name in given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is not one of {', '.join(known)}")
        return given

    return parse


if __name__ == "__main__":
    sys.exit(main())
