"""What the loop needs to know about sites (robots.txt, sitemaps, paces), as protocols like those in `ports`."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from farm.model.egress import Fetched, FetchFailed
from farm.policy.aimd import Pace, PaceSnapshot


class ParsedRobots(Protocol):
    """The rules of a robots.txt."""

    @property
    def crawl_delay_s(self) -> float | None:
        """The spacing of visits in seconds that it asks for."""
        ...

    @property
    def sitemaps(self) -> Sequence[str]:
        """The addresses of sitemaps in it."""
        ...

    @property
    def widened(self) -> int:
        """How many of its rules were widened to their prefix, because there are too many wildcards."""
        ...

    def allows(self, url: str) -> bool:
        """Return whether a canonical URL of its origin may be visited."""
        ...

    def surely_forbids(self, url: str) -> bool:
        """Return whether it is forbidden, where matching is fast enough for every link of a page; else False."""
        ...


class SharedCache(Protocol):
    """A cache that all nodes share, with claims: robots.txt by origin, and sitemaps that were read."""

    async def read(self, origin: str) -> bytes | None:
        """Return the cached text; None where there is none, or it has expired."""
        ...

    async def write(self, origin: str, text: bytes, for_s: float) -> None:
        """Store a text for `for_s` seconds, and end the claim."""
        ...

    async def claim(self, origin: str, for_s: float) -> bool:
        """Return whether the caller has the claim to fetch it."""
        ...

    async def yield_claim(self, origin: str) -> None:
        """End the claim: another node may fetch."""
        ...


class FeedMarks(Protocol):
    """The nodes that still feed the crawl from outside, for all nodes."""

    async def hold(self, node: str) -> None:
        """Set a node's mark, or prolong it."""
        ...

    async def drop(self, node: str) -> None:
        """Remove the mark: everything from the node is added."""
        ...


class SitemapEntry(Protocol):
    """An address in a sitemap."""

    @property
    def url(self) -> str:
        """The address as the sitemap has it."""
        ...

    @property
    def is_sitemap(self) -> bool:
        """Whether it is the address of another sitemap."""
        ...

    @property
    def changed(self) -> datetime | None:
        """When it changed last, None where the sitemap does not say."""
        ...


class PaceStore(Protocol):
    """The paces of sites, shared by all nodes."""

    async def read(self, site: str, egress: str = "") -> PaceSnapshot:
        """Return the pace of a site, or of one egress address at the site."""
        ...

    async def write(
        self, site: str, before: PaceSnapshot, pace: Pace, egress: str = ""
    ) -> PaceSnapshot | None:
        """Write a pace if nobody wrote since `before`; return None, or the newer pace that prevented it."""
        ...


class PaceObserver(Protocol):
    """Learns from settled visits."""

    def note(self, site: str, began: float, status: int, latency_ms: float, egress: str = "") -> None:
        """Take a visit that has ended; `status` is 0 without an answer."""
        ...


Fetch = Callable[[str, int], Awaitable[Fetched | FetchFailed]]
"""Fetches a URL without a browser, with a limit of the body in bytes."""
SetSpacing = Callable[[str, float], Awaitable[None]]
"""Sets the spacing of visits to a site in seconds, for every node."""
