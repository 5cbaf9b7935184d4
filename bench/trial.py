"""One run of one subject over one workload, and its figures."""

import contextlib
import json
import math
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import watch
from bench.content import Workload
from bench.environments import react_files
from bench.server import TIMES
from bench.subjects import ROOT, Job, Subject

PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run.

    `pages_per_s` counts from the first request of a page to the last request of all: starting and stopping are
    paid once in a crawl of any length, and would hide the rate in a run of a minute. `wall_pages_per_s` has
    them in it. `cpu_ms` is of the subject's whole process tree in the same span as `pages_per_s`.
    """

    subject: str
    workload: str
    workers: int
    pages: int
    pages_per_s: float
    wall_pages_per_s: float
    cpu_ms: float
    p50_ms: float | None
    p95_ms: float | None
    peak_pss_mib: float
    link_recall: float
    text_recall: float
    images: int
    server_cpu_share: float
    load_before: float
    failure: str = ""

    def row(self) -> dict[str, Any]:
        """Return the figures as they are written to JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Trial:
    """A run with all that was seen of it, for those who look closer than at the figures."""

    figures: Figures
    job: Job
    ended: watch.Ended
    first: float
    last: float


@contextlib.contextmanager
def tried(
    subject: Subject,
    workload: Workload,
    workers: int,
    browser: Path,
    *,
    sandbox: bool,
    farm_arguments: tuple[str, ...] = (),
    memory: bool = True,
) -> Iterator[Trial]:
    """Run a subject once; its folder is there until the context ends."""
    load_before = psutil.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name,
        _served(workload) as server,
    ):
        job = Job(workload.urls, workers, browser, sandbox, Path(name), farm_arguments)
        ended = watch.run(subject.command(job), job.folder, subject.environment, PATIENCE_S, memory=memory)
        times = _times(workload.origins[0] + TIMES)
        spent = psutil.Process(server.pid).cpu_times()
        span = max(1e-9, times["last"] - times["first"])
        brought = {page.url: page for page in subject.pages(job)}
        pages = len(brought) or (subject.count(job) if subject.count else 0)
        links = texts = 0.0
        for number, url in enumerate(workload.urls):
            expected, page = workload.expected(number), brought.get(url)
            if page is not None:
                links += len(expected.links & page.links) / len(expected.links)
                texts += sum(phrase in page.html for phrase in expected.phrases) / len(expected.phrases)
        took = sorted(page.ms for page in brought.values() if page.ms is not None)
        figures = Figures(
            subject=subject.name,
            workload=workload.name,
            workers=workers,
            pages=pages,
            pages_per_s=pages / span,
            wall_pages_per_s=pages / ended.wall_s,
            cpu_ms=ended.watched.cpu_s(times["first"], times["last"]) * 1000 / max(1, pages),
            p50_ms=_quantile(took, 0.5),
            p95_ms=_quantile(took, 0.95),
            peak_pss_mib=ended.watched.peak_pss_mib,
            link_recall=links / workload.pages,
            text_recall=texts / workload.pages,
            images=times["images"],
            server_cpu_share=(spent.user + spent.system) / span,
            load_before=load_before,
            failure=_failure(ended, workload.pages - pages),
        )
        yield Trial(figures, job, ended, times["first"], times["last"])


def _times(url: str) -> dict[str, Any]:
    """Ask the server when it was asked; past any proxy that the environment names."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _failure(ended: watch.Ended, missing: int) -> str:
    if ended.code is None:
        return f"had to be ended after {PATIENCE_S:g} s"
    said = " | ".join(ended.output.strip().splitlines()[-8:])
    if ended.code != 0:
        return f"ended with {ended.code}: {said[-300:]}"
    return f"{missing} pages are missing: {said[-900:]}" if missing else ""


def _quantile(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, math.ceil(share * len(values)) - 1)] if values else None


@contextlib.contextmanager
def _served(workload: Workload) -> Iterator["subprocess.Popen[bytes]"]:
    """Serve the workload from a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as job:
        json.dump({**asdict(workload), "react": [str(path) for path in react_files()]}, job)
        job.flush()
        server = subprocess.Popen(
            [sys.executable, "-m", "bench.server", job.name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            if server.stdout is None or server.stdout.readline() != b"ready\n":
                raise RuntimeError("the benchmark's server did not start")
            yield server
        finally:
            server.terminate()
            server.communicate(timeout=10)
