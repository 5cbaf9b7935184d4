"""Sitemaps, joined: fetched by the gateway, read as they come, fed to the frontier."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from farm.app.politeness import USER_AGENT
from farm.app.preflight import RunPlan
from farm.app.proxies import Fetching, ProxyRoom
from farm.app.session import CrawlSession
from farm.egress.fetch import Fetcher, FetchParams
from farm.egress.gateway import Gateway
from farm.model.egress import Fetched, FetchFailed
from farm.model.outcome import FailureKind
from farm.model.url import origin_of, site_of
from farm.runtime.control import Control
from farm.runtime.ports import Scope, Sink
from farm.runtime.robots import AllowAll, RobotsChecker
from farm.runtime.sitemaps import SitemapFeed
from farm.scope.canonical import CanonicalUrl, canonicalise
from farm.scope.sitemaps import MAX_BYTES, BadSitemap, Entry, SitemapReader, with_scheme

log = logging.getLogger("farm.sitemaps")
FILE_S = 120.0
MOST_SILENT = 3
"""A host may name two thousand files and end none: the crawl waits for it no longer than this many."""
OK = 200
AT_ONCE = 500
SHOWN = 200
WHOLE = re.compile(r"https?://", re.IGNORECASE)


def sitemap_feed(
    plan: RunPlan,
    session: CrawlSession,
    gateway: Gateway,
    proxies: ProxyRoom | None,
    robots: RobotsChecker | AllowAll,
    scope: Scope,
    sink: Sink,
    control: Control,
) -> SitemapFeed | None:
    """Return who reads the sitemaps; None where none are wanted."""
    wanted = plan.settings.sitemap
    if wanted == "off":
        return None
    fetcher = Fetcher(gateway, FetchParams(USER_AGENT, deadline_s=FILE_S))
    fetch: Fetching = proxies.fetching(fetcher) if proxies else fetcher.fetch

    async def find() -> Sequence[str]:
        if wanted != "auto":
            return addresses([wanted], None)
        origins = dict.fromkeys(origin_of(seed.url) for seed in plan.seeds)
        found: list[str] = []
        for origin in origins:
            named = await robots.sitemaps(origin) or (f"{origin}/sitemap.xml",)
            found += addresses(named, f"{origin}/robots.txt")
        return found

    since = plan.settings.sitemap_since
    return SitemapFeed(
        find,
        partial(read, fetch, Counter()),
        session.frontier.cache,
        scope,
        session.frontier,
        sink,
        control,
        session.frontier.feeders,
        session.node,
        since,
    )


async def read(fetch: Fetching, silent: Counter[str], url: str) -> Sequence[Entry]:
    """Read one file, a step at a time; what is wrong with it is logged, and what came before counts.

    `silent` counts how many files of a host did not end in time, one after the other.
    """
    host = site_of(url)
    if silent[host] >= MOST_SILENT:
        log.warning("the sitemap %s is left: %d of this host did not end in time", url, silent[host])
        return ()
    reader, broken = SitemapReader(), ""

    async def take(piece: bytes) -> bool:
        nonlocal broken
        try:
            for more in reader.steps(piece):
                if not more:
                    return False
                await asyncio.sleep(0)
        except BadSitemap as error:
            broken = str(error)
            return False
        return True

    got = await fetch(url, MAX_BYTES, take)
    is_silent = isinstance(got, FetchFailed) and got.kind is FailureKind.TIMEOUT
    silent[host] = silent[host] + 1 if is_silent else 0
    if isinstance(got, FetchFailed):
        broken = got.detail
    elif got.status != OK:
        broken = f"status {got.status}"
    ended = _wrong_at_the_end(reader, is_whole=not broken)
    broken = broken or reader.cut or ended
    if broken:
        log.warning("the sitemap %s was not read to its end: %s", url, broken)
    return await resolved(reader.entries, got.url if isinstance(got, Fetched) else url)


def addresses(named: Iterable[str], base: str | None) -> list[str]:
    """Return the addresses of sitemaps in their canonical form; what is none is told, and costs only itself."""
    found = []
    for one in named:
        address = canonicalise(with_scheme(one, base) if base else one, base)
        if isinstance(address, CanonicalUrl):
            found.append(address.url)
        else:
            log.warning("a sitemap is named that cannot be fetched: %s", ascii(address.url[:SHOWN]))
    return found


async def resolved(entries: Sequence[Entry], base: str) -> list[Entry]:
    """Return the entries of the file at `base` with whole addresses; sitemaps that cannot be fetched are left out.

    Pages stay as they stand there, where they are whole: they become canonical by the rules of the crawl.
    """
    found: list[Entry] = []
    for number, entry in enumerate(entries, start=1):
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
        if entry.is_sitemap:
            found += [replace(entry, url=url) for url in addresses([entry.url], base)]
        elif WHOLE.match(entry.url):
            found.append(entry)
        elif WHOLE.match(url := with_scheme(entry.url, base)):
            found.append(replace(entry, url=url))
        else:
            found.append(replace(entry, url=canonicalise(entry.url, base).url))
    return found


def _wrong_at_the_end(reader: SitemapReader, *, is_whole: bool) -> str:
    """End the parse; return what is wrong with the file as a whole, or nothing."""
    try:
        reader.close(is_whole=is_whole)
    except BadSitemap as error:
        return str(error)
    return ""
