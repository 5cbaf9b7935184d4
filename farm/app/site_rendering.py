"""What the site tables of `farm.toml` come to where pages are rendered: waiting, blocking and headers by site."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from farm.app.sites import Tables, covering
from farm.browser.blocking import IMAGES, blocked_urls
from farm.browser.intercept import InterceptParams
from farm.browser.render import RenderParams
from farm.browser.tab import OwnParams
from farm.model.url import ANY_SUBDOMAIN, names_covering, path_of, site_of


def loads_images(block: Iterable[str], tables: Tables) -> bool:
    """Return whether any site's images are loaded: a browser loads those of all sites, or of none."""
    return IMAGES not in block or any(
        table.block is not None and IMAGES not in table.block for table in tables.values()
    )


def renders(tables: Tables, crawls: RenderParams) -> Callable[[str], RenderParams] | None:
    """Return what says how a URL is rendered; None where no table says anything about that."""
    waits: dict[str, tuple[list[tuple[re.Pattern[str], RenderParams]], RenderParams]] = {}
    for name, table in tables.items():
        pages = [
            (re.compile(fnmatch.translate(rule.match)), _waiting(crawls, rule.wait)) for rule in table.page
        ]
        # A table that says nothing of it hides a wider one that does.
        waits[name] = pages, _waiting(crawls, table.wait) if table.wait else crawls
    if all(not pages and params is crawls for pages, params in waits.values()):
        return None

    def of(url: str) -> RenderParams:
        found = covering(waits, site_of(url))
        if found is None:
            return crawls
        pages, params = found
        path = path_of(url) if pages else ""
        return next((own for pattern, own in pages if pattern.match(path)), params)

    return of


def _waiting(params: RenderParams, wait: str) -> RenderParams:
    rule, _, selector = wait.partition(":")
    return replace(params, wait=rule, selector=selector)


def own_params(
    tables: Tables, headers: Mapping[str, InterceptParams], *, images: bool
) -> Callable[[str], OwnParams | None] | None:
    """Return what says what a context gets that is to serve a URL's site; None where no table says anything.

    `headers` are those of the tables that have any; `images` says whether the browser loads images.
    """
    blocked = {
        name: blocked_urls(table.block, images=images) if table.block is not None else None
        for name, table in tables.items()
    }
    if not headers and not any(urls is not None for urls in blocked.values()):
        return None

    def of(url: str) -> OwnParams | None:
        site = site_of(url)
        own = OwnParams(covering(blocked, site), tuple(_of_site(headers, site)))
        return own if own.blocked_urls is not None or own.headers else None

    return of


def _of_site(headers: Mapping[str, InterceptParams], site: str) -> Iterable[InterceptParams]:
    """Yield the headers of every table that covers a site, or whose host is above it; the most special last."""
    if not headers:
        return
    for name in reversed(names_covering(site)):
        for one in dict.fromkeys((name.removeprefix(ANY_SUBDOMAIN), name)):
            if one in headers:
                yield headers[one]
