"""The feed marks itself for all nodes for as long as it may bring URLs."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from farm.model.errors import FrontierUnavailable
from farm.runtime.control import Control
from farm.runtime.site_ports import SitemapEntry
from farm.runtime.sitemaps import SitemapFeed


class Outside:
    """Everything that a feed has to do with; notes what happens in its order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fails = False
        self.marked = asyncio.Event()

    async def find(self) -> Sequence[str]:
        """Name one sitemap, once the mark is set."""
        await self.marked.wait()
        return ["http://a/sitemap.xml"]

    async def read(self, url: str) -> Any:
        """Find it empty; as the shelf: nobody has read it yet."""
        if not url.startswith("sitemap "):
            self.seen.append("read")
        if self.fails:
            raise FrontierUnavailable("away")
        return None if url.startswith("sitemap ") else list[SitemapEntry]()

    async def claim(self, name: str, for_s: float) -> bool:
        """Let the feed have it."""
        return True

    async def write(self, name: str, text: bytes, for_s: float) -> None:
        """Keep that it was read."""
        self.seen.append("written")

    async def hold(self, node: str) -> None:
        """Set the mark."""
        self.seen.append(f"held by {node}")
        self.marked.set()

    async def drop(self, node: str) -> None:
        """Take it away."""
        self.seen.append("dropped")

    def feed(self, control: Control) -> SitemapFeed:
        """Make the feed."""
        any_of = cast("Any", self)
        return SitemapFeed(self.find, self.read, any_of, any_of, any_of, any_of, control, any_of, "n1")


async def test_a_feed_is_marked_until_all_is_added() -> None:
    """Then the mark goes, and this node expects no more either."""
    outside, control = Outside(), Control()
    feed = outside.feed(control)
    assert control.expecting
    await feed.run()
    assert outside.seen == ["held by n1", "read", "written", "dropped"]
    assert not control.expecting


async def test_a_feed_that_is_broken_off_leaves_its_mark() -> None:
    """It ends by itself; until then another node may take the sitemap up."""
    outside, control = Outside(), Control()
    outside.fails = True
    with pytest.raises(FrontierUnavailable):
        await outside.feed(control).run()
    assert "dropped" not in outside.seen
    assert not control.expecting
