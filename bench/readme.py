"""Write a benchmark's results into the README: `python -m bench.readme [RESULTS.json]`, `make bench-readme`.

Draws the chart to `docs/bench.svg` and writes a table with date and machine between the marks in the README, and
one of each crawler on one site between those in `docs/migration.md`.
Without an argument it takes the newest results that have every workload.
"""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench import chart, report
from bench.subjects import FARM, FLOOR, ROOT
from bench.trial import Figures
from bench.workloads import PAGES, WHAT

RESULTS = ROOT / "bench-results"
README = ROOT / "README.md"
MIGRATION = ROOT / "docs" / "migration.md"
CHART = ROOT / "docs" / "bench.svg"
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"


class NoResults(Exception):
    """There are no results to show."""


def main(arguments: list[str] | None = None) -> int:
    """Write both files and print their names; return 1 if there are no results."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.readme", description="Put a benchmark's results into the README."
    )
    parser.add_argument(
        "results", nargs="?", type=Path, help="of `make bench` [the newest that are complete]"
    )
    path = parser.parse_args(arguments).results
    try:
        path = path or newest(RESULTS)
        shown(json.loads(path.read_text()), README, MIGRATION, CHART)
    except (NoResults, OSError, ValueError) as error:
        print(f"nothing is changed: {error}", file=sys.stderr)
        return 1
    print(f"{path} -> {CHART}, {README}, {MIGRATION}")
    return 0


def newest(folder: Path) -> Path:
    """Return the newest results with every workload, the farm, the floor and a peer in them."""
    for path in sorted(folder.glob("bench-*.json"), reverse=True):
        runs = json.loads(path.read_text())["runs"]
        subjects = {run["subject"] for run in runs}
        if {run["workload"] for run in runs} == set(PAGES) and {FARM, FLOOR} < subjects:
            return path
    raise NoResults(f"{folder} has no results of a whole `make bench`")


def shown(results: dict[str, Any], readme: Path, migration: Path, drawing: Path) -> None:
    """Draw the chart and replace what stands between the marks; raises NoResults if a document has no marks."""
    known = {field.name for field in fields(Figures)}
    runs = [Figures(**{name: run[name] for name in known & run.keys()}) for run in results["runs"]]
    if not runs:
        raise NoResults("the results have no runs")
    summary = report.summarise(runs, results.get("versions", {}))
    machine = results["machine"]
    texts = {
        readme: _replaced(readme, _section(summary, machine)),
        migration: _replaced(migration, _one_site(summary)),
    }
    drawing.parent.mkdir(exist_ok=True)
    drawing.write_text(chart.draw(summary, machine), encoding="utf-8")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


def _replaced(path: Path, section: str) -> str:
    """Return the text of a document with a new section between its marks."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoResults(f"{path} has no {BEGIN} and {END}")
    return f"{before}{begin}\n{section}\n{end}{after}"


def _one_site(summary: report.Summary) -> str:
    """Return a table of every crawler on the first workload with its most workers, the fastest first."""
    first = next(iter(summary.groups))[0]
    workers = max(workers for name, workers in summary.groups if name == first)
    lines = [
        f"| {WHAT[first][0].upper()}{WHAT[first][1:]}; {workers} workers | Pages/s | CPU a page | Memory |"
    ]
    lines.append("|---|---|---|---|")
    group = [one for one in summary.groups[first, workers] if one.subject != FLOOR]
    for one in sorted(group, key=lambda one: -one.pages_per_s):
        name = "the farm" if one.subject == FARM else summary.label(one.subject)
        lines.append(
            f"| {name} | {one.pages_per_s:.1f} | {one.cpu_ms:.0f} ms | {one.peak_pss_mib:,.0f} MiB |"
        )
    return "\n".join(lines)


def _section(summary: report.Summary, machine: dict[str, Any]) -> str:
    lines = [
        "![Pages per second of the farm, its peers and the browser alone](docs/bench.svg)",
        "",
        f"`make bench`, medians of {summary.rounds} interleaved rounds, the farm with its queue in Redis and its",
        f"records on the disk. {report.machine_line(machine)}.",
        "",
        "| Workload | Farm | Best peer | Farm / peer | Of raw CDP | Farm's recall |",
        "|---|---|---|---|---|---|",
    ]
    for (name, workers), group in summary.groups.items():
        by_name = {one.subject: one for one in group}
        farm, floor = by_name.get(FARM), by_name.get(FLOOR)
        if farm is None:
            continue
        peers = [one for one in group if one.subject not in {FARM, FLOOR}]
        peer = max(peers, key=lambda one: one.pages_per_s, default=None)
        cells = [
            f"{WHAT[name][0].upper()}{WHAT[name][1:]}; {workers} workers",
            f"{farm.pages_per_s:.1f} pages/s",
            f"{peer.pages_per_s:.1f} ({summary.label(peer.subject)})" if peer else "-",
            f"{farm.pages_per_s / peer.pages_per_s:.1f}" if peer and peer.pages_per_s else "-",
            f"{farm.pages_per_s / floor.pages_per_s:.2f}" if floor and floor.pages_per_s else "-",
            f"{min(farm.link_recall, farm.text_recall):.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
