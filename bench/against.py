"""The farm's own CPU a page, this tree against another revision or against itself with other options.

    make bench-against BASE=REV
    python -m bench.against --with "--sink sqlite:///pages.db" --contexts 40

Both run in turn on the same workloads, in pairs whose order alternates, so that a drifting machine affects both
alike. It compares the CPU of Python, Node and Redis per page, as reported by `bench.profile` of each tree. The
interval is Student's, of the logarithms of the pairs' ratios.
"""

import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.profile import OWN
from bench.subjects import ROOT
from bench.workloads import PAGES

RUN_S = 300.0
SET_UP_S = 900.0
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
"""Two-sided 95 % quantiles of Student's t, from one degree of freedom on."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the farm: `arguments` are options of `farm run`, `extra` those of `bench.profile`."""

    tree: Path
    workload: str
    pages: int | None = None
    arguments: str = ""
    extra: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def own_ms(self) -> float:
        """Run it, and return the own CPU a page in milliseconds. Raises SystemExit where it fails."""
        command: list[str | Path] = [self.tree / ".venv/bin/python", "-m", "bench.profile"]
        command += ["--workload", self.workload, *self.extra]
        command += ["--pages", str(self.pages)] if self.pages else []
        command += [f"--farm-arguments={self.arguments}"] if self.arguments else []
        run = subprocess.run(
            command,
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
            env={**os.environ, **self.environment},
        )
        if run.returncode != 0:
            raise SystemExit(f"the run in {self.tree} failed:\n{run.stdout}{run.stderr}")
        rows = re.findall(rf"^(?:{'|'.join(OWN)})\s+([\d.]+)", run.stdout, re.MULTILINE)
        return sum(float(ms) for ms in rows)


def main(arguments: list[str] | None = None) -> int:
    """Compare and print a table for each workload."""
    options = _options(arguments)
    extra = ("--contexts", str(options.contexts)) if options.contexts else ()
    if options.until_end:
        extra = (*extra, "--until-end")
    with tempfile.TemporaryDirectory(prefix="bench-against-") as name:
        before = ROOT if options.revision is None else _checkout(options.revision, Path(name) / "before")
        for workload in options.workload.split(","):
            ratios: list[float] = []
            runs = (
                Run(before, workload, options.pages, options.arguments, extra),
                Run(ROOT, workload, options.pages, f"{options.arguments} {options.given}".strip(), extra),
            )
            print(f"\n{workload}: own ms of CPU a page\n{'pair':>4}{'before':>9}{'now':>9}{'ratio':>8}")
            for pair in range(options.pairs):
                order = (0, 1) if pair % 2 == 0 else (1, 0)
                own_ms = {at: runs[at].own_ms() for at in order}
                ratios.append(own_ms[1] / own_ms[0])
                print(f"{pair + 1:4}{own_ms[0]:9.1f}{own_ms[1]:9.1f}{ratios[-1]:8.3f}", flush=True)
            print(summary(ratios))
    return 0


def summary(ratios: list[float], what: str = "now / before") -> str:
    """Return the median, the geometric mean and its 95 % interval of the pairs' ratios, as a sentence."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    text = f"{what}: median {statistics.median(ratios):.3f}, mean {math.exp(mean):.3f}"
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


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.against", description="Compare with a revision, or with other options."
    )
    parser.add_argument("revision", nargs="?", help="what to compare with, as git names it [this tree]")
    parser.add_argument(
        "--with", dest="given", default="", metavar="TEXT", help="options of `farm run` that only `now` has"
    )
    parser.add_argument(
        "--farm-arguments", dest="arguments", default="", metavar="TEXT", help="options that both have"
    )
    parser.add_argument("--pairs", type=int, default=8, metavar="N", help="runs of each [8]")
    parser.add_argument("--pages", type=int, metavar="N", help="pages a run: more of them, less noise")
    parser.add_argument("--contexts", type=int, metavar="N", help="contexts of both [those of bench.profile]")
    parser.add_argument("--until-end", action="store_true", help="count what follows the last request too")
    parser.add_argument("--workload", default="one,heavy", metavar="NAMES", help=f"of {', '.join(PAGES)}")
    options = parser.parse_args(arguments)
    if options.revision is None and not options.given:
        parser.error("give a revision, or --with")
    return options


if __name__ == "__main__":
    sys.exit(main())
