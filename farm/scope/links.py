"""Judges the addresses of a page: its links, to visit or to skip with the reason, and its redirects.

The links of a page are canonicalised twice (for the frontier and for the record), and a site's menu is on each of
its pages, so the results are cached.

Invariants: judging an address takes time linear in its length, and the event loop runs after each slice of
them, so that a page of ten thousand links does not block it; a page of ordinary size is sorted at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, TypeVar

from farm.model.handling import FollowedLink
from farm.model.outcome import RedirectOutcome, SkipReason
from farm.model.page import HashRouter, Image, Link, Media, RenderedPage
from farm.model.record import Skip
from farm.model.task import UrlTask
from farm.model.url import HashRoutes, fingerprint
from farm.scope.canonical import ROUTE_MARKS, CanonicalUrl, Refusal, canonicalise
from farm.scope.directives import directives_of
from farm.scope.rules import ScopeKind, ScopeRules

_REMEMBERED = 8192
_REMEMBERED_CHARS = 500
"""Longer addresses are seldom in a menu, and would make the cache large."""
SLICE = 64 * 1024
"""Characters of addresses, with `_EACH` added for each: the slowest kind takes about 20 ms."""
_EACH = 100
DOCSIFY_ANCHOR = frozenset({"id"})
_ORDINARY = UrlTask("", "", "").priority
MOST_ROUTES = 1_000
MOST_SITES = 100
"""How many sites, and how many unvisited routes of each, are counted."""
_File = TypeVar("_File", Image, Media)
Canonicaliser = Callable[[str], CanonicalUrl | Refusal]


class LinkSorter:
    """Sorts the links of a page by the rules of the crawl. `key` is the crawl's fingerprint key.

    `forbidden` says whether cached robots.txt rules forbid a canonical URL, `trapped` whether it is a crawler
    trap, `repeats` whether its template is stopped as duplicate.
    """

    def __init__(
        self,
        rules: ScopeRules,
        key: bytes,
        *,
        hash_routes: HashRoutes = HashRoutes.OFF,
        keep_params: Collection[str] = (),
        obey_nofollow: bool = True,
        forbidden: Callable[[str], bool] = lambda _: False,
        trapped: Callable[[str], bool] = lambda _: False,
        repeats: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._rules = rules
        self._key = key
        self._hash_routes = hash_routes
        self._keep_params = frozenset(name.lower() for name in keep_params)
        self._obey_nofollow = obey_nofollow
        self._forbidden = forbidden
        self._trapped = trapped
        self._repeats = repeats
        self._fingerprint = lru_cache(_REMEMBERED)(partial(fingerprint, key=key))
        of_links = HashRoutes.ON if hash_routes is HashRoutes.ON else HashRoutes.OFF
        self._of_links = self._canonicaliser(of_links)
        self._of_routes = self._canonicaliser(HashRoutes.AUTO)
        self._of_docsify = self._canonicaliser(HashRoutes.AUTO, DOCSIFY_ANCHOR)
        self._unvisited: dict[str, set[str]] = {}
        self._of_others = self._of_routes if hash_routes is HashRoutes.AUTO else self._of_links

    def canonical(self, raw: str) -> CanonicalUrl | Refusal:
        """Return the canonical form of an absolute address, by the options of this crawl.

        With `AUTO` a route is part of it; for the links of a page see `sort`.
        """
        return self._of_others(raw)

    @property
    def unvisited_routes(self) -> Mapping[str, int]:
        """By site, how many linked routes are no pages by `OFF`, counted until they exceed `MOST_ROUTES`."""
        return {site: len(urls) for site, urls in self._unvisited.items()}

    async def sort(
        self,
        links: Sequence[Link],
        referrer: UrlTask,
        *,
        nofollow: bool = False,
        router: HashRouter | None = None,
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Canonicalise and deduplicate the links; return the URLs to visit, and the others with their reasons.

        Both are in document order. An address is `nofollow` only where every link to it says so, or the page says
        it for all of them. With `AUTO` the routes of the page's `router` are pages.
        """
        canonical = self._for_page(router)
        await self._count_routes(links, router, referrer.depth + 1)
        depth, page_nofollow = referrer.depth + 1, nofollow
        unique: dict[str, tuple[CanonicalUrl | Refusal, bool]] = {}
        cost = 0
        for link in links:
            cost += len(link.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            found = canonical(link.url)
            nofollow = self._obey_nofollow and (page_nofollow or _is_nofollow(link.rel))
            before = unique.get(found.url)
            if before is None or (before[1] and not nofollow):
                unique[found.url] = found, nofollow

        tasks: list[UrlTask] = []
        skips: list[Skip] = []
        for found, nofollow in unique.values():
            cost += len(found.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            reason = self._reason(found, depth, nofollow=nofollow)
            if reason is None and self._trapped(found.url):
                reason = SkipReason.TRAP
            if reason is None and self._repeats(found.url):
                reason = SkipReason.DUPLICATE_CONTENT
            if reason is not None:
                skips.append(Skip(found.url, reason, referrer.url, depth))
            elif isinstance(found, CanonicalUrl):
                tasks.append(
                    UrlTask(
                        found.url,
                        found.site,
                        self._fingerprint_of(found.url),
                        depth=depth,
                        referrer=referrer.url,
                    )
                )
        return tasks, skips

    async def follow(
        self, links: Sequence[FollowedLink], referrer: UrlTask
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Return the links of the user's code that are to be visited, and the others with their reasons.

        The scope and its patterns do not apply; the depth and robots.txt do. Of several links to one address the
        first counts.
        """
        depth, cost = referrer.depth + 1, 0
        tasks: dict[str, UrlTask] = {}
        skips: dict[str, Skip] = {}
        for link in links:
            cost += len(link.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            found = self.canonical(link.url)
            reason = found.reason if isinstance(found, Refusal) else None
            if reason is None and self._rules.is_too_deep(depth):
                reason = SkipReason.DEPTH
            if reason is None and self._forbidden(found.url):
                reason = SkipReason.ROBOTS
            if reason is not None:
                skips[found.url] = Skip(found.url, reason, referrer.url, depth)
            elif isinstance(found, CanonicalUrl):
                task = UrlTask(
                    found.url,
                    found.site,
                    fingerprint(found.url, self._key),
                    depth,
                    _ORDINARY + link.priority,
                    referrer.url,
                    link.meta,
                    link.label,
                    render=link.render,
                )
                tasks.setdefault(found.url, task)
        return tuple(tasks.values()), tuple(skips.values())

    async def canonical_links(
        self, links: Sequence[Link], router: HashRouter | None = None
    ) -> list[dict[str, str]]:
        """Return the links for the record: http(s) only, unique by canonical URL, in document order.

        The first link to an address is kept, with the first *text* where it has none itself: a picture and a
        caption often lead to the same page.
        """
        unique: dict[str, dict[str, str]] = {}
        canonical, cost = self._for_page(router), 0
        for link in links:
            cost += len(link.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            found = canonical(link.url)
            if isinstance(found, Refusal):
                continue
            shown = unique.get(found.url)
            if shown is None:
                unique[found.url] = {"url": found.url, "text": link.text, "rel": link.rel}
            elif link.text and not shown["text"]:
                shown["text"] = link.text
        return list(unique.values())

    async def canonical_images(self, images: Sequence[Image]) -> list[dict[str, Any]]:
        """Return the images for the record: unique by canonical URL, in document order.

        An attribute that the first one lacks (`alt`, its size) is taken from the next image with the same address.
        """
        unique: dict[str, dict[str, Any]] = {}
        async for url, image in self._canonical(images):
            shown = unique.setdefault(url, {"url": url, "alt": "", "width": None, "height": None})
            shown["alt"] = shown["alt"] or image.alt
            if shown["width"] is None and shown["height"] is None:
                shown["width"], shown["height"] = image.width, image.height
        return list(unique.values())

    async def canonical_media(self, media: Sequence[Media]) -> list[dict[str, str]]:
        """Return the media for the record: unique by canonical URL and kind, in document order."""
        found = {(url, one.kind): None async for url, one in self._canonical(media)}
        return [{"url": url, "kind": kind} for url, kind in found]

    async def _canonical(self, files: Sequence[_File]) -> AsyncIterator[tuple[str, _File]]:
        cost = 0
        for one in files:
            cost += len(one.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            found = self._of_links(one.url)
            if isinstance(found, CanonicalUrl):
                yield found.url, one

    def judge(self, raw: str, depth: int) -> SkipReason | None:
        """Return why an absolute address must not be visited; None if it may be."""
        found = self.canonical(raw)
        return self._reason(found, depth, nofollow=False)

    def fingerprints(self, urls: Iterable[str]) -> list[str]:
        """Return the fingerprints of those addresses that can be crawled."""
        found = (self.canonical(url) for url in urls)
        return [fingerprint(one.url, self._key) for one in found if isinstance(one, CanonicalUrl)]

    def _fingerprint_of(self, url: str) -> str:
        return self._fingerprint(url) if len(url) <= _REMEMBERED_CHARS else fingerprint(url, self._key)

    def _reason(self, found: CanonicalUrl | Refusal, depth: int, *, nofollow: bool) -> SkipReason | None:
        if isinstance(found, Refusal):
            return found.reason
        reason = self._rules.judge(found.url, depth)
        if reason is None and self._forbidden(found.url):
            return SkipReason.ROBOTS
        return SkipReason.NOFOLLOW if reason is None and nofollow else reason

    def _canonicaliser(self, hash_routes: HashRoutes, anchor_params: Collection[str] = ()) -> "_Remembering":
        return _Remembering(
            partial(
                canonicalise,
                hash_routes=hash_routes,
                keep_params=self._keep_params,
                anchor_params=anchor_params,
            )
        )

    def _for_page(self, router: HashRouter | None) -> Canonicaliser:
        """Return the function that makes the links of a page canonical, and tells its routes from its anchors."""
        of_links = self._of_links
        if router is None or self._hash_routes is not HashRoutes.AUTO:
            return of_links
        of_routes, is_route = self._routes_of(router)
        return lambda raw: of_routes(raw) if is_route(raw) else of_links(raw)

    def _routes_of(self, router: HashRouter) -> tuple[Canonicaliser, Callable[[str], bool]]:
        starts = tuple(f"{router.document}#{mark}" for mark in ROUTE_MARKS)
        of_routes = self._of_docsify if router.id_is_anchor else self._of_routes
        return of_routes, lambda raw: raw.startswith(starts)

    async def _count_routes(self, links: Sequence[Link], router: HashRouter | None, depth: int) -> None:
        """With `OFF`, count the routes of a page that would be pages with `AUTO`."""
        if router is None or self._hash_routes is not HashRoutes.OFF:
            return
        of_routes, is_route = self._routes_of(router)
        cost = 0
        for link in links:
            cost += len(link.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            found = of_routes(link.url) if is_route(link.url) else None
            if not isinstance(found, CanonicalUrl) or "#" not in found.url:
                continue
            counted = self._unvisited.get(found.site)
            if len(self._unvisited) >= MOST_SITES if counted is None else len(counted) > MOST_ROUTES:
                return
            if self._reason(found, depth, nofollow=False) is None:
                self._unvisited.setdefault(found.site, set()).add(fingerprint(found.url, self._key))


class RedirectPolicy:
    """Judges final addresses by the rules of the crawl, and extends the scope by the redirects of seeds."""

    def __init__(self, rules: ScopeRules, links: LinkSorter) -> None:
        self._rules = rules
        self._links = links

    def judge(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        """Return the consequences of the page's final address for the visit to `task`.

        A page that changes its address itself on its own site (`pushState`) counts as the same page. In a scope of
        kind `page` a redirect may lead anywhere, and so may that of a link which the user's code follows: the user
        named the address itself.
        """
        outcome = self._judged(task, page)
        nofollow = directives_of(page.headers, page.robots).nofollow
        return replace(outcome, nofollow=True) if nofollow else outcome

    def _judged(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        final = self._links.canonical(page.final_url)
        if not isinstance(final, CanonicalUrl) or (not page.redirects and final.site == task.site):
            return RedirectOutcome()
        addresses = (*page.redirects[1:], page.final_url) if page.redirects else ()
        seen = tuple(self._links.fingerprints(addresses))
        if self._rules.kind is ScopeKind.PAGE or (task.label is not None and task.depth > 0):
            return RedirectOutcome(seen)
        extension = None
        if task.depth == 0:
            extension = self._rules.extension(task.url, final.url)
            if extension is not None:
                self._rules.extend(extension)
        reason = self._rules.judge(final.url, task.depth)
        # A skipped address may be reached by another rule or another scope: it is not marked as seen.
        return RedirectOutcome(() if reason else seen, reason, extension)


class _Remembering:
    """Makes addresses canonical with fixed options, and caches the last ones."""

    def __init__(self, canonicalise: Canonicaliser) -> None:
        self._canonicalise = canonicalise
        self.remembered = lru_cache(_REMEMBERED)(canonicalise)

    def __call__(self, raw: str) -> CanonicalUrl | Refusal:
        return self.remembered(raw) if len(raw) <= _REMEMBERED_CHARS else self._canonicalise(raw)


async def _yield_to_loop() -> int:
    """Let the event loop run; return the cost of the next slice so far, 0."""
    await asyncio.sleep(0)
    return 0


def _is_nofollow(rel: str) -> bool:
    # The standard wants spaces between the words; many sites write commas, which search engines accept.
    return bool(rel) and "nofollow" in rel.lower().replace(",", " ").split()
