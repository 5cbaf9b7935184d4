"""The farm's own CPU a page, this tree against another revision: `make bench-against BASE=REV`.

Both run in turn on the same workloads, in pairs whose order alternates, so that a drifting machine affects both
alike. It compares the CPU of Python, Node and Redis per page, as reported by `bench.profile` of each tree. The
interval is Student's, of the logarithms of the pairs' ratios.
"""

import argparse
import math
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.profile import OWN
from bench.subjects import ROOT
from bench.workloads import PAGES

RUN_S = 300.0
SET_UP_S = 900.0
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
"""Two-sided 95 % quantiles of Student's t, from one degree of freedom on."""


def main(arguments: list[str] | None = None) -> int:
    """Compare and print a table for each workload."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-against-") as name:
        before = _checkout(options.revision, Path(name) / "before")
        for workload in options.workload.split(","):
            ratios: list[float] = []
            print(f"\n{workload}: own ms of CPU a page\n{'pair':>4}{'before':>9}{'now':>9}{'ratio':>8}")
            for pair in range(options.pairs):
                trees = (before, ROOT) if pair % 2 == 0 else (ROOT, before)
                own_ms = {tree: _own_ms(tree, workload, options.pages) for tree in trees}
                ratios.append(own_ms[ROOT] / own_ms[before])
                figures = f"{own_ms[before]:9.1f}{own_ms[ROOT]:9.1f}{ratios[-1]:8.3f}"
                print(f"{pair + 1:4}{figures}", flush=True)
            print(summary(ratios))
    return 0


def summary(ratios: list[float]) -> str:
    """Return the median, the geometric mean and its 95 % interval of the pairs' ratios, as a sentence."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    text = f"now / before: median {statistics.median(ratios):.3f}, mean {math.exp(mean):.3f}"
    if len(logs) < 2:  # noqa: PLR2004 - one pair has no spread
        return text
    half = T_95[min(len(logs) - 2, len(T_95) - 1)] * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{text}, 95 % interval {math.exp(mean - half):.3f} to {math.exp(mean + half):.3f}"


def _checkout(revision: str, folder: Path) -> Path:
    """Clone the revision beside this tree and set it up; the pages' React is this tree's."""
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, folder], check=True, timeout=SET_UP_S)
    subprocess.run(["git", "checkout", "--quiet", revision], cwd=folder, check=True, timeout=SET_UP_S)
    subprocess.run(["make", "setup"], cwd=folder, check=True, timeout=SET_UP_S, stdout=subprocess.DEVNULL)
    return folder


def _own_ms(tree: Path, workload: str, pages: int | None) -> float:
    command: list[str | Path] = [tree / ".venv/bin/python", "-m", "bench.profile", "--workload", workload]
    command += ["--pages", str(pages)] if pages else []
    run = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=RUN_S, check=False)
    if run.returncode != 0:
        raise SystemExit(f"the run in {tree} failed:\n{run.stdout}{run.stderr}")
    return sum(float(ms) for ms in re.findall(rf"^(?:{'|'.join(OWN)})\s+([\d.]+)", run.stdout, re.MULTILINE))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.against", description="Compare with a revision.")
    parser.add_argument("revision", help="what to compare with, as git names it")
    parser.add_argument("--pairs", type=int, default=8, metavar="N", help="runs of each [8]")
    parser.add_argument("--pages", type=int, metavar="N", help="pages a run: more of them, less noise")
    parser.add_argument("--workload", default="one,heavy", metavar="NAMES", help=f"of {', '.join(PAGES)}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
