"""Pacing: documents wait for their site's pace, which is learnt from the answers of the site.

With several egress addresses, a site's concurrency is learnt from all of them together, and the rate for each
address: a throttling answer was meant for one address, and the others go on.

Invariants: a throttling answer blocks its site before anything is learnt from it; a visit is counted once;
nodes that write at the same moment repeat the step (optimistic locking); no visit waits for the learner.
"""

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from farm.model.clock import Clock
from farm.model.crawl import SitePace
from farm.model.errors import FrontierUnavailable
from farm.model.event import Emit, Notice, PacesRead
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask
from farm.model.url import host_of, origin_of, site_in, site_of
from farm.policy.aimd import Pace, PaceParams, PaceSnapshot, Sample, blocked, start, step
from farm.policy.retry import THROTTLING, RetryParams, throttle_delay_s
from farm.runtime.ports import Frontier

log = logging.getLogger("farm.pacer")
LONGEST_S = 10.0
"""The longest wait for the visit's own site: its deadline runs, and another slot can visit the URL later."""
EARLY_S = 2.0
ELSEWHERE_S = 1.0
"""The longest wait for a site that a redirect leads to: that request cannot be put off."""
LEARN_EVERY_S = 0.5
TRIES = 8
MOST_TOLD = 50
"""The number of sites in a reading."""
LONG_BLOCK_S = 600.0
"""A block of this length is reported with its end."""
MOST_LONG_BLOCKS = 1_000
MOST_REFUSED = 10_000
"""The number of sites, or of addresses at sites, whose throttling answers are counted."""
_TEXTS = {
    "refused": "throttled: 429 or 503 received",
    "slow": "slowed down: its latency rose",
    "failing": "slowed down: many visits fail",
}


DomainOf = Callable[[str], str]
"""Returns the registrable domain of a host."""


def answering_site(task: UrlTask, url: str, domain_of: DomainOf) -> str:
    """Return the site for which an address answers in the visit to `task`: another one after some redirects.

    Another host of the site's own domain answers for the site: many redirect all of it to `www.`.
    """
    if url.startswith(f"{origin_of(task.url)}/"):
        return task.site
    site = site_in(url) or task.site
    is_own = site == task.site or domain_of(host_of(site)) == domain_of(host_of(task.site))
    return task.site if is_own else site


class VisitPacing:
    """Paces the visit of one lease by one egress address (empty if there is only one).

    The slot's proxy calls `ask` just before a document is requested, the slot calls `answered` as soon as its
    response head is there. Both may happen several times in a visit: addresses redirect, and a context that dies
    is replaced.

    `jitter` in [0, 1) is the visit's: the block of the site and the settlement use the same delay.
    """

    def __init__(
        self,
        lease: Lease,
        egress: str,
        frontier: Frontier,
        jitter: float,
        retry: RetryParams,
        clock: Clock,
        domain_of: DomainOf = str,
    ) -> None:
        self._lease = lease
        self._domain_of = domain_of
        self._egress = egress
        self._frontier = frontier
        self._jitter = jitter
        self._retry = retry
        self._clock = clock
        self._answer: tuple[int, float | None] | None = None
        self.waited_s = 0.0
        """How long documents waited, in seconds: that is not the site's latency."""
        self.began: float | None = None
        """When the last document was requested, by this process's clock."""

    @property
    def status(self) -> int:
        """The status of the document's last answer; 0 while there is none."""
        return 0 if self._answer is None else self._answer[0]

    async def ask(self, host: str) -> bool:
        """Return True once a document may be requested from the host, False if the URL must be released."""
        site, longest_s = self._lease.task.site, LONGEST_S
        # A tunnel names the port where a site does not.
        own = host in {site, f"{site}:80", f"{site}:443"}
        if not own:
            site, longest_s = host, ELSEWHERE_S
        started, waits_s = self._clock.monotonic(), 0.0
        try:
            async with asyncio.timeout(longest_s):
                while (wait_s := await self._frontier.may_begin(site, self._egress)) != 0:
                    waits_s += abs(wait_s)
                    if waits_s > longest_s or wait_s < 0:
                        return not own
                    await asyncio.sleep(wait_s)
        except (TimeoutError, FrontierUnavailable):
            # Redis is unavailable: the page's deadline is not spent on that. The settlement waits for it.
            return not own
        finally:
            self.began = self._clock.monotonic()
            self.waited_s += self.began - started
        return True

    async def count_redirects(self, page: RenderedPage) -> None:
        """Count the requests of redirects within TLS, which the slot's proxy cannot see."""
        if page.redirects:
            for url in (*page.redirects[1:], page.final_url):
                if url.startswith("https://"):
                    await _early(self._frontier.may_begin(site_of(url), self._egress, begun=True))

    async def answered(self, url: str, status: int, headers: Mapping[str, str]) -> None:
        """Block a site that throttles for every node at once: the settlement comes later."""
        delay_s = self._delay_s(status, headers)
        if delay_s is not None and delay_s > 0:
            site = answering_site(self._lease.task, url, self._domain_of)
            await _early(self._frontier.block(site, delay_s, egress=self._egress))

    def delay_s(self, page: RenderedPage) -> float | None:
        """Return how long the page's answer delays the URL, in seconds; None if it does not throttle.

        It is the time for which the site was blocked when that answer arrived.
        """
        if self._answer is not None and self._answer[0] == page.status:
            return self._answer[1]
        return self._delay_s(page.status, page.headers)

    def _delay_s(self, status: int, headers: Mapping[str, str]) -> float | None:
        throttled, now = self._lease.throttled, self._clock.wall()
        delay_s = throttle_delay_s(status, headers, throttled, now, self._jitter, self._retry)
        self._answer = (status, delay_s)
        return delay_s


async def _early(call: Coroutine[Any, Any, object]) -> None:
    """Write early what the settlement repeats; while Redis is unavailable the settlement is enough."""
    with contextlib.suppress(TimeoutError, FrontierUnavailable):
        async with asyncio.timeout(EARLY_S):
            await call


class PaceStore(Protocol):
    """The paces of sites, shared by all nodes."""

    async def read(self, site: str, egress: str = "") -> PaceSnapshot:
        """Return the pace of a site, or of one egress address at the site."""
        ...

    async def write(
        self, site: str, before: PaceSnapshot, pace: Pace, egress: str = ""
    ) -> PaceSnapshot | None:
        """Write a pace if nobody wrote since `before`; return None, or the newer pace that prevented it."""
        ...


class PaceLearner:
    """Learns from the settled visits of one node, together with all others.

    `overloaded` returns whether this machine is too busy to judge a site's latency. `own` returns
    the params of a site that has its own limits, None for any other.
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
        self._refused: dict[tuple[str, str], int] = {}
        """Throttling answers by site and address, where there were any: there may be as many pairs as visits."""
        self._is_full_told = False
        self._long_blocks: OrderedDict[tuple[str, str], float] = OrderedDict()
        """The end of the last block that was reported, by site and address."""

    def note(self, site: str, began: float, status: int, latency_ms: float, egress: str = "") -> None:
        """Add a visit that has ended; `began` is of this process's clock, `status` 0 without an answer."""
        sample = Sample(began, self._clock.monotonic(), status, latency_ms)
        self._samples.setdefault((site, egress), []).append(sample)

    @property
    def throttled(self) -> Mapping[str, int]:
        """How many throttling answers each site that this node visited has given, over all nodes."""
        refused: Counter[str] = Counter()
        for (site, _), count in self._refused.items():
            refused[site] += count
        return dict(refused)

    async def run(self) -> None:
        """Fold twice a second until cancelled."""
        while True:
            await asyncio.sleep(LEARN_EVERY_S)
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
        told: list[SitePace] = []
        for site, samples in by_site.items():
            folded = await self._fold(site, samples)
            if folded is not None and len(told) < MOST_TOLD:
                told.append(_site_pace(site, *folded, samples))
        if told:
            self._emit(PacesRead(self._clock.monotonic(), tuple(told)))

    async def _fold(
        self, site: str, samples: list[Sample], egress: str = ""
    ) -> tuple[PaceSnapshot, Pace] | None:
        """Add the samples to the site's pace; return what was stored before and is now.

        None if too many nodes wrote.
        """
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
                subject = f"{site} by proxy {egress}" if egress else site
                self._report(subject, known.pace, pace, alone=not egress)
                if known.blocked_until_s - known.now_s >= LONG_BLOCK_S:
                    self._report_block(subject, (site, egress), known)
                if pace.refused:
                    self._count_refused((site, egress), pace.refused)
                return known, pace
            known = newer
        log.debug(
            "%s: %d visits were not counted, because too many nodes write its pace at once",
            site,
            len(samples),
        )
        return None

    def _count_refused(self, key: tuple[str, str], count: int) -> None:
        if key in self._refused or len(self._refused) < MOST_REFUSED:
            self._refused[key] = count
        elif not self._is_full_told:
            self._is_full_told = True
            log.warning("%d sites have throttled; further ones are not counted in summary.json", MOST_REFUSED)

    def _report(self, subject: str, before: Pace | None, pace: Pace, *, alone: bool) -> None:
        was = before.verdict if before else ""
        # Of one address among several only the rate counts.
        if pace.verdict == was or pace.verdict not in (_TEXTS if alone else {"refused"}):
            return
        figures = [f"rate {pace.rate:.2g}/s"] if pace.rate else []
        figures += [f"concurrency {int(pace.limit)}"] if alone else []
        text = f"site {subject} {_TEXTS[pace.verdict]}; {', '.join(figures)}"
        self._emit(Notice(self._clock.monotonic(), "info", text))

    def _report_block(self, subject: str, key: tuple[str, str], known: PaceSnapshot) -> None:
        """Report a long block once, and again where it was prolonged by as much."""
        if known.blocked_until_s < self._long_blocks.get(key, 0.0) + LONG_BLOCK_S:
            return
        self._long_blocks[key] = known.blocked_until_s
        self._long_blocks.move_to_end(key)
        if len(self._long_blocks) > MOST_LONG_BLOCKS:
            self._long_blocks.popitem(last=False)
        ends = self._clock.wall() + timedelta(seconds=known.blocked_until_s - known.now_s)
        text = (
            f"site {subject} is not visited until {ends:%Y-%m-%d %H:%M} UTC: it asked for that by Retry-After"
        )
        self._emit(Notice(self._clock.monotonic(), "warning", text))


def _site_pace(site: str, known: PaceSnapshot, pace: Pace, samples: list[Sample]) -> SitePace:
    answered = sorted(sample.latency_ms for sample in samples if sample.status)
    return SitePace(
        site,
        int(pace.limit),
        pace.rate,
        answered[len(answered) // 2] if answered else 0.0,
        pace.baseline_ms,
        max(0.0, known.blocked_until_s - known.now_s),
        pace.verdict,
    )
