"""Sitemaps at their limits and beyond them (the situations of crawler-commons' tests), and fetches that break."""

import gzip

import pytest

from farm.model.egress import FetchFailed
from farm.model.outcome import FailureKind
from farm.scope import sitemaps
from farm.scope.sitemaps import MAX_BYTES, MAX_ENTRIES
from tests.scope.test_sitemaps_crawler_commons import found

ITEMS = {
    "list": ("<urlset>", "<url><loc>http://a/{n}</loc></url>\n", "</urlset>"),
    "index": ("<sitemapindex>", "<sitemap><loc>http://a/{n}</loc></sitemap>\n", "</sitemapindex>"),
    "RSS": (
        "<rss><channel><link>http://a/</link>",
        "<item><link>http://a/{n}</link></item>",
        "</channel></rss>",
    ),
    "Atom": ("<feed>", '<entry><link href="http://a/{n}"/></entry>', "</feed>"),
    "text": ("", "http://a/{n}\n", ""),
}


def test_the_limits_are_the_protocols() -> None:
    """Fifty thousand addresses, and fifty megabytes when unpacked."""
    assert (MAX_ENTRIES, MAX_BYTES) == (50_000, 52_428_800)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("begin", "item", "end"), ITEMS.values(), ids=ITEMS)
async def test_no_more_addresses_than_the_limit(
    begin: str,
    item: str,
    end: str,
    packed: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the limit all are read; beyond it the first ones, and the log says so."""
    monkeypatch.setattr(sitemaps, "MAX_ENTRIES", 10)
    for count in (10, 25):
        content = (begin + "".join(item.format(n=n) for n in range(count)) + end).encode()
        entries = await found(gzip.compress(content) if packed else content)
        assert [one.url for one in entries] == [f"http://a/{n}" for n in range(10)]
        assert ("it lists more than 10 addresses" in caplog.text) is (count > 10)


async def test_a_broken_index_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beyond it is not looked at."""
    monkeypatch.setattr(sitemaps, "MAX_ENTRIES", 2)
    content = "".join(f"<sitemap><loc>http://a/{n}</loc></sitemap>" for n in (1, 2))
    content = f"<sitemapindex>{content}<sitemap><loc>http://a/3</loc><broken"
    assert [one.url for one in await found(content)] == ["http://a/1", "http://a/2"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["list", "text"])
async def test_no_more_bytes_than_the_limit(
    kind: str, packed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At the limit all is read; beyond it the first part, without an address that was cut in two."""
    begin, item, end = ITEMS[kind]
    content = (begin + "".join(item.format(n=f"page{n}.html") for n in range(5000)) + end).encode()
    every = [f"http://a/page{n}.html" for n in range(5000)]
    for limit, is_cut in ((len(content), False), (len(content) - 1, True), (len(content) // 2 + 5, True)):
        monkeypatch.setattr(sitemaps, "MAX_BYTES", limit)
        urls = [one.url for one in await found(gzip.compress(content) if packed else content)]
        assert urls == every[: len(urls)]
        assert (len(urls) == len(every)) or (is_cut and len(urls) < limit)
        assert (f"it has more than {limit} bytes" in caplog.text) is is_cut


async def test_white_space_that_was_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts with its full length."""
    monkeypatch.setattr(sitemaps, "MAX_BYTES", 2**20)
    content = "<urlset>" + ("<url><loc>http://a/1</loc></url>" + " " * 1024) * 2048 + "</urlset>"
    assert 900 < len(await found(gzip.compress(content.encode()))) < 1100


@pytest.mark.parametrize(
    "content", ["http://a/page1.html\nhttp://a/pa", "<urlset><url><loc>http://a/page1.html</loc>"]
)
async def test_a_connection_that_breaks_leaves_no_half_of_an_address(content: str) -> None:
    """The last line of text may be one half of an address; what has its end tag is whole."""
    entries = await found(content, failed=FetchFailed(FailureKind.NETWORK, "connection reset"))
    assert [one.url for one in entries] == ["http://a/page1.html"]
