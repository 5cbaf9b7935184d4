"""A page's links, sorted into those to visit and those to skip, with the reasons; and the links of its record.

The links of a page are canonicalised twice (for the frontier and for the record), and a site's menu is on each of
its pages, so the results are cached.

What always holds: judging an address takes time linear in its length, and the event loop runs after each slice of
them, so that a page of ten thousand links does not block it; a page of ordinary size is sorted at once.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache

from farm.model.outcome import SkipReason
from farm.model.page import Link
from farm.model.record import Skip
from farm.model.task import UrlTask
from farm.model.url import fingerprint
from farm.scope.canonical import CanonicalUrl, Refusal, canonicalise
from farm.scope.rules import ScopeRules

_REMEMBERED = 8192
_REMEMBERED_CHARS = 500
"""Longer addresses are seldom a menu's, and would make the cache large."""
SLICE = 64 * 1024
"""Characters of addresses, with `_EACH` added for each: of the slowest kind they take some 20 ms."""
_EACH = 100


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
        hash_routes: bool = False,
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
        self._remembered = lru_cache(_REMEMBERED)(self._canonicalise)

    def canonical(self, raw: str) -> CanonicalUrl | Refusal:
        """Return the canonical form of an absolute address, by the options of this crawl."""
        return self._remembered(raw) if len(raw) <= _REMEMBERED_CHARS else self._canonicalise(raw)

    async def sort(
        self, links: Sequence[Link], referrer: UrlTask, *, nofollow: bool = False
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Canonicalise and deduplicate the links; return the URLs to visit, and the others with their reasons.

        Both are in document order. An address is `nofollow` only where every link to it says so, or the page says
        it for all of them.
        """
        depth, page_nofollow = referrer.depth + 1, nofollow
        unique: dict[str, tuple[CanonicalUrl | Refusal, bool]] = {}
        cost = 0
        for link in links:
            cost += len(link.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            found = self.canonical(link.url)
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
                        fingerprint(found.url, self._key),
                        depth=depth,
                        referrer=referrer.url,
                    )
                )
        return tasks, skips

    async def canonical_links(self, links: Sequence[Link]) -> list[dict[str, str]]:
        """Return the links for the record: http(s) only, unique by canonical URL, in document order.

        The first link to an address is kept, with the first *text* where it has none itself: a picture and a
        caption often lead to the same page.
        """
        unique: dict[str, dict[str, str]] = {}
        cost = 0
        for link in links:
            cost += len(link.url) + _EACH
            if cost > SLICE:
                cost = await _yield_to_loop()
            found = self.canonical(link.url)
            if isinstance(found, Refusal):
                continue
            shown = unique.get(found.url)
            if shown is None:
                unique[found.url] = {"url": found.url, "text": link.text, "rel": link.rel}
            elif link.text and not shown["text"]:
                shown["text"] = link.text
        return list(unique.values())

    def judge(self, raw: str, depth: int) -> SkipReason | None:
        """Return why an absolute address must not be visited; None where it may be."""
        found = self.canonical(raw)
        return self._reason(found, depth, nofollow=False)

    def fingerprints(self, urls: Iterable[str]) -> list[str]:
        """Return the fingerprints of those addresses that can be crawled."""
        found = (self.canonical(url) for url in urls)
        return [fingerprint(one.url, self._key) for one in found if isinstance(one, CanonicalUrl)]

    def _reason(self, found: CanonicalUrl | Refusal, depth: int, *, nofollow: bool) -> SkipReason | None:
        if isinstance(found, Refusal):
            return found.reason
        reason = self._rules.judge(found.url, depth)
        if reason is None and self._forbidden(found.url):
            return SkipReason.ROBOTS
        return SkipReason.NOFOLLOW if reason is None and nofollow else reason

    def _canonicalise(self, raw: str) -> CanonicalUrl | Refusal:
        return canonicalise(raw, hash_routes=self._hash_routes, keep_params=self._keep_params)


async def _yield_to_loop() -> int:
    """Let the event loop run; return the cost of the next slice so far, 0."""
    await asyncio.sleep(0)
    return 0


def _is_nofollow(rel: str) -> bool:
    return bool(rel) and "nofollow" in rel.lower().split()
