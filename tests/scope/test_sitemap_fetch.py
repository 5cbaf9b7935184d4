"""Addresses in sitemaps and of sitemaps, as sites write them."""

import asyncio
from collections import Counter

import pytest

from farm.egress.fetch import Take
from farm.model.egress import Fetched, FetchFailed
from farm.model.outcome import FailureKind
from farm.scope.sitemap_fetch import (
    MOST_SILENT,
    FetchPieces,
    addresses,
    first_sitemaps,
    read_sitemap,
    resolved,
)
from farm.scope.sitemaps import Entry
from tests.longest_turn import MeasuredLoop

ROBOTS = "http://a.example/robots.txt"


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("http://a.example/\N{LATIN SMALL LETTER U WITH DIAERESIS}.xml", "http://a.example/%C3%BC.xml"),
        ("http://a.example/a b.xml", "http://a.example/a%20b.xml"),
        ("HTTP://A.example/x.xml#top", "http://a.example/x.xml"),
        ("/x.xml", "http://a.example/x.xml"),
        ("x.xml", "http://a.example/x.xml"),
        ("//b.example/x.xml", "http://b.example/x.xml"),
        ("a.example/x.xml", "http://a.example/x.xml"),
        ("A.example", "http://a.example/"),
        ("WWW.b.example?x", "http://www.b.example/?x"),
        ("b.example/x.xml", "http://a.example/b.example/x.xml"),
        ("www.xml", "http://a.example/www.xml"),
        ("http://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example/", "http://xn--bcher-kva.example/"),
    ],
)
def test_what_a_browser_could_open_is_an_address(named: str, address: str) -> None:
    """With its own letters, blanks and capitals; relative to where it is named."""
    assert addresses([named], ROBOTS) == [address]


@pytest.mark.parametrize(
    "named",
    [
        "http://[::1/x",
        "http://h:99999/",
        "http://h:abc/",
        "http:///",
        "ftp://h/x",
        "http://exa mple/",
        "http://\x1b[2J/",
        "http://a.example/" + "x" * 5000,
        "data:," + "x" * 100_000,
    ],
)
def test_what_is_no_address_is_told_and_costs_only_itself(
    named: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line, in which no control character stands."""
    assert addresses([named, "/x.xml"], ROBOTS) == ["http://a.example/x.xml"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.isprintable()
    assert len(said) < 300


async def test_entries_are_resolved_where_they_stand() -> None:
    """Whole addresses of pages are left to the rules of the crawl: what is a tracker is theirs to say."""
    entries = [
        Entry("/1"),
        Entry("http://a.example/2?utm_source=x"),
        Entry("s.xml", is_sitemap=True),
        Entry("http://[::1/s.xml", is_sitemap=True),
    ]
    found = await resolved(entries, "http://a.example/maps/index.xml")
    assert [(entry.url, entry.is_sitemap) for entry in found] == [
        ("http://a.example/1", False),
        ("http://a.example/2?utm_source=x", False),
        ("http://a.example/maps/s.xml", True),
    ]


def bringing(*pieces: bytes) -> FetchPieces:
    """Fetch a file in these pieces, after a redirect."""

    async def fetch(url: str, cap_bytes: int, take: Take | None = None, /) -> Fetched | FetchFailed:
        assert take is not None
        for piece in pieces:
            if not await take(piece):
                break
        return Fetched("http://b.example/moved/", 200, {}, b"", truncated=False)

    return fetch


async def test_a_file_is_read_from_where_it_was_found() -> None:
    """Its entries are relative to the end of the redirects."""
    content = b"<urlset><url><loc>x</loc></url></urlset>"
    assert await read_sitemap(bringing(content), Counter(), "http://a.example/s") == [
        Entry("http://b.example/moved/x")
    ]


async def test_a_broken_file_says_so_and_keeps_what_came_before(caplog: pytest.LogCaptureFixture) -> None:
    """Also one that could not be fetched to its end."""
    content = b"<urlset><url><loc>/x</loc></url></url>" + b" " * 1000
    assert [
        entry.url for entry in await read_sitemap(bringing(content, content), Counter(), "http://a.example/s")
    ] == ["http://b.example/x"]
    assert "it is not XML" in caplog.text

    async def fetch(url: str, cap_bytes: int, take: Take | None = None, /) -> Fetched | FetchFailed:
        return FetchFailed(FailureKind.NETWORK, "no route")

    assert list(await read_sitemap(fetch, Counter(), "http://a.example/s")) == []
    assert "no route" in caplog.text


def test_no_file_holds_the_loop() -> None:
    """Thirty thousand pages and a million elements in one piece: the loop turns in between."""
    pages = b"".join(b"<url><loc>/%d</loc></url>" % n for n in range(30_000))

    async def reading() -> MeasuredLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MeasuredLoop)
        loop.forget()
        found = await read_sitemap(
            bringing(b"<urlset>" + pages + b"<a/>" * 1_000_000), Counter(), "http://a.example/s"
        )
        assert len(found) == 30_000
        return loop

    with asyncio.Runner(loop_factory=MeasuredLoop) as runner:
        runner.run(reading()).assert_short()


async def test_a_host_whose_files_never_end_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """One that ends in between begins the count anew; other hosts are not touched."""
    asked: list[str] = []

    async def fetch(url: str, cap_bytes: int, take: Take | None = None, /) -> Fetched | FetchFailed:
        asked.append(url)
        if url.endswith("good"):
            return Fetched(url, 200, {}, b"", truncated=False)
        return FetchFailed(FailureKind.TIMEOUT, "no end")

    silent: Counter[str] = Counter()
    names = ["1", "2", "good", *(str(n) for n in range(3, 3 + 2 * MOST_SILENT))]
    for name in names:
        assert list(await read_sitemap(fetch, silent, f"http://a.example/{name}")) == []
    await read_sitemap(fetch, silent, "http://b.example/1")
    assert asked == [*(f"http://a.example/{name}" for name in names[: 3 + MOST_SILENT]), "http://b.example/1"]
    assert f"is skipped: {MOST_SILENT} of this host did not end in time" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("http://a.example/my map.xml", ["http://a.example/my%20map.xml"]),
        ("auto", ["http://a.example/named.xml", "http://c.example/x", "https://b.example/sitemap.xml"]),
    ],
)
async def test_a_crawl_begins_with_the_sitemaps_of_its_seeds(wanted: str, found: list[str]) -> None:
    """Those in the robots.txt of each origin, requested once; else the one at the usual address."""
    asked: list[str] = []

    async def named(origin: str) -> list[str]:
        asked.append(origin)
        return ["/named.xml", "http://c.example/x"] if "a.example" in origin else []

    seeds = ["http://a.example/1", "http://a.example/2", "https://b.example/"]
    assert await first_sitemaps(wanted, seeds, named) == found
    assert asked == ([] if wanted != "auto" else ["http://a.example", "https://b.example"])
