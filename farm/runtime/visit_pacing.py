"""The pacing of one visit: documents wait for their site's pace, and a throttling answer blocks the site.

The slot's proxy calls `ask` just before a document is requested, the slot calls `answered` as soon as its response
head is there. Both may happen several times in a visit: addresses redirect, and a context that dies is replaced.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import Any

from farm.model.clock import Clock
from farm.model.errors import FrontierUnavailable
from farm.model.page import RenderedPage
from farm.model.task import Lease
from farm.model.url import host_of, site_of
from farm.policy.retry import RetryParams, throttle_delay_s
from farm.runtime.ports import Frontier

LONGEST_S = 10.0
"""The longest wait for the visit's own site: its deadline runs, and another slot can visit the URL later."""
EARLY_S = 2.0
ELSEWHERE_S = 1.0
"""The longest wait for a site that a redirect leads to: that request cannot be put off."""


class VisitPacing:
    """Paces the visit of one lease by one egress address (empty where there is only one).

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
    ) -> None:
        self._lease = lease
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

    async def ask(self, host: str) -> bool:
        """Return True once a document may be requested from the host, False where the URL must be given back."""
        own = host == self._lease.task.site or host_of(host) == self._lease.task.site
        site, longest_s = (self._lease.task.site, LONGEST_S) if own else (host, ELSEWHERE_S)
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

    async def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Block a site that throttles for every node at once: the settlement comes later."""
        delay_s = self._delay_s(status, headers)
        if delay_s is not None and delay_s > 0:
            await _early(self._frontier.block(self._lease.task.site, delay_s, egress=self._egress))

    def delay_s(self, page: RenderedPage) -> float | None:
        """Return how long the page's answer puts the URL off, in seconds; None where it does not throttle.

        It is what the site was blocked for when that answer came.
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
    """Tell Redis early what the settlement repeats; while Redis is unavailable the settlement is enough."""
    with contextlib.suppress(TimeoutError, FrontierUnavailable):
        async with asyncio.timeout(EARLY_S):
            await call
