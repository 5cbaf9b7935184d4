"""What keeps the crawl polite, joined: who asks for robots.txt, who obeys it, who learns what a site bears."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from farm import __version__
from farm.app.proxies import Proxies
from farm.app.session import CrawlSession
from farm.egress.fetch import Fetcher, FetchParams
from farm.egress.gateway import Gateway
from farm.model.clock import Clock
from farm.model.event import Emit
from farm.model.url import covering
from farm.policy.aimd import FIRST_IN_FLIGHT, PaceParams
from farm.policy.retry import RetryParams
from farm.resources.host_load import HostLoad
from farm.runtime.pacing import PaceLearner
from farm.runtime.robots import AllowAll, RobotsChecker
from farm.scope.duplicate_templates import DuplicateTemplates
from farm.scope.links import LinkSorter
from farm.scope.robots import parse
from farm.scope.trap_detector import TrapDetector, TrapParams
from farm.settings.sites import SiteTable
from farm.settings.units import parse_hash_routes, parse_rate

USER_AGENT = f"Mozilla/5.0 (compatible; CrawlFarm/{__version__})"


def robots_desk(
    session: CrawlSession, gateway: Gateway, proxies: Proxies | None, retry: RetryParams, clock: Clock
) -> RobotsChecker | AllowAll:
    """Return who says what robots.txt has to say, if it is to be obeyed."""
    if session.crawl.settings["robots"] == "ignore":
        return AllowAll()
    frontier = session.frontier
    fetcher = Fetcher(gateway, FetchParams(USER_AGENT))
    fetch = proxies.fetch(fetcher) if proxies else fetcher.fetch
    return RobotsChecker(fetch, frontier.cache, parse, frontier.paces.keep_apart, retry, clock)


def site_pacer(session: CrawlSession, host_load: HostLoad, emit: Emit, clock: Clock) -> PaceLearner:
    """Return who learns how much each site bears; what the user allows is the most."""
    agreed = session.crawl.settings
    ceiling = _per_s(agreed["rate"])
    params = PaceParams(most=agreed["site_concurrency"] or PaceParams().most, ceiling=ceiling)
    own = own_paces(session.plan.settings.site, params)
    return PaceLearner(session.frontier.paces, params, host_load.is_overloaded, emit, clock, own)


def own_paces(tables: Mapping[str, SiteTable], crawls: PaceParams) -> Callable[[str], PaceParams | None]:
    """Return what gives each site the params of its pace; None where the crawl's hold."""
    paces = {
        name: replace(
            crawls,
            most=table.concurrency or crawls.most,
            first=min(table.concurrency or crawls.most, FIRST_IN_FLIGHT),
            ceiling=table.rate.per_s if table.rate else crawls.ceiling,
        )
        for name, table in tables.items()
        if table.rate or table.concurrency
    }
    return lambda site: covering(paces, site)


def _per_s(rate: str | None) -> float:
    return parse_rate(rate).per_s if rate else 0.0


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
