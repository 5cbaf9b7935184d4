"""The figures as tables: a line per run while it goes on, medians and ratios at the end."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from bench.subjects import FARM
from bench.trial import Figures
from bench.workloads import WHAT

MEDIANS = (
    "pages_per_s",
    "wall_pages_per_s",
    "cpu_ms",
    "p50_ms",
    "p95_ms",
    "peak_pss_mib",
    "server_cpu_share",
    "load_before",
)
HEAD = (
    f"{'':24}{'pages/s':>9}{'of farm':>9}{'CPU ms':>8}{'p50 ms':>8}{'p95 ms':>8}"
    f"{'PSS MiB':>9}{'p/s/GiB':>9}{'recall':>9}"
)


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians by workload and number of workers, in the order of measuring; versions by subject."""

    groups: dict[tuple[str, int], list[Figures]]
    versions: dict[str, str]
    rounds: int

    def rows(self) -> list[dict[str, Any]]:
        """Return what is written to JSON."""
        return [asdict(one) for group in self.groups.values() for one in group]

    def label(self, name: str) -> str:
        """Return a subject's name with its version."""
        return f"{name} {self.versions.get(name, '')}".strip()


def summarise(figures: Sequence[Figures], versions: dict[str, str]) -> Summary:
    """Return the medians of every subject's runs; recall is the worst, since one bad run is one too many."""
    groups: dict[tuple[str, int], list[Figures]] = {}
    most = 0
    for key in dict.fromkeys((one.workload, one.workers) for one in figures):
        group = [one for one in figures if (one.workload, one.workers) == key]
        for name in dict.fromkeys(one.subject for one in group):
            runs = [one for one in group if one.subject == name]
            most = max(most, len(runs))
            medians: dict[str, Any] = {
                field: _median([getattr(run, field) for run in runs]) for field in MEDIANS
            }
            worst = {
                field: min(getattr(run, field) for run in runs) for field in ("link_recall", "text_recall")
            }
            failure = next((run.failure for run in runs if run.failure), "")
            groups.setdefault(key, []).append(replace(runs[0], **medians, **worst, failure=failure))
    return Summary(groups, versions, most)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def line(one: Figures, number: int) -> str:
    """Print the results of one run."""
    recall = min(one.link_recall, one.text_recall)
    return (
        f"{one.workload} x{one.workers} round {number}: {one.subject:18} {one.pages_per_s:6.1f} pages/s "
        f"({one.wall_pages_per_s:.1f} with start and stop), {one.cpu_ms:.0f} ms CPU, {one.peak_pss_mib:,.0f} MiB, "
        f"recall {recall:.1%}, server {one.server_cpu_share:.0%} {one.failure}"
    )


def table(summary: Summary) -> str:
    """Return the tables, one for each workload and number of workers."""
    parts = []
    for (name, workers), group in summary.groups.items():
        parts.append(f"\n{WHAT[name]}; {workers} workers, median of {summary.rounds}\n{HEAD}")
        farm = next((one.pages_per_s for one in group if one.subject == FARM), None)
        parts += [_row(one, summary.label(one.subject), farm) for one in group]
    return "\n".join(parts)


def _row(one: Figures, label: str, farm: float | None) -> str:
    ratio = f"{one.pages_per_s / farm:.2f}" if farm else "-"
    per_gib = one.pages_per_s / (one.peak_pss_mib / 1024) if one.peak_pss_mib else 0.0
    cells = (
        f"{one.pages_per_s:9.1f}{ratio:>9}{one.cpu_ms:8.0f}{_number(one.p50_ms):>8}{_number(one.p95_ms):>8}"
    )
    recall = min(one.link_recall, one.text_recall)
    return f"{label:24}{cells}{one.peak_pss_mib:9,.0f}{per_gib:9.1f}{recall:9.1%}  {one.failure}".rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def machine(browser: Path, when: datetime) -> dict[str, Any]:
    """Say what it was measured on."""
    return {
        "when": f"{when:%Y-%m-%d %H:%M} UTC",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "browser": _version(browser),
    }


def machine_line(machine: dict[str, Any]) -> str:
    """Return the same as a sentence."""
    return (
        f"{machine['when']}; {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}; Python {machine['python']}, {machine['browser']}"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((row.partition(":")[2].strip() for row in lines if row.startswith("model name")), "unknown")


def _version(browser: Path) -> str:
    try:
        done = subprocess.run([browser, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return str(browser.name)
    return f"{browser.name} {done.stdout.strip().split()[-1] if done.stdout.split() else ''}".strip()
