"""The proxies of a run, joined: the file, their health, what other nodes know of it, and the slot proxies."""

from collections.abc import Awaitable
from dataclasses import dataclass

from farm.app.preflight import RunPlan
from farm.app.session import CrawlSession
from farm.egress import SlotProxy, Upstream
from farm.egress.fetch import Fetcher, Take
from farm.egress.gateway import Gateway
from farm.egress.proxy_file import ProxyFile
from farm.model.clock import Clock
from farm.model.egress import Fetched, FetchFailed
from farm.model.event import Emit
from farm.policy.proxies import ScoreParams
from farm.runtime.control import ByteBudget, Control
from farm.runtime.egress_route import ProxiedFetch, ProxyRoute
from farm.runtime.proxy_pool import ProxyParams, ProxyPool


@dataclass(frozen=True, slots=True)
class Proxies:
    """What a run with `--proxies` has in addition: `pool` chooses by label, `file` has the addresses."""

    file: ProxyFile
    pool: ProxyPool

    @property
    def first(self) -> Upstream:
        """Any of them: a slot proxy that has not been told yet must not go direct."""
        return next(iter(self.file.upstreams.values()))

    def route(self, slot_proxy: SlotProxy) -> ProxyRoute:
        """Return the egress route of this slot proxy's slot."""

        def switch(label: str | None) -> None:
            if label is not None:
                slot_proxy.switch(self.file.upstreams[label])

        return ProxyRoute(slot_proxy.name, self.pool, switch)

    def fetch(self, fetcher: Fetcher) -> ProxiedFetch:
        """Return what fetches for the farm itself."""

        def by_proxy(
            label: str | None, url: str, cap_bytes: int, take: Take | None
        ) -> Awaitable[Fetched | FetchFailed]:
            upstream = self.first if label is None else self.file.upstreams[label]
            return fetcher.fetch(url, cap_bytes, take, upstream=upstream)

        return ProxiedFetch(self.pool, by_proxy)


def proxies_of(plan: RunPlan, emit: Emit, clock: Clock) -> Proxies | None:
    """Return the proxies of a run; None where it has none."""
    if plan.proxies is None:
        return None
    settings = plan.settings
    params = ProxyParams(
        settings.proxy_rotation,
        settings.recycle_pages,
        settings.proxy_patience,
        ScoreParams(cooldown_s=settings.proxy_cooldown),
    )
    return Proxies(plan.proxies, ProxyPool(tuple(plan.proxies.upstreams), params, emit, clock))


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
