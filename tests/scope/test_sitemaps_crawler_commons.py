"""The situations of the sitemap tests of crawler-commons, read as in a crawl: fetched, resolved and canonical.

Where that library refuses a sitemap, what came before the break counts here, and the log says what is wrong.
"""

import gzip
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from farm.egress.fetch import Take
from farm.model.egress import Fetched, FetchFailed
from farm.scope.canonical import canonicalise
from farm.scope.sitemap_fetch import FetchPieces, read_sitemap
from farm.scope.sitemaps import Entry

AT = "http://www.example.com/sitemap.xml"
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
LIST = f"{XML}<urlset {NS}>{{}}</urlset>"
INDEX = f"{XML}<sitemapindex {NS}>{{}}</sitemapindex>"
CATALOG = "http://www.example.com/catalog?"
TWO_LINES = f"{CATALOG}item=1\n{CATALOG}item=11"
FIVE_LINES = "".join(f"http://www.example.com/{n}\n" for n in range(5))
FIVE = LIST.format(
    "<url>  <loc>http://www.example.com/</loc>  <lastmod>2005-01-01</lastmod>  <changefreq>monthly</changefreq>"
    "  <priority>0.8</priority></url>"
    f"<url>  <loc>{CATALOG}item=12&amp;desc=vacation_hawaii</loc>  <changefreq>weekly</changefreq></url>"
    f"<url>  <loc>{CATALOG}item=73&amp;desc=vacation_new_zealand</loc>  <lastmod>2004-12-23</lastmod></url>"
    f"<url>  <loc>{CATALOG}item=74&amp;desc=vacation_newfoundland</loc>"
    "  <lastmod>2004-12-23T18:00:15&#43;00:00</lastmod>  <priority>0.3</priority></url>"
    f"<url>  <loc><url><![CDATA[{CATALOG}item=83&desc=vacation_usa]]></url></loc>"
    "  <lastmod>2004-11-23</lastmod></url>"
)


def page(url: str, *moment: int) -> Entry:
    """Return a page with its date."""
    return Entry(url, changed=datetime(*moment, tzinfo=UTC) if moment else None)  # type: ignore[arg-type,misc]


def index_of(url: str, *moment: int) -> Entry:
    """Return a sitemap with its date."""
    return Entry(url, is_sitemap=True, changed=page(url, *moment).changed)


FIVE_FOUND = [
    page("http://www.example.com/", 2005, 1, 1),
    page(f"{CATALOG}item=12&desc=vacation_hawaii"),
    page(f"{CATALOG}item=73&desc=vacation_new_zealand", 2004, 12, 23),
    page(f"{CATALOG}item=74&desc=vacation_newfoundland", 2004, 12, 23, 18, 0, 15),
    page(f"{CATALOG}item=83&desc=vacation_usa", 2004, 11, 23),
]
PORTALS = (2, *range(10010, 10150, 10))
FEED = """
<!-- a feed -->

<rss version="2.0">
<channel>
 <title>RSS Title</title>
 <link>https://www.example.com/main.html</link>
 <pubDate>Sun, 06 Sep 2009 16:20:00 +0000</pubDate>
 <item><title>Example entry</title><description>Some text.</description>
  <link>https://www.example.com/blog/post/1</link>
  <guid isPermaLink="false">7bd204c6-1655-4c27-aeee-53f933c5395f</guid>
  <pubDate>Sun, 06 Sep 2009 16:20:00 +0000</pubDate></item>
 <item><title>&amp;guid&amp; instead of &amp;link&amp;</title>
  <guid isPermaLink="false">https://www.example.com/guid.html</guid></item>
 <item><link>https://www.example.com/foo?q=a&amp;l=en</link></item>
 <item><link>https://www.example.com/foo<![CDATA[?q=a&l=fr]]></link></item>
</channel></rss>"""
DATES = (
    ("<pubDate>Thu, 05 Jan 2017 13:34:51 +0100</pubDate>", (2017, 1, 5, 12, 34, 51)),
    ("<pubDate>Thu, 05 Jan 17 13:34:52 +0100</pubDate>", (2017, 1, 5, 12, 34, 52)),
    ("<pubDate>05 Jan 2017 13:34:53 +0100</pubDate>", (2017, 1, 5, 12, 34, 53)),
    ("<pubDate>05 Jan 17 13:34:54 +0100</pubDate>", (2017, 1, 5, 12, 34, 54)),
    # There it counts as no date; as UTC it is right to a day, which `--sitemap-since` needs no better.
    ("<pubDate>05 Jan 17 13:34:55</pubDate>", (2017, 1, 5, 13, 34, 55)),
    ("<pubDate></pubDate>", ()),
    ("", ()),
)
ATOM = """<?xml version="1.0" encoding="utf-8"?>
<!-- from the specification -->
<feed xmlns="http://www.w3.org/2005/Atom"><title>Example Feed</title>
<link href="http://example.org/feed/" rel="self" /><link href="http://example.org/" />
<id>urn:uuid:60a76c80-d399-11d9-b91C-0003939e0af6</id><updated>2004-12-13T18:30:02Z</updated>
<entry><title>Robots</title><link href="http://example.org/2003/12/13/atom03" />
<link rel="alternate" type="text/html" href="http://example.org/2003/12/13/atom03.html"/>
<link rel="edit" href="http://example.org/2003/12/13/atom03/edit"/>
<id>urn:uuid:1225c695-cfb8-4ebb-aaaa-80da344efa6a</id><updated>2003-12-13T18:30:02Z</updated>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>This is the content.</p></div></content>
</entry></feed>"""
RDF = (
    '<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    ' xmlns="http://purl.org/rss/1.0/"><channel rdf:about="http://www.xml.com/xml/news.rss">'
    '<link>http://www.example.com/pub</link><image rdf:resource="http://www.example.com/x.gif" />'
    '<items><rdf:Seq><rdf:li resource="http://www.example.com/xslt.html" />'
    '<rdf:li resource="http://www.example.com/rdfdb.html" /></rdf:Seq></items></channel>'
    '<image rdf:about="http://www.example.com/x.gif"><link>http://www.xml.com</link>'
    "<url>http://www.example.com/x.gif</url></image>"
    '<item rdf:about="http://www.example.com/xslt.html"><title>XSLT</title>'
    "<link>http://www.example.com/xslt.html</link><description>Text. </description> </item> </rdf:RDF>"
)

READ: dict[str, tuple[str | bytes, Sequence[Entry]]] = {
    "an index": (
        INDEX.format(
            " <sitemap>\n  <loc>http://www.example.com/sitemap1.xml.gz</loc>\n"
            "  <lastmod><![CDATA[2004-10-01T18:23:17+00:00]]></lastmod>\n </sitemap>\n"
            "<sitemap>\n  <loc>http://www.example.com/sitemap2.xml.gz</loc>\n"
            "  <lastmod>2005-01-01</lastmod>\n </sitemap>\n"
            "<sitemap>\n  <loc>http://www.example.com/dynsitemap?date=now&amp;all=true</loc>\n"
            "  <lastmod>2004-10-01T18:23:17&#43;00:00</lastmod>\n </sitemap>\n<sitemap>\n"
            "  <loc>http://www.example.com/dynsitemap<![CDATA[?date=lastyear&all=false]]></loc>\n </sitemap>\n"
        ),
        [
            index_of("http://www.example.com/sitemap1.xml.gz", 2004, 10, 1, 18, 23, 17),
            index_of("http://www.example.com/sitemap2.xml.gz", 2005, 1, 1),
            index_of("http://www.example.com/dynsitemap?date=now&all=true", 2004, 10, 1, 18, 23, 17),
            index_of("http://www.example.com/dynsitemap?date=lastyear&all=false"),
        ],
    ),
    "an inclusion of a file": (
        LIST.format(
            "<url><loc>http://www.example.com/visit-here</loc></url><url><loc>"
            '<xi:include href="file:///etc/hostname" parse="text"/></loc><lastmod>2019-06-19</lastmod></url>'
        ),
        [page("http://www.example.com/visit-here")],
    ),
    "a prefix": (
        (
            f"{XML}<sit:urlset {NS.replace('xmlns', 'xmlns:sit')}>\n<sit:url>\n  <sit:loc>http://www.example.com/1"
            "</sit:loc><sit:changefreq>daily</sit:changefreq></sit:url></sit:urlset>\n"
        ),
        [page("http://www.example.com/1")],
    ),
    # There it can be refused; a wrong namespace says nothing about the addresses.
    "a namespace that is none": (
        LIST.replace("sitemaps.org/schemas", "google.com/schemas").format(
            "<url>\n\t<loc>http://www.example.com/1</loc></url><url><loc>\n\t\thttp://www.example.com/2\n\t</loc>"
            "<changefreq>\n\tdaily\n</changefreq></url>"
        ),
        [page("http://www.example.com/1"), page("http://www.example.com/2")],
    ),
    "text": (TWO_LINES, [page(f"{CATALOG}item=1"), page(f"{CATALOG}item=11")]),
    "text with a mark": ("\ufeff" + TWO_LINES, [page(f"{CATALOG}item=1"), page(f"{CATALOG}item=11")]),
    "text, compressed": (
        gzip.compress(FIVE_LINES.encode()),
        [page(f"http://www.example.com/{n}") for n in range(5)],
    ),
    "text without a scheme": (
        "www.example.com/catalog?item=1\nhttp://www.example.com/catalog?item=11#anchor",
        [page(f"{CATALOG}item=1"), page(f"{CATALOG}item=11")],
    ),
    "a list": (FIVE, FIVE_FOUND),
    "a list, compressed": (gzip.compress(FIVE.encode()), FIVE_FOUND),
    "a list behind a mark and blanks": ("\ufeff\n \t\r\n" + FIVE, FIVE_FOUND),
    "a list without a scheme": (
        FIVE.replace("http://www.example.com/<", "www.example.com/<").replace("hawaii", "hawaii#anchor"),
        FIVE_FOUND,
    ),
    "an index without <loc>": (
        INDEX.format(
            "".join(
                f"<sitemap>\nhttps://example.com/sitemap.jss?portalCode={portal}&amp;lang=en\n</sitemap>\n"
                for portal in PORTALS
            )
        ),
        [index_of(f"https://example.com/sitemap.jss?portalCode={portal}&lang=en") for portal in PORTALS],
    ),
    "two <loc> in one <sitemap>": (
        (
            f"{XML}<sitemapindex> <sitemap>  <loc>https://www.example.org/sitemap1.xml</loc>"
            "  <loc>https://www.example.org/sitemap2.xml</loc> </sitemap></sitemapindex>"
        ),
        [
            index_of("https://www.example.org/sitemap1.xml"),
            index_of("https://www.example.org/sitemap2.xml"),
        ],
    ),
    "three <loc> with their dates": (
        (
            f"{XML}<sitemapindex>\n <sitemap>\n  <loc>https://www.example.org/sitemap1.xml</loc>\n"
            "  <lastmod>2004-10-01T18:23:17+00:00</lastmod>\n  <loc>https://www.example.org/sitemap2.xml</loc>\n"
            "  <loc>https://www.example.org/sitemap3.xml</loc>\n  <lastmod>2005-11-02T19:24:18+00:00</lastmod>\n"
            " </sitemap>\n</sitemapindex>"
        ),
        [
            index_of("https://www.example.org/sitemap1.xml", 2004, 10, 1, 18, 23, 17),
            index_of("https://www.example.org/sitemap2.xml"),
            index_of("https://www.example.org/sitemap3.xml", 2005, 11, 2, 19, 24, 18),
        ],
    ),
    "blanks of Unicode": (
        INDEX.format(
            "<sitemap>\n<loc>\n<![CDATA[ https://www.example.com/sitemap1.xml ]]>\n</loc>\n</sitemap>\n"
            "<sitemap>\n<loc>\n<![CDATA[\N{NO-BREAK SPACE}https://www.example.com/sitemap2.xml ]]> \N{EN QUAD}\n"
            "</loc>\n</sitemap>\n"
        ),
        [
            index_of("https://www.example.com/sitemap1.xml"),
            index_of("https://www.example.com/sitemap2.xml"),
        ],
    ),
    "Atom": (ATOM, [page("http://example.org/2003/12/13/atom03", 2003, 12, 13, 18, 30, 2)]),
    "RSS": (
        FEED,
        [
            page("https://www.example.com/blog/post/1", 2009, 9, 6, 16, 20),
            page("https://www.example.com/guid.html"),
            page("https://www.example.com/foo?q=a&l=en"),
            page("https://www.example.com/foo?q=a&l=fr"),
        ],
    ),
    "RSS 1.0": (RDF, [page("http://www.example.com/xslt.html")]),
    "dates of RSS": (
        f"{XML}<rss><channel><pubDate>Thu, 05 Jan 2017 12:34:50 GMT</pubDate>"
        + "".join(
            f"<item><link>http://www.example.com/{n}</link>{date}</item>" for n, (date, _) in enumerate(DATES)
        )
        + "</channel></rss>",
        [page(f"http://www.example.com/{n}", *moment) for n, (_, moment) in enumerate(DATES)],
    ),
    "<url> in <loc>": (
        LIST.format(
            "<url><loc><url><![CDATA[http://www.example.com/DISPATCHER----Jobs/2333221]]></url></loc>"
            "<lastmod>2015-04-28</lastmod><changefreq>daily</changefreq></url>"
        ),
        [page("http://www.example.com/DISPATCHER----Jobs/2333221", 2015, 4, 28)],
    ),
    "an index that names one sitemap twice": (
        INDEX.format(
            "".join(f"<sitemap><loc>https://example.com/{n}.xml</loc></sitemap>" for n in (1, 2, 1))
        ),
        # The feed of sitemaps reads each address once.
        [index_of(f"https://example.com/{n}.xml") for n in (1, 2, 1)],
    ),
    # There the address is refused or marked; here the scope of the crawl judges it, as it judges a link.
    "pages above the sitemap's folder, and of other hosts": (
        LIST.format(
            "<url><loc>http://www.example.com/</loc></url><url><loc>https://www.example.com/a</loc></url>"
            "<url><loc>https://blog.example.com/1</loc></url>"
        ),
        [
            page("http://www.example.com/"),
            page("https://www.example.com/a"),
            page("https://blog.example.com/1"),
        ],
    ),
}
BROKEN: dict[str, tuple[str | bytes, Sequence[Entry], str]] = {
    "an external entity": (
        (
            f'{XML}<!DOCTYPE urlset [\n  <!ENTITY test SYSTEM "file:///etc/hostname">\n]>\n<urlset {NS}>'
            "<url><loc>http://www.example.com/visit-here</loc></url><url><loc>&test;</loc></url></urlset>"
        ),
        [],
        "it declares entities",
    ),
    "an end too much": (
        LIST.format(
            "<url><!-- not a valid file --></url><url><loc> http://www.example.com/something.html</loc>"
            "</url><!-- no opening --></url>"
        ),
        [page("http://www.example.com/something.html")],
        "it is not XML",
    ),
    "words": ("this is a bogus sitemap", [], "it is neither a sitemap nor a feed"),
    "a list that ends in an end tag": (
        f"{XML}<urlset {NS}><url><loc>http://www.example.com/</lo",
        [page("http://www.example.com/")],
        "it is not XML",
    ),
    "an index that ends in a tag": (
        f"{XML}<sitemapindex {NS}><sitemap><loc>http://www.example.com/sitemap1.xml.gz</loc><las",
        [index_of("http://www.example.com/sitemap1.xml.gz")],
        "it is not XML",
    ),
    "a list that ends in an address": (
        f"{XML}<urlset {NS}><url><loc>http://www.example.com/1</loc></url><url><loc>http://www.exam",
        [page("http://www.example.com/1")],
        "it is not XML",
    ),
    "an address of a sitemap that is none": (
        INDEX.format(
            "<sitemap><loc>http://[INVALID</loc></sitemap><sitemap><loc>https://example.com/1.xml</loc></sitemap>"
        ),
        [index_of("https://example.com/1.xml")],
        "the address of a sitemap cannot be fetched",
    ),
}


def bringing(content: bytes, size: int, failed: FetchFailed | None = None) -> FetchPieces:
    """Fetch a file in pieces of a size; in the end it may fail."""

    async def fetch(url: str, cap_bytes: int, take: Take | None = None, /) -> Fetched | FetchFailed:
        assert take is not None
        for at in range(0, len(content), size):
            if not await take(content[at : at + size]):
                break
        return failed or Fetched(url, 200, {}, b"", truncated=False)

    return fetch


async def found(content: str | bytes, size: int = 65536, failed: FetchFailed | None = None) -> list[Entry]:
    """Return what a crawl would find in a file, with canonical addresses."""
    content = content.encode() if isinstance(content, str) else content
    entries = await read_sitemap(bringing(content, size, failed), Counter(), AT)
    return [Entry(canonicalise(one.url).url, one.is_sitemap, one.changed) for one in entries]


@pytest.mark.parametrize("size", [1, 65536])
@pytest.mark.parametrize(("content", "entries"), READ.values(), ids=READ)
async def test_the_same_is_found(
    content: str | bytes, entries: Sequence[Entry], size: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the media type says: only the bytes are looked at."""
    assert await found(content, size) == list(entries)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("size", [1, 65536])
@pytest.mark.parametrize(("content", "entries", "said"), BROKEN.values(), ids=BROKEN)
async def test_what_is_wrong_is_told(
    content: str | bytes, entries: Sequence[Entry], said: str, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    """And costs no address that stands there whole."""
    assert await found(content, size) == list(entries)
    assert said in caplog.text
