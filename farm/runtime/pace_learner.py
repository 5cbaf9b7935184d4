"""Learns the pace of each site from the answers of settled visits, together with all other nodes.

With several egress addresses, a site's concurrency is learnt from all of them together, and the rate for each
address: a throttling answer was meant for one address, and the others go on.

What always holds: a visit is counted once; nodes that write at the same moment repeat the step (optimistic
locking); no visit waits for the learner. A throttling answer has blocked its site before anything is learnt from
it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from farm.model.clock import Clock
from farm.model.event import Emit, Notice
from farm.policy.aimd import Pace, PaceParams, Sample, blocked, start, step
from farm.policy.retry import THROTTLING
from farm.runtime.ports import PaceStore

log = logging.getLogger("farm.pacer")
EVERY_S = 0.5
TRIES = 8
_TEXTS = {
    "refused": "throttled: 429 or 503 received",
    "slow": "slowed down: its latency rose",
    "failing": "slowed down: many visits fail",
}


class PaceLearner:
    """Learns for one node. `overloaded` returns whether this machine is too busy to judge a site's latency.

    `own` returns the params of a site that has its own limits, None for any other.
    """

    def __init__(
        self,
        store: PaceStore,
        params: PaceParams,
        overloaded: Callable[[], bool],
        emit: Emit,
        clock: Clock,
        own: Callable[[str], PaceParams | None] = lambda _: None,
    ) -> None:
        self._store = store
        self._params = params
        self._overloaded = overloaded
        self._emit = emit
        self._clock = clock
        self._own = own
        self._samples: dict[tuple[str, str], list[Sample]] = {}
        self._paces: dict[tuple[str, str], Pace] = {}

    def note(self, site: str, began: float, status: int, latency_ms: float, egress: str = "") -> None:
        """Add a visit that has ended; `began` is of this process's clock, `status` 0 without an answer."""
        sample = Sample(began, self._clock.monotonic(), status, latency_ms)
        self._samples.setdefault((site, egress), []).append(sample)

    @property
    def throttled(self) -> Mapping[str, int]:
        """How many throttling answers each site that this node visited has given, over all nodes."""
        refused: Counter[str] = Counter()
        for (site, _), pace in self._paces.items():
            refused[site] += pace.refused
        return {site: count for site, count in refused.items() if count}

    async def run(self) -> None:
        """Fold twice a second until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.learn()

    async def learn(self) -> None:
        """Fold the visits noted so far."""
        gathered, self._samples = self._samples, {}
        overloaded = self._overloaded()
        by_site: dict[str, list[Sample]] = {}
        for (site, egress), noted in gathered.items():
            samples = [replace(sample, overloaded=True) for sample in noted] if overloaded else noted
            if egress:
                await self._fold(site, samples, egress)
                samples = [sample for sample in samples if sample.status not in THROTTLING]
            by_site.setdefault(site, []).extend(samples)
        for site, samples in by_site.items():
            await self._fold(site, samples)

    async def _fold(self, site: str, samples: list[Sample], egress: str = "") -> None:
        known, own = await self._store.read(site, egress), self._own(site)
        for _ in range(TRIES):
            params = own or replace(self._params, first=known.first or self._params.first)
            # From this process's clock to the crawl's.
            ahead = known.now_s - self._clock.monotonic()
            shared = [
                Sample(s.started_s + ahead, s.finished_s + ahead, s.status, s.latency_ms, s.overloaded)
                for s in samples
            ]
            pace = step(known.pace or start(params), shared, known.in_flight, known.now_s, params)
            if known.blocked_until_s > known.now_s:
                pace = blocked(pace, known.blocked_until_s)
            newer = await self._store.write(site, known, pace, egress)
            if newer is None:
                self._report(
                    f"{site} by proxy {egress}" if egress else site, known.pace, pace, alone=not egress
                )
                self._paces[site, egress] = pace
                return
            known = newer
        log.debug(
            "%s: %d visits were not counted, because too many nodes write its pace at once",
            site,
            len(samples),
        )

    def _report(self, subject: str, before: Pace | None, pace: Pace, *, alone: bool) -> None:
        was = before.verdict if before else ""
        # Of one address among several only the rate counts.
        if pace.verdict == was or pace.verdict not in (_TEXTS if alone else {"refused"}):
            return
        figures = [f"rate {pace.rate:.2g}/s"] if pace.rate else []
        figures += [f"concurrency {int(pace.limit)}"] if alone else []
        text = f"site {subject} {_TEXTS[pace.verdict]}; {', '.join(figures)}"
        self._emit(Notice(self._clock.monotonic(), "info", text))
