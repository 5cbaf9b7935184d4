"""Sitemaps in all their forms, in one piece and byte by byte; and those that are meant to hurt."""

import gzip
from datetime import UTC, datetime

import pytest

from farm.scope.sitemaps import MAX_ENTRIES, BadSitemap, Entry, SitemapReader

NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
LIST = f"""<?xml version="1.0" encoding="UTF-8"?>
<urlset {NS}><url><loc> https://a.example/1?a=1&amp;b=2 </loc><lastmod>2026-05-01</lastmod>
<image:image><image:loc>https://a.example/1.png</image:loc></image:image></url>
<url><loc><![CDATA[https://a.example/2]]></loc><lastmod>soon</lastmod></url><url><lastmod>x</lastmod></url></urlset>"""
FOUND = [
    Entry("https://a.example/1?a=1&b=2", changed=datetime(2026, 5, 1, tzinfo=UTC)),
    Entry("https://a.example/2"),
]
INDEX = f"<sitemapindex {NS}><sitemap><loc>https://a.example/s.xml.gz</loc></sitemap></sitemapindex>"
RSS = "<rss><channel><link>https://a.example/</link><item><link>https://a.example/n</link></item></channel></rss>"
ATOM = '<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="https://a.example/e"/></entry></feed>'
TEXT = "\ufeffhttps://a.example/1\r\n\r\n# no\nhttps://a.example/2"


def test_what_the_parser_keeps_until_the_end_is_read() -> None:
    """A newer expat waits for more before it looks at a token again: the end has to be told."""
    reader = SitemapReader()
    for byte in ATOM.encode():
        assert reader.feed(bytes([byte]))
    assert list(reader.close()) == [Entry("https://a.example/e")]
    assert list(reader.close()) == [Entry("https://a.example/e")]


@pytest.mark.parametrize("size", [1, 10**9])
def test_a_file_that_ends_in_the_middle_says_so_and_keeps_what_came_before(size: int) -> None:
    """Only the end shows that there is none."""
    reader = SitemapReader()
    content = LIST.encode().partition(b"<url><lastmod>x")[0]
    for start in range(0, len(content), size):
        assert reader.feed(content[start : start + size])
    with pytest.raises(BadSitemap):
        reader.close()
    assert reader.entries == FOUND


def test_what_was_refused_is_not_read_any_further() -> None:
    """Neither at its end, nor does the end hide what was wrong."""
    reader = SitemapReader()
    with pytest.raises(BadSitemap):
        reader.feed(b"<urlset><url></urlset><url><loc>https://a.example/1</loc></url>")
    assert list(reader.close()) == []


def read(content: bytes, size: int = 10**9) -> list[Entry]:
    """Read a file in pieces of a size."""
    reader = SitemapReader()
    for start in range(0, len(content), size):
        if not reader.feed(content[start : start + size]):
            break
    return list(reader.close())


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LIST, FOUND),
        ("\n" + INDEX, [Entry("https://a.example/s.xml.gz", is_sitemap=True)]),
        (RSS, [Entry("https://a.example/n")]),
        (ATOM, [Entry("https://a.example/e")]),
        (TEXT, [Entry("https://a.example/1"), Entry("https://a.example/2")]),
        ("", []),
    ],
)
def test_every_form_is_read(text: str, found: list[Entry], size: int) -> None:
    """Packed or not, however it arrives."""
    assert read(text.encode(), size) == found
    assert read(gzip.compress(text.encode()), size) == found


@pytest.mark.parametrize("size", [1, 10**9])
@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>',
        '<!DOCTYPE x SYSTEM "http://evil.example/x.dtd"><urlset/>',
        "<urlset><url></urlset>",
        "<html><body>Not found<br></body></html>",
    ],
)
def test_what_is_hostile_or_broken_is_refused(text: str, size: int) -> None:
    """Nothing is expanded, nothing is fetched."""
    with pytest.raises(BadSitemap):
        read(text.encode(), size)


def test_what_came_before_a_break_counts() -> None:
    """A list that was cut off still lists."""
    reader = SitemapReader()
    with pytest.raises(BadSitemap):
        reader.feed(LIST.encode().replace(b"<url><lastmod>", b"</url>"))
    assert reader.entries == FOUND


def test_a_bomb_and_an_endless_list_are_cut() -> None:
    """By size, and by the number of entries."""
    assert read(gzip.compress(b"<urlset>" + b" " * 80_000_000)) == []
    many = b"".join(b"https://a.example/%d\n" % n for n in range(MAX_ENTRIES + 5000))
    assert len(read(many, 100_000)) == MAX_ENTRIES
    huge = b"<urlset><url><loc>https://a.example/" + b"x" * 5_000_000 + b"</loc></url></urlset>"
    assert all(len(entry.url) <= 5000 for entry in read(huge, 1000))
