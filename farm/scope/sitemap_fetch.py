"""One sitemap of a crawl: fetched, parsed while it arrives, its addresses resolved.

An error in a file, or in an address, is logged, and affects only this file or address.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from farm.model.egress import Fetched, FetchFailed
from farm.model.outcome import FailureKind
from farm.model.url import origin_of, site_of
from farm.scope.canonical import CanonicalUrl, canonicalise
from farm.scope.sitemaps import MAX_BYTES, BadSitemap, Entry, SitemapReader

log = logging.getLogger("farm.sitemaps")
MOST_SILENT = 3
"""A host may name two thousand files that never end: the crawl waits for at most this many."""
OK = 200
AT_ONCE = 500
SHOWN = 200
WHOLE = re.compile(r"https?://", re.IGNORECASE)
_BEHIND_HOST = re.compile(r"[/?#]")


class FetchPieces(Protocol):
    """Fetches a URL, with a limit of the body in bytes; `take` gets its pieces and says whether to go on."""

    async def __call__(
        self, url: str, cap_bytes: int, take: Callable[[bytes], Awaitable[bool]], /
    ) -> Fetched | FetchFailed:
        """Fetch."""
        ...


async def first_sitemaps(
    wanted: str, seeds: Iterable[str], named: Callable[[str], Awaitable[Sequence[str]]]
) -> Sequence[str]:
    """Return the first sitemaps: the `wanted` one, or with `auto` those of the seeds' origins.

    `named` returns those in an origin's robots.txt; where it has none, the usual address is tried.
    """
    if wanted != "auto":
        return addresses([wanted], None)
    found: list[str] = []
    for origin in dict.fromkeys(map(origin_of, seeds)):
        found += addresses(await named(origin) or (f"{origin}/sitemap.xml",), f"{origin}/robots.txt")
    return found


async def read_sitemap(fetch: FetchPieces, silent: Counter[str], url: str) -> Sequence[Entry]:
    """Read one file, a step at a time; an error in it is logged, and the entries before it count.

    `silent` counts how many files of a host in a row did not end in time.
    """
    host = site_of(url)
    if silent[host] >= MOST_SILENT:
        log.warning("the sitemap %s is skipped: %d of this host did not end in time", url, silent[host])
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
    """Return the addresses of sitemaps in their canonical form; invalid ones are logged and left out."""
    found = []
    for one in named:
        address = canonicalise(with_scheme(one, base) if base else one, base)
        if isinstance(address, CanonicalUrl):
            found.append(address.url)
        else:
            log.warning("the address of a sitemap cannot be fetched: %s", ascii(address.url[:SHOWN]))
    return found


async def resolved(entries: Sequence[Entry], base: str) -> list[Entry]:
    """Return the entries of the file at `base` with absolute addresses, without sitemaps that cannot be fetched.

    Absolute addresses of pages are not changed: the rules of the crawl make them canonical.
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


def with_scheme(address: str, base: str) -> str:
    """Return an address in the sitemap at `base`, with a scheme if it begins with a host.

    A host is recognised by `www.`, or because it is the sitemap's own; other addresses are returned unchanged.
    """
    host, own = _BEHIND_HOST.split(address, maxsplit=1)[0].lower(), site_of(base)
    if host in {own, own.removeprefix("www.")} or (host.startswith("www.") and host.count(".") > 1):
        return f"{base.partition(':')[0]}://{address}"
    return address
