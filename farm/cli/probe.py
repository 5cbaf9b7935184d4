"""A probe: a short crawl within the limits that are given, to measure what a page takes and costs."""

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from farm.app.preflight import RunPlan, preflight
from farm.app.running import RunningCrawl, run_crawl
from farm.model.clock import Clock
from farm.model.errors import UsageError
from farm.model.url import site_of
from farm.monitor.tally import Tally
from farm.policy.capacity import first_contexts
from farm.resources.host_load import CpuUsage, core_count
from farm.resources.processes import tree_cpu_s
from farm.settings.commands import PlanSettings, RunSettings
from farm.sinks.address import DEFAULT

PAGES = 80
WARM_PAGES = 16
"""The first pages pay for the start of the browsers: they are not counted."""
TIME_S = 45.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe has measured of `pages` pages.

    `took_s` is how long a context's turn takes, from one page to the next, and `cpu_s` the CPU time of a page.
    `others` is how many of the machine's cores something else was using meanwhile.
    """

    pages: int
    took_s: float
    cpu_s: float
    others: float
    site: str


class _Measuring:
    """Looks at the CPU time when the probe is warm, and when it ends. Satisfies the port `RunObserver`."""

    def __init__(self) -> None:
        self.pages = 0
        self.cpu_s = self.others = self.passed_s = 0.0
        self._tally: Tally | None = None
        self._clock: Clock | None = None
        self._usage = CpuUsage()
        self._looking: asyncio.Task[None] | None = None
        self._begun: tuple[int, float, float] | None = None

    def opened(self, plan: RunPlan, tally: Tally, clock: Clock) -> None:  # noqa: ARG002 - a port
        """Take what counts the pages."""
        self._tally, self._clock = tally, clock

    def ready(self, run: RunningCrawl) -> None:  # noqa: ARG002 - a port
        """Begin to look."""
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Note where the measurement begins. Its end is that of the run."""
        for _ in range(round(TIME_S / LOOK_S)):
            if self._done() >= WARM_PAGES:
                self._usage.busy_share()
                self._begun = self._done(), tree_cpu_s(), self._now()
                return
            await asyncio.sleep(LOOK_S)

    def ended(self) -> None:
        """Measure: the browsers are still there."""
        if self._looking is not None:
            self._looking.cancel()
        if self._begun is None:
            return
        pages, cpu_s, at = self._begun
        self.pages = self._done() - pages
        used_s, self.passed_s = tree_cpu_s() - cpu_s, max(1e-6, self._now() - at)
        self.cpu_s = used_s / max(1, self.pages)
        self.others = max(0.0, core_count() * self._usage.busy_share() - used_s / self.passed_s)

    def close(self) -> None:
        """Do nothing more."""

    def _done(self) -> int:
        return self._tally.snapshot(self._now()).pages_done if self._tally is not None else 0

    def _now(self) -> float:
        return self._clock.monotonic() if self._clock is not None else 0.0


async def probe(settings: PlanSettings) -> Probed:
    """Crawl some pages from the URLs into a temporary folder; raises UsageError where too few came, FarmError."""
    with tempfile.TemporaryDirectory(prefix="farm-plan-", ignore_cleanup_errors=True) as folder:
        measuring, plan = _Measuring(), _plan(settings, Path(folder) / "crawl")
        end = await run_crawl(plan, measuring)
    if end.failure is not None:
        raise end.failure
    if measuring.pages < 1:
        raise UsageError(
            f"The probe saw {end.stats.rendered} pages, and needs more than {WARM_PAGES}; give another URL, or "
            "what a page takes by --page-time and --page-cpu."
        )
    took_s = plan.contexts * measuring.passed_s / measuring.pages
    return Probed(measuring.pages, took_s, measuring.cpu_s, measuring.others, site_of(settings.urls[0]))


def _plan(settings: PlanSettings, output: Path) -> RunPlan:
    names = PlanSettings.model_fields.keys() & RunSettings.model_fields.keys()
    given = {name: getattr(settings, name) for name in names}
    given |= {"output": output, "limit": PAGES, "time_limit": TIME_S, "ramp_up": 0.0, "sink": (DEFAULT,)}
    # A private Redis: the crawl that is planned for is another matter.
    for name in ("redis", "crawl", "redis_ca_file", "redis_patience"):
        given[name] = RunSettings.model_fields[name].default
    given["contexts"] = min(settings.contexts or PAGES, first_contexts(core_count()))
    known = settings.model_fields_set & RunSettings.model_fields.keys()
    whole = RunSettings.model_construct(_fields_set={*known}, **given)
    return replace(preflight(whole), is_temporary=True)
