"""What is shared about sites (robots.txt, sitemaps, paces), as protocols like those of `ports`."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from farm.model.egress import Fetched, FetchFailed
from farm.policy.aimd import Pace, PaceSnapshot


class ParsedRobots(Protocol):
    """A robots.txt that was read."""

    @property
    def crawl_delay_s(self) -> float | None:
        """The spacing that it asks for."""
        ...

    @property
    def sitemaps(self) -> Sequence[str]:
        """The sitemaps that it names."""
        ...

    @property
    def widened(self) -> int:
        """How many of its rules forbid more than they say, because there are too many wildcards."""
        ...

    def allows(self, url: str) -> bool:
        """Whether a canonical URL of its origin may be visited."""
        ...

    def surely_forbids(self, url: str) -> bool:
        """Whether it is forbidden, where that can be told fast enough to ask it of every link of a page."""
        ...


class SharedCache(Protocol):
    """What all nodes know of the origins' robots.txt."""

    async def read(self, origin: str) -> bytes | None:
        """Return what is known; None where nothing is, or not any more."""
        ...

    async def write(self, origin: str, text: bytes, for_s: float) -> None:
        """Keep a text for a while, and end the claim."""
        ...

    async def claim(self, origin: str, for_s: float) -> bool:
        """Whether it is for the caller to fetch."""
        ...

    async def yield_claim(self, origin: str) -> None:
        """Let somebody else fetch."""
        ...


class FeedMarks(Protocol):
    """Tells all nodes who still feeds the crawl from elsewhere."""

    async def hold(self, node: str) -> None:
        """Set a node's mark for a while, or keep it longer."""
        ...

    async def drop(self, node: str) -> None:
        """Take it away: all that the node had is added."""
        ...


class SitemapEntry(Protocol):
    """An address in a sitemap."""

    @property
    def url(self) -> str:
        """As it stands there."""
        ...

    @property
    def is_sitemap(self) -> bool:
        """Whether another sitemap stands there."""
        ...

    @property
    def changed(self) -> datetime | None:
        """When it changed last, where that is told."""
        ...


class PaceStore(Protocol):
    """What all nodes have learnt of the sites' paces."""

    async def read(self, site: str, egress: str = "") -> PaceSnapshot:
        """Return what is known of a site, or of one egress address at the site."""
        ...

    async def write(
        self, site: str, before: PaceSnapshot, pace: Pace, egress: str = ""
    ) -> PaceSnapshot | None:
        """Write what was made of it; what is there now, where somebody else was faster."""
        ...


class PaceObserver(Protocol):
    """Who learns from settled visits."""

    def note(self, site: str, began: float, status: int, latency_ms: float, egress: str = "") -> None:
        """Take in a visit that has ended; `status` is 0 where there was no answer."""
        ...


Fetch = Callable[[str, int], Awaitable[Fetched | FetchFailed]]
"""Fetches an address without a browser: the URL, and how many bytes of the body at most."""
SetSpacing = Callable[[str, float], Awaitable[None]]
"""Lets the visits to a site be so many seconds apart, for every node."""
