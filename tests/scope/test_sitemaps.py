"""Sitemaps in all their forms, in one piece and byte by byte; and those that are meant to hurt."""

import gzip
import time
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.scope.sitemaps import MAX_ENTRIES, BadSitemap, Entry, SitemapReader
from tests.longest_turn import collector_at_rest

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
    """A newer expat waits for more before it looks at a token again: the end has to be announced."""
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
        reader.feed(b"<urlset><url></urlset><url><loc>https://a.example/1</loc></url>" + b" " * 1000)
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
        '<!DOCTYPE x [<!ATTLIST a b CDATA "long">]><urlset><a/></urlset>',
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
        reader.feed(LIST.encode().replace(b"<url><lastmod>", b"</url>") + b" " * 1000)
    assert reader.entries == FOUND


def test_a_bomb_and_an_endless_list_are_cut() -> None:
    """By size, and by the number of entries."""
    assert read(gzip.compress(b"<urlset>" + b" " * 80_000_000)) == []
    many = b"".join(b"https://a.example/%d\n" % n for n in range(MAX_ENTRIES + 5000))
    assert len(read(many, 100_000)) == MAX_ENTRIES
    huge = b"<urlset><url><loc>https://a.example/" + b"x" * 5_000_000 + b"</loc></url></urlset>"
    assert read(huge, 1000) == []


MB = 2**20
HOSTILE = {
    "in one another": (b"<urlset>", b"<a>"),
    "beside each other": (b"<urlset>", b"<a/>"),
    "pages": (b"<urlset>", b"<url><loc>&amp;</loc></url>"),
    "an attribute": (b'<urlset><a b="', b"x" * 1000),
    "attributes": (b"<urlset>", b"<a " + b" ".join(b"b%d=''" % n for n in range(1000)) + b"/>"),
    "a comment": (b"<urlset><!--", b"x" * 1000),
    "a comment before": (b"<!--", b"x" * 1000),
    "comments": (b"<urlset>", b"<!---->"),
    "beginnings of comments": (b"", b"<!--"),
    "comments before": (b"", b"<!---->"),
    "an address": (b"<urlset><url><loc>", b"x" * 1000),
    "elements in an address": (b"<urlset><url><loc>http://a/", b"<b>x</b>"),
    "addresses in an entry": (b"<urlset><url>", b"<loc>http://a/</loc>"),
    "text in an entry": (b"<urlset><url>", b"http://a/" + b"x" * 1000 + b"<b/>"),
    "CDATA": (b"<urlset><url><loc><![CDATA[", b"x" * 1000),
    "a namespace": (b"<urlset xmlns='" + b"x" * 60_000 + b"'>", b"<a/>"),
    "ampersands": (b"<urlset><url><loc>", b"&"),
    "names": (b"<urlset><url><loc>", b"&a"),
    "references": (b"<urlset><url><loc>", b"&#65;"),
    "brackets": (b"", b"<"),
    "instructions": (b"<urlset>", b"<?a?>"),
    "blanks": (b"", b" " * 1000),
    "blank lines": (b"", b"\n" * 1000),
    "lines": (b"", b"http://a/\n"),
    "one line": (b"http://", b"x" * 1000),
    "gzip members": (b"", gzip.compress(b"")),
    "UTF-16": ("<urlset>".encode("utf-16"), "<a/>".encode("utf-16-le")),
}


PACKED = ("in one another", "beside each other", "blanks", "one line")


@pytest.mark.parametrize(
    ("begin", "again", "packed"),
    [
        *((*HOSTILE[kind], False) for kind in HOSTILE),
        *((*HOSTILE[kind], True) for kind in PACKED),
    ],
    ids=[*HOSTILE, *(f"{kind}, packed" for kind in PACKED)],
)
def test_no_file_takes_much_memory_or_a_long_step(begin: bytes, again: bytes, *, packed: bool) -> None:
    """Steps are of 16 KB; what they hold is bounded, however the file goes on and however it is packed."""
    content = begin + again * (3 * MB // len(again))
    if packed:
        content = gzip.compress(content, 1)
    pieces = [content[at : at + 65536] for at in range(0, len(content), 65536)]
    reader, longest_s = SitemapReader(), 0.0
    tracemalloc.start()
    try:
        with collector_at_rest():
            for piece in pieces:
                steps, more = reader.steps(piece), True
                while more:
                    begun = time.thread_time()
                    more = next(steps, False)
                    longest_s = max(longest_s, time.thread_time() - begun)
            reader.close()
    except BadSitemap:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    entries = sum(len(entry.url) + 200 for entry in reader.entries)
    assert peak - entries < 3 * MB
    assert longest_s < 0.25


TAGS = [
    *("urlset", "/urlset", "url", "/url", "loc", "/loc", "lastmod", "rss", "item", "link", "/link"),
    *("feed", "entry", "id", "/id", "x:url", "/x:url", "b", "/b", "?xml", "!ENTITY", "!DOCTYPE"),
]
WORDS = [
    '<link href="x"/>',
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "&",
    "&amp;",
    "&#0;",
    "&#x110000;",
    "?>",
    "]>",
    "[",
    "<",
]
ELEMENTS = st.sampled_from(
    [*(f"<{tag}>" for tag in TAGS), *WORDS, "http://a/", "\n", "\ud800", "\0", ">", '"', "encoding='gbk'"]
)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(ELEMENTS, max_size=30).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass")),
    ),
    st.sampled_from(["plain", "gzip", "twice", "utf-16"]),
    st.integers(1, 100),
)
@example(b"\x1f\x8b", "plain", 1)
@example(b"\x1f\x8b\x08", "plain", 3)
@example(b"<?xml version='1.0' encoding='\x00'?><urlset>", "plain", 100)
def test_any_bytes_are_read_or_refused(content: bytes, form: str, size: int) -> None:
    """What is listed is no more than there was, and does not depend on the pieces."""
    if form == "utf-16":
        content = content.decode("latin-1").encode("utf-16")
    elif form != "plain":
        content = gzip.compress(content) * (2 if form == "twice" else 1)
    whole, parts = listed(content, 10**9), listed(content, size)
    assert sum(len(entry.url) for entry in whole) <= 2 * len(content) + 600
    assert parts == whole


def listed(content: bytes, size: int) -> list[Entry]:
    """Return what a file lists, also where it is refused in the end."""
    reader = SitemapReader()
    try:
        for start in range(0, len(content), size):
            if not reader.feed(content[start : start + size]):
                break
        reader.close()
    except BadSitemap:
        pass
    return reader.entries
