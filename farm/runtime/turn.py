"""The manners of one visit: it begins when its site bears it, and a refusal is obeyed before it is settled.

The gate asks just before a document goes out; the slot tells as soon as a document's head is there. Both may
happen several times in a visit, since addresses redirect and a context that dies is replaced.
"""

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Mapping
from typing import Any

from farm.model.clock import Clock
from farm.model.errors import FrontierUnavailable
from farm.model.page import RenderedPage
from farm.model.task import Lease
from farm.policy.aimd import REFUSALS
from farm.policy.retry import RetryParams, backoff_s, retry_after_s
from farm.runtime.ports import Frontier

LONGEST_S = 10.0
"""A turn that is further off is for another visit: this one's deadline runs."""
TELL_S = 2.0
ELSEWHERE_S = 1.0
"""How long the turn of a site is waited for that a redirect leads to: nobody can put that visit off."""


class Turn:
    """Asked and told about the visit to one lease, by one egress address (empty where there is only one)."""

    def __init__(
        self, lease: Lease, egress: str, frontier: Frontier, retry: RetryParams, clock: Clock
    ) -> None:
        self._lease = lease
        self._egress = egress
        self._frontier = frontier
        self._retry = retry
        self._clock = clock
        self.waited_s = 0.0
        """How long documents were held back: time that the site is not to blame for."""
        self.began: float | None = None
        """When the last document went out, by this process's clock."""

    async def ask(self, host: str) -> bool:
        """Return when a document may be asked for; False where the visit is to be given back."""
        own = host == self._lease.task.site or host.rpartition(":")[0] == self._lease.task.site
        site, longest_s = (self._lease.task.site, LONGEST_S) if own else (host, ELSEWHERE_S)
        asked, waits_s = self._clock.monotonic(), 0.0
        try:
            async with asyncio.timeout(longest_s):
                while (wait_s := await self._frontier.start(site, self._egress)) != 0:
                    waits_s += abs(wait_s)
                    if waits_s > longest_s or wait_s < 0:
                        return not own
                    await asyncio.sleep(wait_s)
        except (TimeoutError, FrontierUnavailable):
            # Redis is away: the page's deadline is not to be spent on that. The settlement waits for it.
            return not own
        finally:
            self.began = self._clock.monotonic()
            self.waited_s += self.began - asked
        return True

    async def count_redirects(self, page: RenderedPage) -> None:
        """Count the stations that the gate could not see: those of a redirect within TLS."""
        if page.redirects:
            for url in (*page.redirects[1:], page.final_url):
                if url.startswith("https://"):
                    await _soon(self._frontier.start(url.split("/", 3)[2], self._egress, begun=True))

    async def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep everybody away from a site that asks for it, while the visit is still to be settled."""
        if status not in REFUSALS:
            return
        lease = self._lease
        asked_s = retry_after_s(headers.get("retry-after"), self._clock.wall(), self._retry)
        wait_s = backoff_s(lease.throttled + 1, random.random(), self._retry) if asked_s is None else asked_s  # noqa: S311
        if wait_s > 0:
            await _soon(self._frontier.block(lease.task.site, wait_s, egress=self._egress))


async def _soon(call: Coroutine[Any, Any, object]) -> None:
    """Tell Redis what it is to know early; while it is away the settlement has to do."""
    with contextlib.suppress(TimeoutError, FrontierUnavailable):
        async with asyncio.timeout(TELL_S):
            await call
