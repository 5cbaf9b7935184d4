"""The cost of a run's pages: CPU time and the time of a context, after the warm-up of the browsers."""

import asyncio

from farm.model.clock import Clock
from farm.monitor.tally import Tally
from farm.resources.host_load import CpuUsage, core_count
from farm.resources.processes import tree_cpu_s

WARM_PAGES = 16
"""The first pages include the start of the browsers, and are not counted."""
LOOK_S = 0.05
MOST_LOOKS = 10_000


class PageCost:
    """Begins by `warm`, beside the run, and ends by `measure`, before the browsers are closed."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self.pages = 0
        """How many pages were measured; 0 if the run ended during the warm-up."""
        self.cpu_s = self.others = self.passed_s = 0.0
        """CPU time of a page; cores that other programs used; how long the measurement took."""
        self.first_page_s = 0.0
        """How long after the start of the run its first page was there."""
        self._tally = tally
        self._clock = clock
        self._usage = CpuUsage()
        self._begun: tuple[int, float, float] | None = None

    async def warm(self) -> None:
        """Return when the run is warm, and the measurement has begun."""
        for _ in range(MOST_LOOKS):
            if self._done() >= WARM_PAGES:
                self._usage.busy_share()
                self._begun = self._done(), tree_cpu_s(), self._clock.monotonic()
                return
            await asyncio.sleep(LOOK_S)

    def measure(self) -> None:
        """Take the measurement, if it has begun."""
        if self._begun is None:
            return
        pages, cpu_s, at = self._begun
        self.first_page_s = self._tally.snapshot(self._clock.monotonic()).first_page_s
        self.pages = self._done() - pages
        used_s, self.passed_s = tree_cpu_s() - cpu_s, max(1e-6, self._clock.monotonic() - at)
        self.cpu_s = used_s / max(1, self.pages)
        self.others = max(0.0, core_count() * self._usage.busy_share() - used_s / self.passed_s)

    def _done(self) -> int:
        return self._tally.snapshot(self._clock.monotonic()).pages_done
