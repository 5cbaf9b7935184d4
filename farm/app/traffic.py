"""The traffic to the sites: proxies, robots.txt, paces, links and sitemaps."""

from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial

from farm import __version__
from farm.app.limits import own_paces, pace_params
from farm.app.preflight import RunPlan
from farm.app.session import CrawlSession
from farm.egress import SlotProxy, Upstream
from farm.egress.fetch import Fetcher, FetchParams, Take
from farm.egress.gateway import Gateway
from farm.egress.proxy_file import ProxyFile
from farm.model.clock import Clock
from farm.model.egress import Fetched, FetchFailed
from farm.model.event import Emit
from farm.policy.proxies import ScoreParams
from farm.policy.retry import RetryParams
from farm.resources.host_load import HostLoad
from farm.runtime.control import ByteBudget, Control
from farm.runtime.egress_route import ProxiedFetch, ProxyRoute
from farm.runtime.pacing import PaceLearner
from farm.runtime.ports import Scope, Sink
from farm.runtime.proxy_pool import ProxyParams, ProxyPool
from farm.runtime.robots import AllowAll, RobotsChecker
from farm.runtime.sitemaps import SitemapFeed
from farm.scope.duplicate_templates import DuplicateTemplates
from farm.scope.links import LinkSorter
from farm.scope.robots import parse
from farm.scope.sitemap_fetch import first_sitemaps, read_sitemap
from farm.scope.trap_detector import TrapDetector, TrapParams
from farm.settings.units import parse_hash_routes

USER_AGENT = f"Mozilla/5.0 (compatible; CrawlFarm/{__version__})"
FILE_S = 120.0


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of a run: `pool` chooses one by its label, `file` has the addresses."""

    file: ProxyFile
    pool: ProxyPool

    @property
    def first(self) -> Upstream:
        """Any of them: a slot proxy without a chosen proxy must not connect directly."""
        return next(iter(self.file.upstreams.values()))

    def route(self, slot_proxy: SlotProxy) -> ProxyRoute:
        """Return the egress route of this slot proxy's slot."""

        def switch(label: str | None) -> None:
            if label is not None:
                slot_proxy.switch(self.file.upstreams[label])

        return ProxyRoute(slot_proxy.name, self.pool, switch)

    def fetch(self, fetcher: Fetcher) -> ProxiedFetch:
        """Return the fetcher of the farm's own requests."""

        def by_proxy(
            label: str | None, url: str, cap_bytes: int, take: Take | None
        ) -> Awaitable[Fetched | FetchFailed]:
            upstream = self.first if label is None else self.file.upstreams[label]
            return fetcher.fetch(url, cap_bytes, take, upstream=upstream)

        return ProxiedFetch(self.pool, by_proxy)


def proxies_of(plan: RunPlan, emit: Emit, clock: Clock) -> Proxies | None:
    """Return the proxies of a run; None without proxies."""
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
    """Return the counter of the bytes through proxies; if the budget is spent it has already ended the run."""
    settings, given = session.plan.settings, None
    if "proxy_bytes" in settings.model_fields_set:
        size = settings.proxy_bytes
        given = (size.size_bytes or 0) if size is not None else 0
    run, store = session.presence.identity.incarnation, session.frontier.proxy_bytes
    budget = ByteBudget(run, lambda: gateway.bytes_carried, store, given, control, emit, clock)
    await budget.check()
    return budget


def robots_checker(
    session: CrawlSession, gateway: Gateway, proxies: Proxies | None, retry: RetryParams, clock: Clock
) -> RobotsChecker | AllowAll:
    """Return the checker of robots.txt, if it is obeyed."""
    if session.crawl.settings["robots"] == "ignore":
        return AllowAll()
    frontier = session.frontier
    fetcher = Fetcher(gateway, FetchParams(USER_AGENT))
    fetch = proxies.fetch(fetcher) if proxies else fetcher.fetch
    return RobotsChecker(fetch, frontier.cache, parse, frontier.paces.keep_apart, retry, clock)


def pace_learner(session: CrawlSession, host_load: HostLoad, emit: Emit, clock: Clock) -> PaceLearner:
    """Return the learner of the sites' paces, within the user's limits."""
    params = pace_params(session.crawl.settings)
    own = own_paces(session.plan.settings.site, params)
    return PaceLearner(session.frontier.paces, params, host_load.is_overloaded, emit, clock, own)


def link_sorter(
    session: CrawlSession, robots: RobotsChecker | AllowAll, templates: DuplicateTemplates, year: int
) -> LinkSorter:
    """Return the sorter of the crawl's links; `year` is the present one, for calendars."""
    agreed = session.crawl.settings
    return LinkSorter(
        session.rules,
        session.crawl.key,
        hash_routes=parse_hash_routes(agreed["hash_routes"]),
        keep_params=agreed["keep_params"],
        obey_nofollow=agreed["robots"] == "obey",
        forbidden=robots.forbids,
        trapped=TrapDetector(TrapParams(year)).is_trap,
        repeats=templates.is_stopped,
    )


def sitemap_feed(
    plan: RunPlan,
    session: CrawlSession,
    gateway: Gateway,
    proxies: Proxies | None,
    robots: RobotsChecker | AllowAll,
    scope: Scope,
    sink: Sink,
    control: Control,
) -> SitemapFeed | None:
    """Return the feed of the sitemaps; None without sitemaps."""
    wanted, seeds = plan.settings.sitemap, [seed.url for seed in plan.seeds]
    if wanted == "off":
        return None
    fetcher = Fetcher(gateway, FetchParams(USER_AGENT, deadline_s=FILE_S))
    return SitemapFeed(
        partial(first_sitemaps, wanted, seeds, robots.sitemaps),
        partial(read_sitemap, proxies.fetch(fetcher) if proxies else fetcher.fetch, Counter()),
        session.frontier.cache,
        scope,
        session.frontier,
        sink,
        control,
        session.frontier.feeders,
        session.feeder,
        plan.settings.sitemap_since,
    )
