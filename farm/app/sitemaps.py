"""Sitemaps, joined: fetched by the gateway, read as they come, fed to the frontier."""

import logging
from collections.abc import Sequence

from farm.app.place import Place
from farm.app.politeness import USER_AGENT
from farm.app.preflight import Plan
from farm.app.proxies import ProxyRoom
from farm.egress.fetch import Fetcher, FetchParams
from farm.egress.gateway import Gateway
from farm.frontier.feeds import Feeds
from farm.frontier.robots import RobotsShelf
from farm.model.fetch import FetchFailed
from farm.runtime.control import Control
from farm.runtime.ports import Scope, Sink
from farm.runtime.robots import AllowAll, RobotsDesk
from farm.runtime.sitemaps import SitemapFeed
from farm.scope.sitemaps import MAX_BYTES, BadSitemap, Entry, SitemapReader

log = logging.getLogger("farm.sitemaps")
FILE_S = 120.0
OK = 200


def sitemap_feed(
    plan: Plan,
    place: Place,
    gateway: Gateway,
    proxies: ProxyRoom | None,
    robots: RobotsDesk | AllowAll,
    scope: Scope,
    sink: Sink,
    control: Control,
) -> SitemapFeed | None:
    """Return who reads the sitemaps; None where none are wanted."""
    wanted = plan.settings.sitemap
    if wanted == "off":
        return None
    fetcher = Fetcher(gateway, FetchParams(USER_AGENT, deadline_s=FILE_S))
    fetch = proxies.fetching(fetcher) if proxies else fetcher.fetch

    async def read(url: str) -> Sequence[Entry]:
        reader, broken = SitemapReader(), ""

        def take(piece: bytes) -> bool:
            nonlocal broken
            try:
                return reader.feed(piece)
            except BadSitemap as error:
                broken = str(error)
                return False

        got = await fetch(url, MAX_BYTES, take)
        if isinstance(got, FetchFailed):
            broken = got.detail
        elif got.status != OK:
            broken = f"status {got.status}"
        ended = _wrong_at_the_end(reader)
        broken = broken or ended
        if broken:
            log.warning("the sitemap %s was not read to its end: %s", url, broken)
        return reader.entries

    async def find() -> Sequence[str]:
        if wanted != "auto":
            return [wanted]
        origins = dict.fromkeys("/".join(seed.url.split("/", 3)[:3]) for seed in plan.seeds)
        return [
            url
            for origin in origins
            for url in (await robots.sitemaps(origin) or (f"{origin}/sitemap.xml",))
            if url.startswith(("http://", "https://"))
        ]

    shelf = RobotsShelf(place.frontier.shards.client, place.crawl.name)
    since = plan.settings.sitemap_since
    marks = Feeds(place.frontier.shards.client, place.crawl.name)
    return SitemapFeed(find, read, shelf, scope, place.frontier, sink, control, marks, plan.node, since)


def _wrong_at_the_end(reader: SitemapReader) -> str:
    """End the parse; return what is wrong with the file as a whole, or nothing."""
    try:
        reader.close()
    except BadSitemap as error:
        return str(error)
    return ""
