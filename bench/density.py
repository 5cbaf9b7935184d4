"""How many contexts a gibibyte of memory holds: `python -m bench.density [OPTIONS]`, `make bench-density`.

Each renderer crawls the forty sites of the benchmark with its number of contexts, as a user starts it. The memory
is the proportional set size (PSS) of the farm's whole process tree, read once a second; its peak counts. A context
counts if a record names it. The run fails if a crawl lacks a page, does not use all of its contexts, or needs more
than `--most`.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.report import machine, machine_line
from bench.subjects import FARM, farm_records, subjects
from bench.trial import tried
from bench.workloads import workload
from farm.browser.chromium import find_browser
from farm.model.memory import MIB
from farm.policy.renderers import RenderMode
from farm.settings.units import parse_memory

CONTEXTS = {RenderMode.LIGHT: 200, RenderMode.FETCH: 200, RenderMode.BROWSER: 20}
PAGES_EACH = 6
"""Pages of a crawl by the number of its contexts, rounded up to whole sites: each context is to have some."""
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class ContextMemory:
    """What a crawl needed: `used` of its `contexts` have rendered a page, `peak_bytes` is all of its memory."""

    renderer: str
    contexts: int
    used: int
    peak_bytes: float
    pages: int
    pages_per_s: float
    failure: str = ""

    @property
    def per_gib(self) -> float:
        """Return how many such contexts one gibibyte holds, the farm itself included."""
        return self.used * _GIB / self.peak_bytes if self.peak_bytes else 0.0

    def line(self) -> str:
        """Return the row of the table."""
        each = self.peak_bytes / MIB / max(1, self.used)
        return (
            f"{self.renderer:10}{self.used:>6} of {self.contexts:<6}{self.peak_bytes / MIB:10,.0f}{each:12.1f}"
            f"{self.per_gib:16.0f}{self.pages:8,}{self.pages_per_s:10.1f}"
        )


HEAD = (
    f"{'renderer':10}{'contexts':>13}{'PSS MiB':>10}{'MiB each':>12}{'contexts/GiB':>16}"
    f"{'pages':>8}{'pages/s':>10}"
)


def measure(renderer: str, contexts: int, most_bytes: int, browser: Path, pages: int | None) -> ContextMemory:
    """Crawl once and return what it needed."""
    with tried(
        subjects((FARM,))[0],
        workload("forty", pages or contexts * PAGES_EACH),
        contexts,
        browser,
        sandbox=os.geteuid() != 0,
        farm_arguments=("--render", renderer, "--memory", f"{most_bytes}B"),
    ) as trial:
        figures = trial.figures
        used = len({record["context"] for record in farm_records(trial.job)})
        return ContextMemory(
            renderer,
            contexts,
            used,
            figures.peak_pss_mib * MIB,
            figures.pages,
            figures.pages_per_s,
            figures.failure,
        )


def fault(held: ContextMemory, most_bytes: int) -> str:
    """Return why a crawl does not count; empty if it does."""
    if held.failure:
        return f"{held.renderer}: {held.failure}"
    if held.used < held.contexts:
        return f"{held.renderer}: {held.contexts - held.used} contexts have rendered no page"
    if held.peak_bytes > most_bytes:
        return f"{held.renderer}: {held.peak_bytes / MIB:,.0f} MiB, more than {most_bytes / MIB:,.0f}"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 1 if a crawl does not count."""
    options = _options(arguments)
    browser = find_browser(options.browser).path
    most_bytes = options.most.of(0)
    faults: list[str] = []
    print(HEAD, flush=True)
    for renderer, contexts in options.contexts.items():
        held = measure(renderer, contexts, most_bytes, browser, options.pages)
        print(held.line(), flush=True)
        faults += filter(None, [fault(held, most_bytes)])
    print(f"\n{machine_line(machine(browser, datetime.now(UTC)))}")
    for text in faults:
        print(text, file=sys.stderr)
    return int(bool(faults))


def _contexts(text: str) -> dict[str, int]:
    """Parse `light=200,browser=20`."""
    found = dict(part.partition("=")[::2] for part in text.split(","))
    return {str(RenderMode(name)): int(number) for name, number in found.items()}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.density", description="How many contexts a gibibyte holds, by renderer."
    )
    default = ",".join(f"{name}={number}" for name, number in CONTEXTS.items())
    parser.add_argument(
        "--contexts",
        type=_contexts,
        default=dict(CONTEXTS),
        metavar="NAME=N,..",
        help=f"which, and how many [{default}]",
    )
    parser.add_argument(
        "--most",
        type=parse_memory,
        default=parse_memory("3GiB"),
        metavar="SIZE",
        help="budget of a crawl, and its limit [3GiB]",
    )
    parser.add_argument("--pages", type=int, metavar="N", help=f"pages of a crawl [{PAGES_EACH} a context]")
    parser.add_argument("--browser", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
