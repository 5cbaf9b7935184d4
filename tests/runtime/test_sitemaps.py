"""The feed marks itself for all nodes for as long as it may bring URLs."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from farm.model.errors import FrontierUnavailable
from farm.runtime.control import Control
from farm.runtime.sitemaps import SitemapFeed
from farm.scope.sitemaps import Entry


class Outside:
    """Everything that a feed has to do with; notes what happens in its order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fails = False
        self.found = ["http://a/sitemap.xml"]
        self.broken: dict[str, Exception] = {}
        self.listed: dict[str, list[Entry]] = {}
        self.marked = asyncio.Event()

    async def find(self) -> Sequence[str]:
        """Name the sitemaps, once the mark is set."""
        await self.marked.wait()
        return self.found

    async def read(self, url: str) -> Any:
        """Find in it what is listed; as the cache: no node has read it yet."""
        if not url.startswith("sitemap "):
            self.seen.append("read")
        if url in self.broken:
            raise self.broken[url]
        if self.fails:
            raise FrontierUnavailable("away")
        return None if url.startswith("sitemap ") else self.listed.get(url, [])

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


async def test_an_index_that_names_a_sitemap_twice_has_it_read_once() -> None:
    """And itself not again."""
    outside = Outside()
    names = ("http://a/1.xml", "http://a/2.xml", "http://a/1.xml", "http://a/sitemap.xml")
    outside.listed["http://a/sitemap.xml"] = [Entry(name, is_sitemap=True) for name in names]
    await outside.feed(Control()).run()
    assert outside.seen == ["held by n1", *["read", "written"] * 3, "dropped"]


async def test_a_feed_that_is_broken_off_leaves_its_mark() -> None:
    """It ends by itself; until then another node may take the sitemap up."""
    outside, control = Outside(), Control()
    outside.fails = True
    with pytest.raises(FrontierUnavailable):
        await outside.feed(control).run()
    assert "dropped" not in outside.seen
    assert not control.expecting


async def test_a_file_that_cannot_be_read_costs_what_it_lists(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong: the others are read, and the crawl does not wait for it."""
    outside, control = Outside(), Control()
    outside.found = ["http://a/1.xml", "http://a/2.xml", "http://a/2.xml", "http://a/3.xml"]
    outside.broken = {"http://a/1.xml": ValueError("no port"), "http://a/2.xml": LookupError("gbk")}
    await outside.feed(control).run()
    assert outside.seen == ["held by n1", "read", "read", "read", "written", "dropped"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "the sitemap http://a/1.xml could not be read",
        "the sitemap http://a/2.xml could not be read",
    ]
    assert not control.expecting
