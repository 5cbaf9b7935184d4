"""The sitemaps of a crawl, read beside the workers; their pages are added like links.

Invariants: one node reads a sitemap, and another only where that node died meanwhile; beside the first ones at
most `MOST_FILES` are read, and none twice; while one is being read, no node considers the crawl finished; what an
index names is read whenever its reader ended; a file that cannot be read costs its own entries and nothing else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import orjson

from farm.model.errors import FarmError
from farm.model.page import Link
from farm.model.record import Batch
from farm.model.task import UrlTask
from farm.runtime.control import Control
from farm.runtime.ports import Frontier, Scope, SharedCache, Sink

log = logging.getLogger("farm.sitemaps")
MOST_FILES = 2000
"""Of those that indexes name, and of what is kept of one index."""
AT_ONCE = 500
CLAIM_S = 60.0
"""Of a file that is being read; prolonged meanwhile, so that another node soon takes up what a dead one was at."""
LOOK_AGAIN_S = 5.0
"""So often a node looks whether what others read is read."""
READ_S = 30 * 24 * 3600.0
FAILED_S = 600.0
"""For so long nobody tries to read a file again that broke its reader."""
MARK_EVERY_S = 10.0
MOST_NAMED_BYTES = 2**19
"""Of what an index names, as it is kept for whoever finds it read."""


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


class SitemapCache(SharedCache, Protocol):
    """Which sitemaps were read, with what they name; a claim on each that is being read."""

    async def prolong(self, origin: str, for_s: float) -> None:
        """Have the claim end in `for_s` seconds, where there is one."""
        ...


class SitemapFeed:
    """Feeds the frontier from sitemaps; `find` returns the first ones, `since` is how old a page may be."""

    def __init__(
        self,
        find: Callable[[], Awaitable[Sequence[str]]],
        read: ReadSitemap,
        cache: SitemapCache,
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
        self._reading = ""
        """What the cache calls the file that is being read; empty while there is none."""
        control.expecting = True

    async def run(self) -> None:
        """Read all sitemaps, then return."""
        marking = asyncio.create_task(self._mark(), name="feed mark")
        try:
            waiting = deque(dict.fromkeys(await self._find()))
            known, claimed = set(waiting), list[str]()
            most, left_out = len(known) + MOST_FILES, False
            while (waiting or claimed) and not self._control.ending:
                if not waiting:
                    # Others read these, and may die over it.
                    await self._control.ended(LOOK_AGAIN_S)
                    waiting, claimed = deque(claimed), []
                    continue
                url = waiting.popleft()
                named = await self._read_safely(url)
                if named is None:
                    claimed.append(url)
                for other in named or ():
                    if other in known:
                        continue
                    if len(known) < most:
                        known.add(other)
                        waiting.append(other)
                    elif not left_out:
                        left_out = True
                        log.warning("indexes name more than %d sitemaps; the others are not read", MOST_FILES)
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
            if self._reading:
                await self._cache.prolong(self._reading, CLAIM_S)
            await asyncio.sleep(MARK_EVERY_S)

    async def _read_safely(self, url: str) -> Sequence[str] | None:
        """Read one file; a failure other than a FarmError is logged and leaves the others. As `_feed`."""
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
        # Nor can others read it, who wait for it.
        await self._cache.write(f"sitemap {url}", b"[]", FAILED_S)
        return ()

    async def _feed(self, url: str) -> Sequence[str] | None:
        """Read one file, add its pages to the frontier, and return the sitemaps that it names.

        None while another node reads it.
        """
        name = f"sitemap {url}"
        text = await self._cache.read(name)
        if text is not None:
            return [named for named, changed in _named(text) if self._is_new(changed)]
        if not await self._cache.claim(name, CLAIM_S):
            return None
        self._reading = name
        try:
            entries = await self._read(url)
            pages = [Link(one.url) for one in entries if not one.is_sitemap and self._is_new(one.changed)]
            accepted = 0
            # As if a seed linked to them: patterns, scope and depth hold for them as for any link.
            referrer = UrlTask(url, "", "")
            for start in range(0, len(pages), AT_ONCE):
                tasks, skips = await self._scope.sort(pages[start : start + AT_ONCE], referrer)
                accepted += await self._frontier.add(tasks)
                await self._sink.commit(Batch(skips=skips))
                self._control.notify_all()
            sitemaps = [one for one in entries if one.is_sitemap]
            await self._cache.write(name, _text_of(url, sitemaps), READ_S)
        finally:
            self._reading = ""
        log.info("%s lists %d pages, of which %d are new", url, len(pages), accepted)
        return [one.url for one in sitemaps if self._is_new(one.changed)]

    def _is_new(self, changed: datetime | None) -> bool:
        return self._since is None or changed is None or changed >= self._since


def _text_of(url: str, sitemaps: Sequence[SitemapEntry]) -> bytes:
    """Return what is kept of a file that was read: the sitemaps that it names."""
    kept, text = sitemaps[:MOST_FILES], b""
    while len(text := orjson.dumps([(one.url, one.changed) for one in kept])) > MOST_NAMED_BYTES:
        kept = kept[: len(kept) // 2]
    if len(kept) < len(sitemaps):
        log.warning("%s names %d sitemaps, of which the first %d are kept", url, len(sitemaps), len(kept))
    return text


def _named(text: bytes) -> Iterable[tuple[str, datetime | None]]:
    """Yield the sitemaps that a kept text names; what no node has written names none."""
    try:
        for url, changed in orjson.loads(text):
            yield str(url), None if changed is None else datetime.fromisoformat(changed)
    except (TypeError, ValueError):
        return
