"""What keeps the crawl polite, joined: who asks for robots.txt, who obeys it, who learns what a site bears."""

from farm import __version__
from farm.app.proxies import Proxies
from farm.app.session import CrawlSession
from farm.app.sites import own_paces
from farm.egress.fetch import Fetcher, FetchParams
from farm.egress.gateway import Gateway
from farm.model.clock import Clock
from farm.model.event import Emit
from farm.model.outcome import Judgement, SkipReason
from farm.model.task import Lease
from farm.policy.aimd import PaceParams
from farm.policy.retry import RetryParams
from farm.resources.host_load import HostLoad
from farm.runtime.pacing import PaceLearner
from farm.runtime.robots import AllowAll, RobotsChecker
from farm.scope.duplicate_templates import DuplicateTemplates
from farm.scope.links import LinkSorter
from farm.scope.robots import parse
from farm.scope.trap_detector import TrapDetector, TrapParams
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
    rate = parse_rate(agreed["rate"]).per_s if agreed["rate"] else 0.0
    params = PaceParams(most=agreed["site_concurrency"] or PaceParams().most, ceiling=rate)
    own = own_paces(session.plan.settings.site, params)
    return PaceLearner(session.frontier.paces, params, host_load.is_overloaded, emit, clock, own)


class Admittance:
    """Says whether a visit may take place: not where all of its kind show the same, else as robots.txt says."""

    def __init__(self, robots: RobotsChecker | AllowAll, templates: DuplicateTemplates) -> None:
        self._robots = robots
        self._templates = templates

    async def refusal(self, lease: Lease, url: str) -> Judgement | None:
        """Say why the address is not to be visited with this lease, now or ever; None where it may be."""
        if self._templates.should_skip(url):
            return SkipReason.DUPLICATE_CONTENT
        return await self._robots.refusal(lease, url)


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
