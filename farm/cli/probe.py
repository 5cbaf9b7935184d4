"""A probe: a short crawl within the given limits, to measure the duration and the cost of a page."""

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from farm.app.preflight import RunPlan, preflight
from farm.app.running import RunningCrawl, run_crawl
from farm.cli.streams import tell
from farm.model.clock import Clock
from farm.model.errors import UsageError
from farm.model.url import site_of
from farm.monitor.page_cost import WARM_PAGES, PageCost
from farm.monitor.tally import Tally
from farm.policy.capacity import first_contexts
from farm.resources.host_load import usable_cores
from farm.settings.commands import PlanSettings, RunSettings
from farm.sinks.address import DEFAULT

PAGES = 80
TIME_S = 45.0
FASTEST = 10
"""One page in so many takes no longer than one does while few are visited at once."""


@dataclass(frozen=True, slots=True)
class Probed:
    """The measurements of a probe of `pages` pages.

    `took_s` is how long a context's turn takes, from one page to the next, `alone_s` what the fastest pages
    took, and `cpu_s` the CPU time of a page. `others` is how many of the machine's cores something else was
    using meanwhile. The first page began after `start_s`. `pace` is the rate per second that the site has
    throttled the probe to, 0 where it has not.
    """

    pages: int
    took_s: float
    cpu_s: float
    others: float
    site: str
    start_s: float
    alone_s: float
    pace: float


class _Measuring:
    """Measures from the end of the warm-up to the end of the probe. Implements the port `RunObserver`."""

    def __init__(self) -> None:
        self.cost: PageCost | None = None
        self.pace = self.alone_s = 0.0
        self._tally: Tally | None = None
        self._clock: Clock | None = None
        self._warming: asyncio.Task[None] | None = None

    def opened(self, plan: RunPlan, tally: Tally, clock: Clock) -> None:  # noqa: ARG002 - a port
        """Take what counts the pages."""
        self.cost, self._tally, self._clock = PageCost(tally, clock), tally, clock

    def ready(self, run: RunningCrawl) -> None:  # noqa: ARG002 - a port
        """Begin to measure."""
        if self.cost is not None:
            self._warming = asyncio.get_running_loop().create_task(self.cost.warm())

    def ended(self) -> None:
        """Measure: the browsers are still there."""
        if self._warming is not None:
            self._warming.cancel()
        if self.cost is not None:
            self.cost.measure()
        if self._tally is not None and self._clock is not None:
            snapshot = self._tally.snapshot(self._clock.monotonic())
            self.pace = snapshot.sites[0].rate if snapshot.sites else 0.0
            times_ms = snapshot.page_quantiles_ms
            self.alone_s = times_ms[len(times_ms) // FASTEST] / 1000 if times_ms else 0.0

    def close(self) -> None:
        """Do nothing more."""


async def probe(settings: PlanSettings) -> Probed:
    """Crawl some pages from the URLs into a temporary folder; raises UsageError if too few came, FarmError."""
    with tempfile.TemporaryDirectory(prefix="farm-plan-", ignore_cleanup_errors=True) as folder:
        measuring, plan = _Measuring(), _plan(settings, Path(folder) / "crawl")
        for warning in plan.warnings:
            tell(warning)
        # Nobody has begun a log, without which Python would print them once more, in a form of its own.
        plan = replace(plan, warnings=())
        end = await run_crawl(plan, measuring)
    if end.failure is not None:
        raise end.failure
    cost = measuring.cost
    if cost is None or cost.pages < 1:
        raise UsageError(
            f"The probe saw {end.stats.rendered} pages, and needs more than {WARM_PAGES}; give another URL, or "
            "what a page takes by --page-time and --page-cpu."
        )
    took_s = plan.contexts * cost.passed_s / cost.pages
    alone_s = min(took_s, measuring.alone_s)
    return Probed(
        cost.pages,
        took_s,
        cost.cpu_s,
        cost.others,
        site_of(settings.urls[0]),
        max(0.0, cost.first_page_s - alone_s),
        alone_s,
        measuring.pace,
    )


def _plan(settings: PlanSettings, output: Path) -> RunPlan:
    names = PlanSettings.model_fields.keys() & RunSettings.model_fields.keys()
    given = {name: getattr(settings, name) for name in names}
    given |= {"output": output, "limit": PAGES, "time_limit": TIME_S, "ramp_up": 0.0, "sink": (DEFAULT,)}
    # A private Redis: the crawl that is planned for is another matter.
    for name in ("redis", "crawl", "redis_ca_file", "redis_patience"):
        given[name] = RunSettings.model_fields[name].default
    given["contexts"] = min(settings.contexts or PAGES, first_contexts(usable_cores()))
    known = settings.model_fields_set & RunSettings.model_fields.keys()
    whole = RunSettings.model_construct(_fields_set={*known}, **given)
    return replace(preflight(whole), is_temporary=True)
