"""The sitemaps of a crawl, read beside the workers; their pages are added like links.

What always holds: one node reads a sitemap, and another only where that node died meanwhile; at most `MOST_FILES`
are read, and none twice; while one is being read, no node considers the crawl finished; a file that cannot be read
costs its own entries and nothing else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from farm.model.errors import FarmError
from farm.model.page import Link
from farm.model.record import Batch
from farm.model.task import UrlTask
from farm.runtime.control import Control
from farm.runtime.ports import Frontier, Scope, SharedCache, Sink

log = logging.getLogger("farm.sitemaps")
MOST_FILES = 2000
AT_ONCE = 500
CLAIM_S = 600.0
READ_S = 30 * 24 * 3600.0
MARK_EVERY_S = 10.0


class SitemapEntry(Protocol):
    """An address in a sitemap."""

    @property
    def url(self) -> str:
        """The address in the sitemap."""
        ...

    @property
    def is_sitemap(self) -> bool:
        """Whether it is the address of another sitemap."""
        ...

    @property
    def changed(self) -> datetime | None:
        """When it was last changed; None if the sitemap does not say."""
        ...


ReadSitemap = Callable[[str], Awaitable[Sequence[SitemapEntry]]]
"""Reads one file; errors in it are logged, and lose only its own entries."""


class FeedMarks(Protocol):
    """The nodes that still add URLs from outside, for all nodes."""

    async def hold(self, node: str) -> None:
        """Set a node's mark, or prolong it."""
        ...

    async def drop(self, node: str) -> None:
        """Remove the mark: everything from the node is added."""
        ...


class SitemapFeed:
    """Feeds the frontier from sitemaps; `find` returns the first ones, `since` is how old a page may be."""

    def __init__(
        self,
        find: Callable[[], Awaitable[Sequence[str]]],
        read: ReadSitemap,
        cache: SharedCache,
        scope: Scope,
        frontier: Frontier,
        sink: Sink,
        control: Control,
        marks: FeedMarks,
        node: str,
        since: datetime | None = None,
    ) -> None:
        self._find = find
        self._read = read
        self._cache = cache
        self._scope = scope
        self._frontier = frontier
        self._sink = sink
        self._control = control
        self._marks = marks
        self._node = node
        self._since = since
        control.expecting = True

    async def run(self) -> None:
        """Read all sitemaps, then return."""
        marking = asyncio.create_task(self._mark(), name="feed mark")
        try:
            waiting = deque(dict.fromkeys(await self._find()))
            known = set(waiting)
            while waiting and not self._control.ending:
                for url in await self._read_safely(waiting.popleft()):
                    if url not in known and len(known) < MOST_FILES:
                        known.add(url)
                        waiting.append(url)
            marking.cancel()
            await self._marks.drop(self._node)
        finally:
            # After a break the mark expires: another node may continue.
            marking.cancel()
            self._control.expecting = False
            self._control.notify_all()

    async def _mark(self) -> None:
        while True:
            await self._marks.hold(self._node)
            await asyncio.sleep(MARK_EVERY_S)

    async def _read_safely(self, url: str) -> Sequence[str]:
        """Read one file; a failure other than a FarmError is logged and leaves the others."""
        task = asyncio.create_task(self._feed(url), name=f"sitemap {url}")
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        failure = task.exception()
        if failure is None:
            return task.result()
        if isinstance(failure, FarmError):
            raise failure
        log.error("the sitemap %s could not be read", url, exc_info=failure)
        return ()

    async def _feed(self, url: str) -> list[str]:
        """Read one file, add its pages to the frontier, and return the sitemaps that it names."""
        name = f"sitemap {url}"
        if await self._cache.read(name) is not None or not await self._cache.claim(name, CLAIM_S):
            return []
        entries = [entry for entry in await self._read(url) if self._is_new(entry)]
        pages = [Link(entry.url) for entry in entries if not entry.is_sitemap]
        accepted = 0
        # As if a seed linked to them: patterns, scope and depth hold for them as for any link.
        referrer = UrlTask(url, "", "")
        for start in range(0, len(pages), AT_ONCE):
            tasks, skips = await self._scope.sort(pages[start : start + AT_ONCE], referrer)
            accepted += await self._frontier.add(tasks)
            await self._sink.commit(Batch(skips=skips))
            self._control.notify_all()
        await self._cache.write(name, b"read", READ_S)
        log.info("%s lists %d pages, of which %d are new", url, len(pages), accepted)
        return [entry.url for entry in entries if entry.is_sitemap]

    def _is_new(self, entry: SitemapEntry) -> bool:
        return self._since is None or entry.changed is None or entry.changed >= self._since
