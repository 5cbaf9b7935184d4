"""The egress routes of slots, direct or by a proxy that is chosen between visits, and of the farm's own fetches.

`DirectRoute` and `ProxyRoute` satisfy the worker's `EgressRoute`.
"""

from collections.abc import Awaitable, Callable

from farm.model.egress import AllProxiesBanned, Fetched, FetchFailed
from farm.model.url import site_of
from farm.policy.proxies import Outcome, after_fault, depends_on_site, keeps_proxy
from farm.runtime.proxy_pool import ProxyPool

FETCHING = "fetch"
"""The name used instead of a slot's for the farm's own fetches."""
TakePiece = Callable[[bytes], Awaitable[bool]]
"""Consumes a piece of a body; returns False to stop."""
FetchBy = Callable[[str | None, str, int, TakePiece | None], Awaitable[Fetched | FetchFailed]]
"""Fetches through the proxy with a label, or any if it is None: URL, limit of the body, consumer of its pieces."""


class DirectRoute:
    """The route of a slot without proxies."""

    label: str | None = None
    address = ""

    def acquire(self, site: str | None) -> bool:  # noqa: ARG002
        """Return True: a direct connection is always available."""
        return True

    def wait_or_fail(self) -> None:
        """Do nothing: `acquire` never fails."""

    def acquire_for(self, site: str) -> AllProxiesBanned | None:  # noqa: ARG002
        """Accept every site: a direct connection is always available."""
        return None

    def report(self, url_id: str, site: str, outcome: Outcome, latency_ms: float | None = None) -> int:  # noqa: ARG002
        """Return 0: there is no proxy to learn about."""
        return 0

    def yield_trial(self, site: str | None) -> None:
        """Do nothing: there is no proxy on trial."""

    def release(self) -> None:
        """Do nothing: there is no proxy to release."""


class ProxyRoute:
    """The route of one slot through the proxies. `switch` tells the slot's proxy which proxy to use."""

    def __init__(self, slot: str, proxies: ProxyPool, switch: Callable[[str | None], None]) -> None:
        self._slot = slot
        self._proxies = proxies
        self._switch = switch
        self._pages = 0
        self.label: str | None = None

    @property
    def address(self) -> str:
        """The frontier's name of this route; empty if it depends on the site, which is not known yet."""
        return "" if depends_on_site(self._proxies.params.rotation) else self.label or ""

    def acquire(self, site: str | None) -> bool:
        """Choose a usable proxy for the next lease by the rotation; return False where there is none."""
        params = self._proxies.params
        keeps = (
            self.label is not None
            and keeps_proxy(params.rotation, self._pages, params.pages)
            and self._proxies.usable(self.label, site, self._slot)
            # A slot that looks for work tries a proxy whose cooldown is over: no other slot would.
            and not self._proxies.has_due_trial(site)
        )
        if not keeps:
            self._pages = 0
            self._use(self._proxies.pick(self._slot, site) or self._proxies.pick(self._slot, None))
        return self.label is not None

    def wait_or_fail(self) -> None:
        """Wait for a usable proxy. Raises `AllProxiesDown` after `proxy_patience`."""
        self._proxies.wait_or_fail()

    def acquire_for(self, site: str) -> AllProxiesBanned | None:
        """Choose a usable proxy for this site; where every one is banned, return for how long."""
        by_site = depends_on_site(self._proxies.params.rotation)
        if by_site or self.label is None or not self._proxies.usable(self.label, site, self._slot):
            self._use(self._proxies.pick(self._slot, site))
        self._pages += 1
        return None if self.label is not None else self._proxies.all_banned(site)

    def report(self, url_id: str, site: str, outcome: Outcome, latency_ms: float | None = None) -> int:
        """Report the outcome of a visit; return how many visits of this URL had the same outcome."""
        if self.label is None:
            return 0
        count = self._proxies.report(self.label, url_id, site, outcome, latency_ms)
        if outcome not in {Outcome.GOOD, Outcome.UNCLEAR}:
            self.release()
        return count

    def yield_trial(self, site: str | None) -> None:
        """Release a proxy on trial: only a visit shows whether it works, and another slot may have one."""
        if self.label is not None and self._proxies.is_on_trial(self.label, site):
            self.release()

    def release(self) -> None:
        """Use no proxy until the next `acquire`."""
        self._proxies.release(self._slot)
        self._use(None)

    def _use(self, label: str | None) -> None:
        # Without a proxy the slot's proxy keeps the last one: no request may ever go direct.
        if label is not None and label != self.label:
            self._switch(label)
        self.label = label


class ProxiedFetch:
    """The farm's own fetches: each through a proxy that is usable for its site, and judged by the result."""

    def __init__(self, proxies: ProxyPool, fetch: FetchBy) -> None:
        self._proxies = proxies
        self._fetch = fetch

    async def __call__(
        self, url: str, cap_bytes: int, take: TakePiece | None = None
    ) -> Fetched | FetchFailed:
        """Fetch as `FetchBy` does."""
        site = site_of(url)
        label = self._proxies.pick(FETCHING, site) or self._proxies.pick(FETCHING, None)
        try:
            got = await self._fetch(label, url, cap_bytes, take)
        finally:
            self._proxies.release(FETCHING)
        if label is not None:
            failure = got.egress_failure if isinstance(got, FetchFailed) else None
            outcome = Outcome.UNCLEAR if failure is None else after_fault(failure.fault)
            self._proxies.report(label, url, site, outcome, None)
        return got
