"""The proxies of a run: the file, their health, what other nodes know of it, and the slot proxies."""

import asyncio
import logging
from typing import Protocol

from farm.app.session import CrawlSession
from farm.egress import SlotProxy, Upstream
from farm.egress.fetch import Fetcher, Take
from farm.egress.gateway import Gateway
from farm.egress.proxy_file import ProxyFile
from farm.frontier.shared_state import SharedBans
from farm.model.clock import Clock
from farm.model.egress import Fetched, FetchFailed
from farm.model.errors import UsageError
from farm.model.event import Emit
from farm.model.url import site_of
from farm.policy.proxies import Outcome, after_fault
from farm.runtime.control import ByteBudget, Control
from farm.runtime.egress_route import ProxyRoute
from farm.runtime.proxy_pool import ProxyParams, ProxyPool

log = logging.getLogger("farm.proxies")
EVERY_S = 1.0
FETCHING = "fetch"
"""What stands in a slot's place where the farm itself asks."""


class Fetching(Protocol):
    """Fetches as `Fetcher.fetch` does."""

    async def __call__(self, url: str, cap_bytes: int, take: Take | None = None, /) -> Fetched | FetchFailed:
        """Fetch."""
        ...


class ProxyRoom:
    """What a run with `--proxies` has in addition."""

    def __init__(
        self, file: ProxyFile, bans: SharedBans, params: ProxyParams, emit: Emit, clock: Clock
    ) -> None:
        self._file = file
        self._bans = bans
        self.proxies = ProxyPool(tuple(file.upstreams), params, emit, clock)

    @property
    def first(self) -> Upstream:
        """Any of them: a slot proxy that has not been told yet must not go direct."""
        return next(iter(self._file.upstreams.values()))

    def route(self, slot_proxy: SlotProxy) -> ProxyRoute:
        """Return the egress route of this slot proxy's slot."""

        def switch(label: str | None) -> None:
            if label is not None:
                slot_proxy.switch(self._file.upstreams[label])

        return ProxyRoute(slot_proxy.name, self.proxies, switch)

    def fetching(self, fetcher: Fetcher) -> Fetching:
        """Return how the farm's own requests go out: each by the proxy that suits its site and is judged by it."""

        async def fetch(url: str, cap_bytes: int, take: Take | None = None) -> Fetched | FetchFailed:
            site = site_of(url)
            label = self.proxies.pick(FETCHING, site) or self.proxies.pick(FETCHING, None)
            upstream = self.first if label is None else self._file.upstreams[label]
            try:
                got = await fetcher.fetch(url, cap_bytes, take, upstream=upstream)
            finally:
                self.proxies.release(FETCHING)
            if label is not None:
                failure = got.egress_failure if isinstance(got, FetchFailed) else None
                outcome = Outcome.UNCLEAR if failure is None else after_fault(failure.fault)
                self.proxies.report(label, url, site, outcome, None)
            return got

        return fetch

    async def attend(self) -> None:
        """Follow the file and share what is known with the other nodes, until cancelled."""
        while True:
            await self._follow()
            self.proxies.adopt_bans(await self._bans.exchange(self.proxies.take_changes()))
            await asyncio.sleep(EVERY_S)

    async def _follow(self) -> None:
        if not await asyncio.to_thread(self._file.changed):
            return
        try:
            await asyncio.to_thread(self._file.read)
        except UsageError as error:
            log.warning("%s The list before it stays in force.", error)
            return
        for bad in self._file.bad:
            log.warning("%s, %s", self._file.path, bad)
        self.proxies.replace(tuple(self._file.upstreams))
        log.info("%s was read again: %d proxies", self._file.path, len(self._file.upstreams))


async def byte_budget(
    session: CrawlSession, gateway: Gateway, control: Control, emit: Emit, clock: Clock
) -> ByteBudget:
    """Return what counts the bytes of a run by proxies; where the budget is spent it has ended the run already."""
    settings, given = session.plan.settings, None
    if "proxy_bytes" in settings.model_fields_set:
        size = settings.proxy_bytes
        given = (size.size_bytes or 0) if size is not None else 0
    run, store = session.presence.identity.incarnation, session.frontier.proxy_bytes
    budget = ByteBudget(run, lambda: gateway.bytes_carried, store, given, control, emit, clock)
    await budget.check()
    return budget
