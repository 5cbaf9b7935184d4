"""Sitemaps, joined: fetched by the gateway, read as they come, fed to the frontier."""

from collections import Counter
from functools import partial

from farm.app.politeness import USER_AGENT
from farm.app.preflight import RunPlan
from farm.app.proxies import Proxies
from farm.app.session import CrawlSession
from farm.egress.fetch import Fetcher, FetchParams
from farm.egress.gateway import Gateway
from farm.runtime.control import Control
from farm.runtime.ports import Scope, Sink
from farm.runtime.robots import AllowAll, RobotsChecker
from farm.runtime.sitemaps import SitemapFeed
from farm.scope.sitemap_fetch import first_sitemaps, read_sitemap

FILE_S = 120.0


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
    """Return who reads the sitemaps; None where none are wanted."""
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
        session.node,
        plan.settings.sitemap_since,
    )
