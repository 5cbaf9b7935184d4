"""Sitemaps as sites write them: broken, in any encoding, with stray characters and dates of every kind."""

import gzip
from datetime import UTC, datetime

import pytest

from farm.scope.sitemaps import Entry
from tests.scope.test_sitemaps import read

URLSET = "<urlset><url><loc>http://a/1</loc></url><url><loc>http://a/2</loc></url></urlset>"
TWO = [Entry("http://a/1"), Entry("http://a/2")]
RSS_PAGE = "<item><title>a</title><link>http://a/{}</link><image><url>http://a/a.png</url></image></item>"
HALF = len(URLSET) // 2
WILD = {
    "gzip members": gzip.compress(URLSET[:HALF].encode()) + gzip.compress(URLSET[HALF:].encode()),
    "padding after gzip": gzip.compress(URLSET.encode()) + bytes(100),
    "other links before the address": URLSET.replace(
        "<url>", '<url><xhtml:link rel="alternate" href="http://a/de"/>'
    ).encode(),
    "a picture before the address": URLSET.replace(
        "<url>", "<url><image:image><image:loc>http://a/x.png</image:loc></image:image>"
    ).encode(),
    "pictures in a feed": (
        "<rss><channel><image><url>http://a/logo.png</url><link>http://a/</link></image>"
        f"{RSS_PAGE.format(1)}{RSS_PAGE.format(2)}</channel></rss>"
    ).encode(),
    "other links in a feed": (
        "<rss><channel>"
        + "".join(f'<item><atom:link href="http://a/x"/><link>http://a/{n}</link></item>' for n in (1, 2))
        + "</channel></rss>"
    ).encode(),
    "undeclared entities": URLSET.replace("<url>", "<url><title>Caf&eacute; &nbsp;</title>").encode(),
    "UTF-16": ('<?xml version="1.0" encoding="UTF-16"?>' + URLSET).encode("utf-16"),
    "UTF-16 without a mark": URLSET.encode("utf-16-be"),
    "UTF-32": URLSET.encode("utf-32"),
    "blanks before the declaration": b"\n\n  \xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>"
    + URLSET.encode(),
    "output before the declaration": b"<br />\n<b>Warning</b>: x\n<?xml version='1.0'?>" + URLSET.encode(),
    "a document type": b'<!DOCTYPE urlset SYSTEM "http://127.0.0.1:1/x.dtd">' + URLSET.encode(),
    "a comment that names the root": b"<!-- <urlset> --><!----><!-- <rss> -->" + URLSET.encode(),
    "comments around": URLSET.replace("</loc>", "</loc><!-- <url><loc>http://a/3</loc></url> -->").encode(),
    "words after the end": URLSET.encode() + b"<!-- 1 s --> done <b>",
    "another prefix": URLSET.replace("<", "<sm:").replace("<sm:/", "</sm:").encode(),
    "capitals": URLSET.replace("url", "URL").replace("loc", "Loc").encode(),
    "a namespace in an attribute": URLSET.replace("<urlset>", '<urlset xmlns:xhtml="x" xmlns="y">').encode(),
    "no address elements": b"<urlset><url> http://a/1 </url><url>http://a/2<lastmod>x</lastmod></url></urlset>",
    "elements that are not closed": URLSET.replace("</url><url>", "").encode(),
    "elements in one another": URLSET.replace("</url><url>", "<url>")
    .replace("</urlset>", "</url></urlset>")
    .encode(),
    "elements in an address": URLSET.replace("<loc>", "<loc><b>")
    .replace("</loc>", "</b> <i/></loc>")
    .encode(),
    "foreign elements of the same names": URLSET.replace(
        "<url>", "<url><x:loc>http://a/x</x:loc><x:url><loc>http://a/x</loc></x:url>"
    ).encode(),
    "a prefix in a feed": b"<rdf:RDF><r:item><r:link>http://a/1</r:link></r:item>"
    b"<r:item><x:link>http://a/x</x:link><link>http://a/2</link></r:item></rdf:RDF>",
    "identities in a feed": b"<feed><entry><id>http://a/1</id><link rel='self' href='http://a/x'/></entry>"
    b"<entry><id>http://a/x</id><link>http://a/2</link></entry></feed>",
    "identities that are no address": (
        "<rss>"
        + "".join(f"<item><guid>{n}</guid><link>http://a/{n}</link></item>" for n in (1, 2))
        + "<item><guid>3</guid></item></rss>"
    ).encode(),
    "blanks of every kind": "\u200b \xa0http://a/1\u3000\n\ufeff http://a/2\x85".encode(),
    "lines with CR": b"http://a/1\rhttp://a/2\r",
    "lines in UTF-16": "http://a/1\r\nhttp://a/2".encode("utf-16"),
}


@pytest.mark.parametrize("size", [1, 13, 10**9])
@pytest.mark.parametrize("content", WILD.values(), ids=WILD)
def test_sitemaps_as_they_are_in_the_wild(content: bytes, size: int) -> None:
    """What a person would read is read."""
    assert read(content, size) == TWO


@pytest.mark.parametrize(
    "name",
    ["gbk", "gb2312", "Shift_JIS", "euc-kr", "big5", "utf8", "windows-1251", "x-unknown", "idna", "zlib"],
)
def test_any_encoding_may_be_declared(name: str) -> None:
    """An unknown encoding, or one that is not for text, is read as UTF-8."""
    text = f'<?xml version="1.0" encoding="{name}"?>' + URLSET.replace(
        "/1", "/\N{CJK UNIFIED IDEOGRAPH-4E2D}"
    )
    if name in {"windows-1251", "x-unknown", "idna", "zlib"}:
        assert read((text.replace("\N{CJK UNIFIED IDEOGRAPH-4E2D}", "1")).encode()) == TWO
    else:
        assert read(text.encode(name), 7) == [Entry("http://a/\N{CJK UNIFIED IDEOGRAPH-4E2D}"), TWO[1]]


def test_stray_ampersands_are_read_as_they_were_meant() -> None:
    """In addresses above all, and in CDATA as everywhere."""
    urls = [
        "http://a/?a=1&b=2",
        "http://a/?a&amp;b&c",
        "http://a/?copy=1&copy=2&",
        "<![CDATA[http://a/?a=1&b=2&amp;c]]>",
    ]
    text = "<urlset>" + "".join(f"<url><loc>{url}</loc></url>" for url in urls) + "</urlset>"
    found = ["http://a/?a=1&b=2", "http://a/?a&b&c", "http://a/?copy=1&copy=2&", "http://a/?a=1&b=2&amp;c"]
    for size in (1, 10**9):
        assert [entry.url for entry in read(text.encode(), size)] == found


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-05-01", (2026, 5, 1)),
        ("2026-05", (2026, 5, 1)),
        ("2026", (2026, 1, 1)),
        ("2026-05-01T10:00:00Z", (2026, 5, 1, 10)),
        ("2026-05-01T10:00+02:00", (2026, 5, 1, 8)),
        ("Fri, 01 May 2026 10:00:00 GMT", (2026, 5, 1, 10)),
        ("Fri, 01 May 2026 10:00:00 +0200", (2026, 5, 1, 8)),
        # Those of crawler-commons' tests.
        ("2014", (2014, 1, 1)),
        ("2014-06", (2014, 6, 1)),
        ("2014-06-03", (2014, 6, 3)),
        ("2014-06-03T10:30+00:00", (2014, 6, 3, 10, 30)),
        ("2014-06-03T10:30:45+00:00", (2014, 6, 3, 10, 30, 45)),
        ("2014-06-03T10:30:45-05:00", (2014, 6, 3, 15, 30, 45)),
        ("2014-06-03T10:30:45.82+00:00", (2014, 6, 3, 10, 30, 45, 820_000)),
        ("1997", (1997, 1, 1)),
        ("1997-07", (1997, 7, 1)),
        ("1997-07-16", (1997, 7, 16)),
        ("1997-07-16T19:20+01:00", (1997, 7, 16, 18, 20)),
        ("1997-07-16T19:20:30+01:00", (1997, 7, 16, 18, 20, 30)),
        ("1997-07-16T19:20:30.45+01:00", (1997, 7, 16, 18, 20, 30, 450_000)),
        ("1994-11-05T13:15:30Z", (1994, 11, 5, 13, 15, 30)),
        ("1994-11-05T08:15:30-05:00", (1994, 11, 5, 13, 15, 30)),
        ("Thu, 05 Jan 2017 12:34:50 GMT", (2017, 1, 5, 12, 34, 50)),
        ("Thu, 05 Jan 2017 13:34:51 +0100", (2017, 1, 5, 12, 34, 51)),
        ("05 Jan 2017 11:34:52 -0100", (2017, 1, 5, 12, 34, 52)),
        ("05 Jan 17 12:34:53 GMT", (2017, 1, 5, 12, 34, 53)),
        ("Thu, 05 Jan 17 12:34:54 GMT", (2017, 1, 5, 12, 34, 54)),
        *((bad, None) for bad in ("", "blah", "incorrect")),
        *((bad, None) for bad in ("soon", "0000", "2026-13", "9" * 5000, "1 Jan 9999999999999 00:00:00 GMT")),
    ],
)
def test_dates_as_they_are_written(written: str, moment: tuple[int, ...] | None) -> None:
    """What is none is as good as no date."""
    text = f"<urlset><url><loc>http://a/1</loc><lastmod>{written}</lastmod></url></urlset>"
    expected = None if moment is None else datetime(*moment, tzinfo=UTC)  # type: ignore[arg-type,misc]
    assert read(text.encode()) == [Entry("http://a/1", changed=expected)]
