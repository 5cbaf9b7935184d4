"""The feed marks itself for all nodes for as long as it may bring URLs."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from farm.model.errors import FrontierUnavailable
from farm.runtime.control import Control
from farm.runtime.sitemaps import MOST_NAMED_BYTES, SitemapFeed
from farm.scope.sitemaps import Entry
from tests.frontier.support import eventually


class Outside:
    """Everything that a feed has to do with; notes what happens in its order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fails = False
        self.found = ["http://a/sitemap.xml"]
        self.broken: dict[str, Exception] = {}
        self.listed: dict[str, list[Entry]] = {}
        self.cached: dict[str, bytes] = {}
        self.refused = 0
        """How many claims are refused: another node reads the file."""
        self.marked, self.prolonged = asyncio.Event(), asyncio.Event()
        self.waits_for_more_time = False

    async def find(self) -> Sequence[str]:
        """Name the sitemaps, once the mark is set."""
        await self.marked.wait()
        return self.found

    async def read(self, url: str) -> Any:
        """Find in it what is listed; as the cache: what was written of it."""
        if url.startswith("sitemap ") and not self.fails:
            return self.cached.get(url)
        self.seen.append("read")
        if url in self.broken:
            raise self.broken[url]
        if self.fails:
            raise FrontierUnavailable("away")
        if self.waits_for_more_time:
            await self.prolonged.wait()
        return self.listed.get(url, [])

    async def claim(self, name: str, for_s: float) -> bool:
        """Let the feed have it, unless another node reads it."""
        self.refused -= 1
        return self.refused < 0

    async def prolong(self, name: str, for_s: float) -> None:
        """Note that the file takes its time."""
        self.seen.append(f"prolonged: {name}")
        self.prolonged.set()

    async def write(self, name: str, text: bytes, for_s: float) -> None:
        """Keep that it was read, and what it names."""
        self.cached[name] = text
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


async def test_of_very_many_sitemaps_the_first_are_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that the sites have themselves are no part of that number, however many seeds there are."""
    monkeypatch.setattr("farm.runtime.sitemaps.MOST_FILES", 3)
    outside = Outside()
    outside.found = [f"http://{site}/sitemap.xml" for site in "abcde"]
    outside.listed = {
        name: [Entry(f"{name}/{number}", is_sitemap=True) for number in range(2)] for name in outside.found
    }
    await outside.feed(Control()).run()
    assert outside.seen.count("read") == 5 + 3
    assert [one for one in caplog.messages if "more than" in one] == [
        "indexes name more than 3 sitemaps; the others are not read"
    ]


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
    assert outside.seen == ["held by n1", *["read", "written"] * 3, "dropped"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "the sitemap http://a/1.xml could not be read",
        "the sitemap http://a/2.xml could not be read",
    ]
    assert not control.expecting


async def test_a_file_whose_reader_dies_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claim ends then; until that it is looked at again and again, and this node goes on to expect more."""
    monkeypatch.setattr("farm.runtime.sitemaps.LOOK_AGAIN_S", 0.001)
    outside = Outside()
    outside.refused = 3
    await outside.feed(Control()).run()
    assert outside.seen == ["held by n1", "read", "written", "dropped"]


async def test_what_another_node_has_read_meanwhile_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is known what it names, and that is looked at."""
    monkeypatch.setattr("farm.runtime.sitemaps.LOOK_AGAIN_S", 0.001)
    outside = Outside()
    outside.refused = 10**9
    running = asyncio.create_task(outside.feed(Control()).run())
    await eventually(lambda: outside.refused < 10**9)
    outside.cached["sitemap http://a/sitemap.xml"] = b'[["http://a/1.xml", null]]'
    outside.refused = 0
    await running
    assert outside.seen == ["held by n1", "read", "written", "dropped"]
    assert "sitemap http://a/1.xml" in outside.cached


async def test_what_an_index_names_is_read_after_a_break() -> None:
    """The index is read by then, and the files that it names are not: they would be lost."""
    outside = Outside()
    outside.listed["http://a/sitemap.xml"] = [Entry(f"http://a/{n}.xml", is_sitemap=True) for n in range(3)]
    outside.broken["http://a/1.xml"] = FrontierUnavailable("away")
    with pytest.raises(FrontierUnavailable):
        await outside.feed(Control()).run()
    assert sorted(outside.cached) == ["sitemap http://a/0.xml", "sitemap http://a/sitemap.xml"]
    del outside.broken["http://a/1.xml"]
    outside.seen.clear()
    await outside.feed(Control()).run()
    assert sorted(outside.cached)[:3] == [f"sitemap http://a/{n}.xml" for n in range(3)]
    assert outside.seen == ["held by n1", *["read", "written"] * 2, "dropped"]


@pytest.mark.parametrize("text", [b"read", b"7", b'{"a": 1}', b'[["http://a/1.xml", "never"]]'])
async def test_what_is_kept_of_a_file_and_no_node_has_written_names_nothing(text: bytes) -> None:
    """Anybody may write to Redis."""
    outside = Outside()
    outside.cached["sitemap http://a/sitemap.xml"] = text
    await outside.feed(Control()).run()
    assert outside.seen == ["held by n1", "dropped"]


async def test_of_an_index_without_end_the_first_names_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    """As many as fit; it is told."""
    outside = Outside()
    names = [f"http://a/{'x' * 1000}{n}.xml" for n in range(1500)]
    outside.listed["http://a/sitemap.xml"] = [Entry(name, is_sitemap=True) for name in names]
    await outside.feed(Control()).run()
    assert len(outside.cached["sitemap http://a/sitemap.xml"]) <= MOST_NAMED_BYTES
    assert "names 1500 sitemaps, of which the first 375 are kept" in caplog.text


async def test_a_file_that_takes_long_stays_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another node would read it at the same time."""
    monkeypatch.setattr("farm.runtime.sitemaps.MARK_EVERY_S", 0.001)
    outside = Outside()
    outside.waits_for_more_time = True
    await outside.feed(Control()).run()
    assert "prolonged: sitemap http://a/sitemap.xml" in outside.seen
